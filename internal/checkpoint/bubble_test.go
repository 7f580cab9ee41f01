package checkpoint_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/checkpoint"
	"github.com/go-eventhubs/eventhubs/internal/handover"
	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

// direct calls the server without a network, so that everything fits in a bubble of testing/synctest.
type direct struct{ handler http.Handler }

func (d direct) Do(r *http.Request) (*http.Response, error) {
	at := r.Clone(r.Context())
	at.RequestURI, at.TLS = r.URL.RequestURI(), &tls.ConnectionState{}
	if at.Body == nil {
		at.Body = http.NoBody
	}
	at.Header = canonical(r.Header)
	answer := httptest.NewRecorder()
	d.handler.ServeHTTP(answer, at)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	got := answer.Result()
	got.Header = canonical(got.Header)
	return got, nil
}

// canonical has the names as net/http hands them to who reads from a connection.
func canonical(h http.Header) http.Header {
	out := http.Header{}
	for name, values := range h {
		out[http.CanonicalHeaderKey(name)] = values
	}
	return out
}

// openDirect makes a store in an account, with BlobConfig's defaults for retries.
func openDirect(
	t *testing.T, account http.Handler, cred azcore.TokenCredential, opts checkpoint.BlobOptions,
) *checkpoint.BlobStore {
	t.Helper()
	a := checkpoint.Account{
		URL: "https://" + blob.DevelopmentAccount + ".blob.core.windows.net", Container: "chk", Credential: cred,
		Client: azcore.ClientOptions{Transport: direct{account}},
	}
	if opts.Logger == nil {
		opts.Logger = (&logs{}).logger()
	}
	store, err := checkpoint.OpenBlobStore(t.Context(), a, opts)
	require.NoError(t, err)
	return store
}

// newAccount lets everybody in who has a token.
func newAccount(t *testing.T, opts blob.Options) *blob.Account {
	t.Helper()
	if opts.Bearer == nil {
		opts.Bearer = func(string, *http.Request) error { return nil }
	}
	account, err := blob.New(opts)
	require.NoError(t, err)
	t.Cleanup(account.Close)
	return account
}

// call is one of a store's calls, and the operation of the service that it needs.
type call struct {
	name string
	op   string
	do   func(ctx context.Context, s handover.Store) error
}

// calls are all that a store can be asked.
func calls() []call {
	request := handover.Request{
		FullyQualifiedNamespace: ns, EventHubName: hub, ConsumerGroup: group, PartitionID: "0",
		OwnerID: "joiner", FromOwnerID: "owner",
	}
	return []call{
		{"claim", blob.OpPutBlob, func(ctx context.Context, s handover.Store) error {
			_, err := s.ClaimOwnership(ctx, wanted(40), nil)
			return err
		}},
		{"list ownership", blob.OpListBlobs, func(ctx context.Context, s handover.Store) error {
			_, err := s.ListOwnership(ctx, ns, hub, group, nil)
			return err
		}},
		{"list claims", blob.OpListBlobs, func(ctx context.Context, s handover.Store) error {
			_, _, err := s.ListClaims(ctx, ns, hub, group)
			return err
		}},
		{"list checkpoints", blob.OpListBlobs, func(ctx context.Context, s handover.Store) error {
			_, err := s.ListCheckpoints(ctx, ns, hub, group, nil)
			return err
		}},
		{"read checkpoint", blob.OpGetBlobProperties, func(ctx context.Context, s handover.Store) error {
			return s.SetCheckpoint(ctx, point("7", 1), nil)
		}},
		{"write checkpoint", blob.OpPutBlob, func(ctx context.Context, s handover.Store) error {
			return s.SetCheckpoint(ctx, point("8", 1), nil)
		}},
		{"put request", blob.OpPutBlob, func(ctx context.Context, s handover.Store) error {
			return s.PutRequest(ctx, request)
		}},
		{"delete request", blob.OpDeleteBlob, func(ctx context.Context, s handover.Store) error {
			return s.DeleteRequest(ctx, request)
		}},
	}
}

// took is how long a call takes, in virtual time.
func took(do func()) time.Duration {
	began := time.Now()
	do()
	return time.Since(began)
}

// retryAfter has each answer ask for a pause.
type retryAfter struct {
	http.Handler
	seconds string
}

func (h retryAfter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", h.seconds)
	h.Handler.ServeHTTP(w, r)
}
