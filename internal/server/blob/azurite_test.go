package blob_test

import (
	"bytes"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"

	azblobblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

// The same tests run against Azurite, Microsoft's emulator, if the environment names an account of its own for them, as
// make interop does. Tests whose servers need options or faults are for this package's server only.

// azuriteVariable is the environment variable with the connection string of an account. Each test empties the account.
const azuriteVariable = "EVENTHUBS_AZURITE"

// storage is how tests look at and change what is stored without the client.
type storage interface {
	CreateContainer(name string) error
	Put(container, name string, content []byte, meta map[string]string) error
	Get(container, name string) (blob.Blob, bool)
	Names(container, prefix string) []string
	Delete(container, name string) bool
	AddFault(f blob.Fault) (remove func())
	Close()
}

// azurite is the storage of an account on Azurite, reached with the SDK.
type azurite struct {
	t      testing.TB
	client *service.Client
}

// startAzurite returns a server that passes all requests on to Azurite.
func startAzurite(t testing.TB, connectionString string) *server {
	t.Helper()
	t.Cleanup(func() {
		if !t.Skipped() {
			t.Log("on Azurite")
		}
	})
	client, err := service.NewClientFromConnectionString(connectionString, nil)
	require.NoError(t, err)
	a := azurite{t, client}
	a.empty()
	address, err := url.Parse(client.URL())
	require.NoError(t, err)
	s := &server{storage: a, account: strings.Trim(address.Path, "/")}
	for _, part := range strings.Split(connectionString, ";") {
		if key, ok := strings.CutPrefix(part, "AccountKey="); ok {
			s.key = key
		}
	}
	address.Path = ""
	s.http = httptest.NewServer(httputil.NewSingleHostReverseProxy(address))
	t.Cleanup(s.http.Close)
	return s
}

func (a azurite) empty() {
	a.t.Helper()
	for pages := a.client.NewListContainersPager(nil); pages.More(); {
		page, err := pages.NextPage(ctx(a.t))
		require.NoError(a.t, err)
		for _, c := range page.ContainerItems {
			_, err := a.client.DeleteContainer(ctx(a.t), *c.Name, nil)
			require.NoError(a.t, err)
		}
	}
}

func (a azurite) blob(name, of string) *blockblob.Client {
	return a.client.NewContainerClient(of).NewBlockBlobClient(name)
}

func (a azurite) CreateContainer(name string) error {
	_, err := a.client.CreateContainer(ctx(a.t), name, nil)
	return err
}

// Put creates the container if it doesn't exist, as Account.Put does.
func (a azurite) Put(of, name string, content []byte, meta map[string]string) error {
	_ = a.CreateContainer(of)
	metadata := map[string]*string{}
	for k, v := range meta {
		metadata[k] = &v
	}
	_, err := a.blob(name, of).Upload(
		ctx(a.t), nopCloser{bytes.NewReader(content)}, &blockblob.UploadOptions{Metadata: metadata},
	)
	return err
}

func (a azurite) Get(of, name string) (blob.Blob, bool) {
	p, err := a.blob(name, of).GetProperties(ctx(a.t), nil)
	if err != nil {
		return blob.Blob{}, false
	}
	b := blob.Blob{
		Name: name, Content: make([]byte, *p.ContentLength), Metadata: map[string]string{}, ETag: string(*p.ETag),
		Created: p.CreationTime.UTC(), LastModified: p.LastModified.UTC(),
	}
	if p.ContentType != nil {
		b.ContentType = *p.ContentType
	}
	for k, v := range p.Metadata {
		b.Metadata[strings.ToLower(k)] = *v
	}
	if len(b.Content) > 0 {
		_, err = a.blob(name, of).DownloadBuffer(ctx(a.t), b.Content, &azblobblob.DownloadBufferOptions{})
		require.NoError(a.t, err)
	}
	return b, true
}

func (a azurite) Names(of, prefix string) (names []string) {
	for pages := a.client.NewContainerClient(of).NewListBlobsFlatPager(
		&container.ListBlobsFlatOptions{Prefix: &prefix},
	); pages.More(); {
		page, err := pages.NextPage(ctx(a.t))
		if err != nil {
			return nil // there is no such container
		}
		for _, b := range page.Segment.BlobItems {
			names = append(names, *b.Name)
		}
	}
	return names
}

func (a azurite) Delete(of, name string) bool {
	_, err := a.blob(name, of).Delete(ctx(a.t), nil)
	return err == nil
}

func (a azurite) AddFault(blob.Fault) func() {
	a.t.Skip("Azurite has no faults")
	return nil
}

func (a azurite) Close() {}

// onlyOurs skips a test on Azurite, which differs from the service there.
func onlyOurs(t testing.TB, why string) {
	t.Helper()
	if azuriteAccount() != "" {
		t.Skip("Azurite " + why)
	}
}

// azuriteAccount returns the connection string if the tests run against Azurite.
func azuriteAccount() string { return os.Getenv(azuriteVariable) }
