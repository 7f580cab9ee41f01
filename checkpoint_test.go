package eventhubs_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest/storetest"
	"github.com/go-eventhubs/eventhubs/internal/blob"
)

func TestMemoryCheckpointStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) func() azeventhubs.CheckpointStore {
		s := eventhubs.NewMemoryCheckpointStore()
		return func() azeventhubs.CheckpointStore { return s }
	})
}

// The store of the example is as good as the one that it is made around.
func TestExampleCheckpointStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) func() azeventhubs.CheckpointStore {
		s := &watchedStore{CheckpointStore: eventhubs.NewMemoryCheckpointStore(), last: map[string]int64{}}
		return func() azeventhubs.CheckpointStore { return s }
	})
}

func TestBlobCheckpointStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() azeventhubs.CheckpointStore {
		_, cfg := startStorage(t, blob.Options{})
		return func() azeventhubs.CheckpointStore { return openBlobStore(t, cfg) }
	})
}

// The same on Azurite, whose connection string is in the environment: make interop starts it.
func TestBlobCheckpointStoreOnAzurite(t *testing.T) {
	account := os.Getenv("EVENTHUBS_AZURITE")
	if account == "" {
		t.Skip("EVENTHUBS_AZURITE is not set: make interop sets it")
	}
	var opened atomic.Int64
	run := time.Now().UnixNano()
	storetest.Run(t, func(t *testing.T) func() azeventhubs.CheckpointStore {
		t.Log("on Azurite")
		cfg := eventhubs.BlobConfig{
			ConnectionString: account, Container: fmt.Sprintf("store-%d-%d", run, opened.Add(1)), Logger: slog.New(slog.DiscardHandler),
		}
		return func() azeventhubs.CheckpointStore { return openBlobStore(t, cfg) }
	})
}

// startStorage is a storage account on a loopback socket, and how to reach it with its key. It retries nothing.
func startStorage(t *testing.T, opts blob.Options) (*blob.Account, eventhubs.BlobConfig) {
	t.Helper()
	account, err := blob.New(opts)
	require.NoError(t, err)
	server := httptest.NewServer(account)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(func() {
		account.Close()
		server.Close()
		client.CloseIdleConnections()
	})
	return account, eventhubs.BlobConfig{
		ConnectionString: "DefaultEndpointsProtocol=http;AccountName=" + blob.DevelopmentAccount + ";AccountKey=" + blob.DevelopmentKey +
			";BlobEndpoint=" + server.URL + "/" + blob.DevelopmentAccount,
		Container: "checkpoints",
		Logger:    slog.New(slog.DiscardHandler),
		ClientOptions: azcore.ClientOptions{
			Transport: client,
			Retry:     policy.RetryOptions{MaxRetries: -1},
		},
	}
}

func openBlobStore(t *testing.T, cfg eventhubs.BlobConfig) *eventhubs.BlobCheckpointStore {
	t.Helper()
	s, err := eventhubs.NewBlobCheckpointStore(context.Background(), cfg)
	require.NoError(t, err)
	return s
}

func TestBlobConfigMistakes(t *testing.T) {
	const account = "https://contoso.blob.core.windows.net"
	key := base64.StdEncoding.EncodeToString([]byte("secret canary"))
	for _, c := range []struct {
		cfg  eventhubs.BlobConfig
		want string
	}{
		{eventhubs.BlobConfig{Container: "chk"},
			`neither AccountURL nor ConnectionString is set: set one`},
		{eventhubs.BlobConfig{AccountURL: account, ConnectionString: "AccountName=a;AccountKey=" + key, Container: "chk"},
			`AccountURL and ConnectionString are both set: set one`},
		{eventhubs.BlobConfig{Credential: token("t"), ConnectionString: "AccountName=a;AccountKey=" + key, Container: "chk"},
			`Credential and ConnectionString are both set: Credential goes with AccountURL`},
		{eventhubs.BlobConfig{AccountURL: account},
			`Container is empty: name the container that holds the checkpoints`},
		{eventhubs.BlobConfig{AccountURL: account, Container: "Check_Points"},
			`Container "Check_Points" is not a container's name: 3 to 63 lower-case letters, digits and single hyphens between them`},
		{eventhubs.BlobConfig{AccountURL: account, Container: "ab"},
			`Container "ab" is not a container's name: 3 to 63 lower-case letters, digits and single hyphens between them`},
		{eventhubs.BlobConfig{AccountURL: account, Container: "a--b"},
			`Container "a--b" is not a container's name: 3 to 63 lower-case letters, digits and single hyphens between them`},
		{eventhubs.BlobConfig{AccountURL: account, Container: strings.Repeat("a", 64)},
			`Container "` + strings.Repeat("a", 64) + `" is not a container's name: 3 to 63 lower-case letters, digits and single hyphens between them`},
		{eventhubs.BlobConfig{AccountURL: "contoso.blob.core.windows.net?sig=" + key, Container: "chk"},
			`AccountURL "contoso.blob.core.windows.net" has no scheme: write https://contoso.blob.core.windows.net`},
		{eventhubs.BlobConfig{AccountURL: account + "/chk", Container: "chk"},
			`AccountURL "https://contoso.blob.core.windows.net/chk" has a container in it: name it in Container`},
		{eventhubs.BlobConfig{AccountURL: "http://127.0.0.1:10000/devstoreaccount1/chk", Container: "chk"},
			`AccountURL "http://127.0.0.1:10000/devstoreaccount1/chk" has a container in it: name it in Container`},
		{eventhubs.BlobConfig{AccountURL: "http://127.0.0.1:10000/devstoreaccount1", Container: "chk", Credential: token("t")},
			`AccountURL "http://127.0.0.1:10000/devstoreaccount1" is plain http, over which azcore sends no token: use https, or a connection string`},
		{eventhubs.BlobConfig{AccountURL: "sb://contoso.servicebus.windows.net", Container: "chk"},
			`AccountURL "sb://contoso.servicebus.windows.net": the scheme is "sb": it must be https`},
		{eventhubs.BlobConfig{AccountURL: "https://", Container: "chk"},
			`AccountURL "https://" has no host`},
		{eventhubs.BlobConfig{AccountURL: "https://user:" + key + "@contoso.blob.core.windows.net", Container: "chk"},
			`AccountURL "(not shown)" has a user or password in it: use a SAS, Credential or ConnectionString`},
		{eventhubs.BlobConfig{AccountURL: "https://contoso .blob.core.windows.net?sig=" + key, Container: "chk"},
			`AccountURL "https://contoso .blob.core.windows.net" is not a URL`},
		{eventhubs.BlobConfig{AccountURL: account + "?comp=list", Container: "chk"},
			`AccountURL "https://contoso.blob.core.windows.net" has a query that is not a SAS`},
		{eventhubs.BlobConfig{AccountURL: account + "?sig=" + key, Credential: token("t"), Container: "chk"},
			`AccountURL "https://contoso.blob.core.windows.net" has a SAS, and Credential is set too: use one`},
		{eventhubs.BlobConfig{AccountURL: "AccountKey=" + key + ";AccountName=a", Container: "chk"},
			`AccountURL is a connection string: it belongs in ConnectionString`},
		{eventhubs.BlobConfig{AccountURL: account, Container: "AccountKey=" + key},
			`Container "AccountKey" is not a container's name: 3 to 63 lower-case letters, digits and single hyphens between them`},
		{eventhubs.BlobConfig{ConnectionString: "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKey=" + key, Container: "chk"},
			`ConnectionString is one of Event Hubs: take the storage account's`},
		{eventhubs.BlobConfig{ConnectionString: "UseDevelopmentStorage=true", Container: "chk"},
			`ConnectionString: azblob does not know UseDevelopmentStorage: write out the emulator's AccountName, AccountKey and BlobEndpoint`},
		{eventhubs.BlobConfig{ConnectionString: "AccountName=a", Container: "chk"},
			`ConnectionString: connection string needs either AccountKey or SharedAccessSignature`},
		{eventhubs.BlobConfig{ConnectionString: "AccountName=a;AccountKey=" + key + "!", Container: "chk"},
			`ConnectionString: decode account key: illegal base64 data at input byte 20`},
	} {
		_, err := eventhubs.NewBlobCheckpointStore(t.Context(), c.cfg)
		require.EqualError(t, err, "eventhubs: blob config: "+c.want)
	}
}

// What the service says when the container is opened, and what we make of it.
func TestOpenBlobStoreErrors(t *testing.T) {
	for _, c := range []struct {
		op, code string
		want     string
	}{
		{blob.OpListBlobs, "AuthenticationFailed", `not authorized: check the account name and key in the connection string, and this machine's clock [403 AuthenticationFailed]`},
		{blob.OpListBlobs, "AuthorizationFailure", `not authorized: check the account name and key in the connection string, and this machine's clock; the account's network rules may also refuse this address [403 AuthorizationFailure]`},
		{blob.OpCreateContainer, "AuthorizationFailure", `it does not exist, and creating it failed: not authorized: check the account name and key in the connection string, and this machine's clock; the account's network rules may also refuse this address [403 AuthorizationFailure]`},
		{blob.OpCreateContainer, "ContainerBeingDeleted", `the container is being deleted: wait until it is gone (30 seconds or more), or use another one [409 ContainerBeingDeleted]`},
		{blob.OpListBlobs, "ServerBusy", `the storage account is busy [503 ServerBusy]`},
		{blob.OpListBlobs, "InternalError", `the service refused it: internal server error [500 InternalError]`},
	} {
		account, cfg := startStorage(t, blob.Options{})
		account.AddFault(blob.Fault{Operation: c.op, Code: c.code})
		_, err := eventhubs.NewBlobCheckpointStore(t.Context(), cfg)
		require.EqualError(t, err, `eventhubs: open checkpoint container "checkpoints" at `+endpoint(cfg)+`: `+c.want)
		var re *azcore.ResponseError
		require.ErrorAs(t, err, &re)
		require.Equal(t, c.code, re.ErrorCode)
	}
}

// A SAS in either place is refused with advice about a SAS. (The account of the tests takes none.)
func TestOpenBlobStoreWithSAS(t *testing.T) {
	_, cfg := startStorage(t, blob.Options{})
	inURL, inString := cfg, cfg
	inURL.AccountURL, inURL.ConnectionString = endpoint(cfg)+"?sv=2024-11-04&sig=canary", ""
	inString.ConnectionString = "BlobEndpoint=" + endpoint(cfg) + ";SharedAccessSignature=sv=2024-11-04&sig=canary"
	for _, c := range []eventhubs.BlobConfig{inURL, inString} {
		_, err := eventhubs.NewBlobCheckpointStore(t.Context(), c)
		require.EqualError(t, err, `eventhubs: open checkpoint container "checkpoints" at `+endpoint(cfg)+
			`: not authorized: check the SAS: its signature, its dates, and that it allows read, write, create and list in this container [403 AuthenticationFailed]`)
	}
}

// endpoint is the account's address in a connection string.
func endpoint(cfg eventhubs.BlobConfig) string {
	_, address, _ := strings.Cut(cfg.ConnectionString, "BlobEndpoint=")
	return address
}

func TestOpenBlobStoreCreatesTheContainer(t *testing.T) {
	account, cfg := startStorage(t, blob.Options{})
	s := openBlobStore(t, cfg)
	require.Equal(t, endpoint(cfg)+"/checkpoints", s.Client().URL())
	require.NoError(t, account.Put("checkpoints", "x", nil, nil))
	openBlobStore(t, cfg)
	require.Equal(t, []string{"x"}, account.Names("checkpoints", ""))

	t.Run("somebody else was faster", func(t *testing.T) {
		defer account.AddFault(blob.Fault{Operation: blob.OpListBlobs, Code: "ContainerNotFound", Times: 1})()
		openBlobStore(t, cfg)
	})
	t.Run("no right to create is needed where it exists", func(t *testing.T) {
		defer account.AddFault(blob.Fault{Operation: blob.OpCreateContainer, Code: "AuthorizationFailure"})()
		openBlobStore(t, cfg)
	})
}

// token is a credential that gives itself out.
type token string

func (k token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if k == "" {
		return azcore.AccessToken{}, errors.New("nobody is signed in")
	}
	return azcore.AccessToken{Token: string(k), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func TestBlobStoreWithToken(t *testing.T) {
	account, err := blob.New(blob.Options{Bearer: func(token string, _ *http.Request) error {
		if token != "right" {
			return errors.New("wrong token")
		}
		return nil
	}})
	require.NoError(t, err)
	server := httptest.NewTLSServer(account)
	defer server.Close()
	defer account.Close()
	transport := server.Client()
	transport.Transport.(*http.Transport).TLSClientConfig.MinVersion = tls.VersionTLS12
	defer transport.CloseIdleConnections()
	open := func(cred token) error {
		_, err := eventhubs.NewBlobCheckpointStore(t.Context(), eventhubs.BlobConfig{
			AccountURL: server.URL + "/" + blob.DevelopmentAccount + "/", Container: "checkpoints", Credential: cred,
			ClientOptions: azcore.ClientOptions{Transport: transport, Retry: policy.RetryOptions{MaxRetries: -1}},
		})
		return err
	}
	prefix := `eventhubs: open checkpoint container "checkpoints" at ` + server.URL + "/" + blob.DevelopmentAccount + ": "
	require.EqualError(t, open("wrong"), prefix+`not authorized: the account does not accept this identity's token: check that it is of the account's tenant, and this machine's clock [401 InvalidAuthenticationInfo]`)
	require.EqualError(t, open(""), prefix+`signing in failed: on your own machine run "az login"; in Azure give the machine a managed identity; or set Credential or ConnectionString: nobody is signed in`)
	remove := account.AddFault(blob.Fault{Code: "AuthorizationPermissionMismatch"})
	require.EqualError(t, open("right"), prefix+`not authorized: give this identity the role "Storage Blob Data Contributor" (a new role can take 8 minutes) [403 AuthorizationPermissionMismatch]`)
	remove()
	require.NoError(t, open("right"))
}

// roundTrip is a network of our own making.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) Do(r *http.Request) (*http.Response, error) { return f(r) }

// What net/http fails with holds the whole address, and that holds the SAS.
func TestBlobStoreNetworkErrors(t *testing.T) {
	const account = "https://contoso.blob.core.windows.net"
	for _, c := range []struct {
		err  error
		want string
	}{
		{&net.DNSError{Name: "contoso.blob.core.windows.net", IsNotFound: true}, `the host "contoso.blob.core.windows.net" is not known: check the account's name and the network`},
		{&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}, "dial tcp: connection refused"},
		{context.DeadlineExceeded, "no answer in time: context deadline exceeded"},
	} {
		cfg := eventhubs.BlobConfig{
			AccountURL: account + "?sv=2024&sig=canary", Container: "checkpoints",
			ClientOptions: azcore.ClientOptions{
				Retry: policy.RetryOptions{MaxRetries: -1},
				Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					if !strings.Contains(r.URL.RawQuery, "sig=canary") {
						t.Errorf("the SAS is missing in %s", r.URL)
					}
					if deadline, ok := r.Context().Deadline(); !ok || time.Until(deadline) > 20*time.Second || time.Until(deadline) < 10*time.Second {
						t.Errorf("a try ends at %v (%t), want 20 seconds from now", deadline, ok)
					}
					return nil, &url.Error{Op: r.Method, URL: r.URL.String(), Err: c.err}
				}),
			},
		}
		_, err := eventhubs.NewBlobCheckpointStore(t.Context(), cfg)
		require.EqualError(t, err, `eventhubs: open checkpoint container "checkpoints" at `+account+": "+c.want)
		require.ErrorIs(t, err, c.err)
		for e := err; e != nil; e = errors.Unwrap(e) {
			require.NotContains(t, e.Error(), "canary")
		}
	}
}

func TestBlobConfigShowsNoSecret(t *testing.T) {
	for _, cfg := range []eventhubs.BlobConfig{
		{ConnectionString: "AccountName=a;AccountKey=canary", Container: "chk"},
		{AccountURL: "https://contoso.blob.core.windows.net?sig=canary", Container: "chk"},
		{AccountURL: "https://user:canary@contoso.blob.core.windows.net", Container: "chk"},
		{AccountURL: "AccountKey=canary;AccountName=a", Container: "chk"},
		{AccountURL: "contoso.blob.core.windows.net?sig=canary", Container: "SharedAccessSignature=canary"},
		{AccountURL: "https://contoso.blob.core.windows.net", Container: "chk", Credential: token("canary")},
	} {
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("config", "cfg", cfg)
		shown := fmt.Sprintf("%v %+v %#v %s %q %v", cfg, cfg, cfg, cfg, cfg, &cfg) + log.String()
		require.NotContains(t, shown, "canary")
	}
	require.Equal(t, `container "chk" at https://contoso.blob.core.windows.net (DefaultAzureCredential, KeepCase false)`,
		eventhubs.BlobConfig{AccountURL: "https://contoso.blob.core.windows.net", Container: "chk"}.String())
}

func TestBlobConfigFromEnv(t *testing.T) {
	for _, c := range []struct {
		account, container, connection string
		want                           string
	}{
		{"", "", "", "BLOB_CONTAINER_NAME is not set; neither BLOB_STORAGE_ACCOUNT_URL nor BLOB_STORAGE_CONNECTION_STRING is set: set one"},
		{"https://a", "", "", "BLOB_CONTAINER_NAME is not set"},
		{"", "chk", "", "neither BLOB_STORAGE_ACCOUNT_URL nor BLOB_STORAGE_CONNECTION_STRING is set: set one"},
		{"https://a", "chk", "AccountName=a", "BLOB_STORAGE_ACCOUNT_URL and BLOB_STORAGE_CONNECTION_STRING are both set: unset one"},
		{"https://a", "", "AccountName=a", "BLOB_CONTAINER_NAME is not set; BLOB_STORAGE_ACCOUNT_URL and BLOB_STORAGE_CONNECTION_STRING are both set: unset one"},
		{"https://a\n", " chk ", "", ""},
		{"", "chk", "AccountName=a", ""},
	} {
		t.Setenv("BLOB_STORAGE_ACCOUNT_URL", c.account)
		t.Setenv("BLOB_CONTAINER_NAME", c.container)
		t.Setenv("BLOB_STORAGE_CONNECTION_STRING", c.connection)
		cfg, err := eventhubs.BlobConfigFromEnv()
		if c.want != "" {
			require.EqualError(t, err, "eventhubs: environment: "+c.want)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, eventhubs.BlobConfig{AccountURL: strings.TrimSpace(c.account), Container: "chk", ConnectionString: c.connection}, cfg)
	}
}
