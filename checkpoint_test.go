package eventhubs_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/eventhubstest/storetest"
	"github.com/go-eventhubs/eventhubs/internal/server/blob"
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
			ConnectionString: account, Container: fmt.Sprintf("store-%d-%d", run, opened.Add(1)),
			Logger: slog.New(slog.DiscardHandler),
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
		ConnectionString: "DefaultEndpointsProtocol=http;AccountName=" + blob.DevelopmentAccount +
			";AccountKey=" + blob.DevelopmentKey + ";BlobEndpoint=" + server.URL + "/" + blob.DevelopmentAccount,
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

// What is wrong with a configuration is found before anything is sent. All of it is tested in internal/checkpoint.
func TestBlobConfigMistakes(t *testing.T) {
	_, err := eventhubs.NewBlobCheckpointStore(t.Context(), eventhubs.BlobConfig{Container: "chk"})
	const want = "eventhubs: blob config: neither AccountURL nor ConnectionString is set: set one"
	require.EqualError(t, err, want)

	_, cfg := startStorage(t, blob.Options{})
	where := endpoint(cfg)
	cfg.ConnectionString, cfg.Container = "\t\""+cfg.ConnectionString+"\"\n", " 'checkpoints'\r\n"
	s := openBlobStore(t, cfg)
	require.Equal(t, where+"/checkpoints", s.Client().URL(), "white space and quotes are dropped")
}

// Each error begins with the package's name, once, whichever store it comes from.
func TestStoreErrorsNameThePackage(t *testing.T) {
	account, cfg := startStorage(t, blob.Options{})
	blobs := openBlobStore(t, cfg)
	account.AddFault(blob.Fault{Code: "ServerBusy"})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, s := range []eventhubs.CheckpointStore{blobs, eventhubs.NewMemoryCheckpointStore()} {
		o := azeventhubs.Ownership{FullyQualifiedNamespace: "ns", EventHubName: "hub", ConsumerGroup: "g", PartitionID: "0"}
		_, claim := s.ClaimOwnership(ended, []azeventhubs.Ownership{o}, nil)
		_, owned := s.ListOwnership(ended, "ns", "hub", "g", nil)
		_, listed := s.ListCheckpoints(ended, "ns", "hub", "g", nil)
		set := s.SetCheckpoint(ended, azeventhubs.Checkpoint{}, nil)
		for _, err := range []error{claim, owned, listed, set} {
			require.ErrorContains(t, err, "eventhubs: ")
			require.Equal(t, 0, strings.LastIndex(err.Error(), "eventhubs: "), err)
		}
	}
	_, busy := blobs.ListOwnership(t.Context(), "ns", "hub", "g", nil)
	require.EqualError(t, busy, `eventhubs: list ownership blobs ns/hub/g/ownership/ in container "checkpoints": `+
		`the storage account is busy [503 ServerBusy]`)
}

// What the service says when the container is opened, and what we make of it.
func TestOpenBlobStoreErrors(t *testing.T) {
	for _, c := range []struct {
		op, code string
		want     string
	}{
		{blob.OpListBlobs, "AuthenticationFailed", `not authorized: check the account name and key in the ` +
			`connection string, and this machine's clock [403 AuthenticationFailed]`},
		{blob.OpListBlobs, "AuthorizationFailure", `not authorized: check the account name and key in the ` +
			`connection string, and this machine's clock; the account's network rules may also refuse this address ` +
			`[403 AuthorizationFailure]`},
		{blob.OpCreateContainer, "AuthorizationFailure", `the container does not exist, and creating it failed: ` +
			`not authorized: check the account name and key in the connection string, and this machine's clock; the ` +
			`account's network rules may also refuse this address [403 AuthorizationFailure]`},
		{blob.OpCreateContainer, "ContainerBeingDeleted", `the container is being deleted: wait until it is gone ` +
			`(30 seconds or more), or use another one [409 ContainerBeingDeleted]`},
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
			`: not authorized: check the SAS: its signature, its dates, and that it allows read, write, create and `+
			`list in this container [403 AuthenticationFailed]`)
	}
}

// endpoint is the account's address in a connection string.
func endpoint(cfg eventhubs.BlobConfig) string {
	_, address, _ := strings.Cut(cfg.ConnectionString, "BlobEndpoint=")
	return strings.TrimSpace(address)
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
	prefix := `eventhubs: open checkpoint container "checkpoints" at ` +
		server.URL + "/" + blob.DevelopmentAccount + ": "
	require.EqualError(t, open("wrong"), prefix+`not authorized: the account does not accept this identity's `+
		`token: check that it is of the account's tenant, and this machine's clock [401 InvalidAuthenticationInfo]`)
	require.EqualError(t, open(""), prefix+`signing in failed: on your own machine run "az login"; in Azure `+
		`give the machine a managed identity; or set Credential or ConnectionString: nobody is signed in`)
	remove := account.AddFault(blob.Fault{Code: "AuthorizationPermissionMismatch"})
	require.EqualError(t, open("right"), prefix+`not authorized: give this identity the role "Storage Blob `+
		`Data Contributor" (a new role can take 8 minutes) [403 AuthorizationPermissionMismatch]`)
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
		{&net.DNSError{Name: "contoso.blob.core.windows.net", IsNotFound: true}, `the host ` +
			`"contoso.blob.core.windows.net" is not known: check the account's name and the network`},
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
					deadline, ok := r.Context().Deadline()
					if left := time.Until(deadline); !ok || left > 20*time.Second || left < 10*time.Second {
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
		{"", "", "", "BLOB_CONTAINER_NAME is not set; neither BLOB_STORAGE_ACCOUNT_URL nor " +
			"BLOB_STORAGE_CONNECTION_STRING is set: set one"},
		{"https://a", "", "", "BLOB_CONTAINER_NAME is not set"},
		{"", "chk", "", "neither BLOB_STORAGE_ACCOUNT_URL nor BLOB_STORAGE_CONNECTION_STRING is set: set one"},
		{"https://a", "chk", "AccountName=a", "BLOB_STORAGE_ACCOUNT_URL and BLOB_STORAGE_CONNECTION_STRING are " +
			"both set: unset one"},
		{"https://a", "", "AccountName=a", "BLOB_CONTAINER_NAME is not set; BLOB_STORAGE_ACCOUNT_URL and " +
			"BLOB_STORAGE_CONNECTION_STRING are both set: unset one"},
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
		require.Equal(t, eventhubs.BlobConfig{
			AccountURL: strings.TrimSpace(c.account), Container: "chk", ConnectionString: c.connection,
		}, cfg)
	}
}

// TestTokensExpireUnderCalls runs out of tokens again and again while calls are under way. Under the race detector
// it is what finds azblob's race, which NewBlobCheckpointStore keeps away from.
func TestTokensExpireUnderCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true, TLS: true, TokenLifetime: 4 * time.Second})
		store := openBlobStore(t, srv.PasswordlessBlobConfig("checkpoints"))
		var callers sync.WaitGroup
		for partition := range 8 {
			callers.Go(func() {
				for sequence := range int64(40) {
					time.Sleep(500 * time.Millisecond)
					c := azeventhubs.Checkpoint{
						FullyQualifiedNamespace: "ns", EventHubName: "hub", ConsumerGroup: "g",
						PartitionID: strconv.Itoa(partition), SequenceNumber: &sequence,
					}
					assert.NoError(t, store.SetCheckpoint(t.Context(), c, nil))
					_, err := store.ListOwnership(t.Context(), "ns", "hub", "g", nil)
					assert.NoError(t, err)
				}
			})
		}
		callers.Wait()
	})
}

// TestCheckpointNamesHaveNoPort: consumers in other languages look for checkpoints below the namespace's name alone.
func TestCheckpointNamesHaveNoPort(t *testing.T) {
	for name, config := range map[string]func(*eventhubstest.Server, string) eventhubs.Config{
		"connection string": (*eventhubstest.Server).Config, "namespace": (*eventhubstest.Server).PasswordlessConfig,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true, TLS: true})
				cfg, store := config(srv, "hub"), eventhubs.NewMemoryCheckpointStore()
				address := cfg.Namespace
				if cfg.ConnectionString != "" {
					p, err := azeventhubs.ParseConnectionString(cfg.ConnectionString)
					require.NoError(t, err)
					address = p.FullyQualifiedNamespace
				}
				host, _, err := net.SplitHostPort(address)
				require.NoError(t, err, "without a port in %s the test shows nothing", address)

				require.NoError(t, srv.Send(t.Context(), "hub", eventhubs.Event{Body: []byte("event")}))
				c, err := eventhubs.NewConsumer(cfg, store, nil)
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				require.NoError(t, c.Receive(ctx, func(context.Context, *eventhubs.ReceivedEvent) error {
					cancel()
					return nil
				}))
				require.NoError(t, c.Close(t.Context()))
				listed, err := store.ListCheckpoints(t.Context(), host, "hub", "$Default", nil)
				require.NoError(t, err)
				require.Len(t, listed, 1)
			})
		})
	}
}
