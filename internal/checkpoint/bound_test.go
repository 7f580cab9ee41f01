package checkpoint_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/checkpoint"
	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

// anyToken is a credential whose tokens hold for an hour.
type anyToken struct{}

func (anyToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "t", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// No call takes longer than its context, wherever it waits, nor than a minute.
func TestCallsEnd(t *testing.T) {
	for why, fault := range map[string]blob.Fault{
		"no answer":    {Hang: true},
		"late answers": {Delay: 90 * time.Second},
		"busy":         {Code: "ServerBusy"},
	} {
		for _, c := range calls() {
			t.Run(why+"/"+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					account := newAccount(t, blob.Options{})
					store := openDirect(t, account, anyToken{}, checkpoint.BlobOptions{})
					fault.Operation = c.op
					account.AddFault(fault)

					for _, limit := range []time.Duration{3 * time.Second, 30 * time.Second} {
						ctx, cancel := context.WithTimeout(t.Context(), limit)
						defer cancel()
						lasted := took(func() { require.Error(t, c.do(ctx, store)) })
						require.LessOrEqual(t, lasted, limit)
						if fault.Hang {
							require.Equal(t, limit, lasted)
						}
					}
					var err error
					lasted := took(func() { err = c.do(t.Context(), store) })
					require.Error(t, err)
					if lasted < time.Minute { // azcore's retries were used up
						require.Equal(t, "ServerBusy", fault.Code)
						require.Greater(t, lasted, 5*time.Second)
						return
					}
					require.Equal(t, time.Minute, lasted)
					require.ErrorIs(t, err, context.DeadlineExceeded)
				})
			})
		}
	}
}

// A call whose time is over says what the service has answered before.
func TestLastAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		fault blob.Fault
		want  string
	}{
		"busy": {
			blob.Fault{Code: "ServerBusy"}, "the storage account is busy [503 ServerBusy]: no time was left",
		},
		"no answer":                 {blob.Fault{Hang: true}, "no answer in time"},
		"no answer after a refusal": {blob.Fault{Code: "ServerBusy", Times: 1}, "[503 ServerBusy]: no time was left"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				account := newAccount(t, blob.Options{})
				store := openDirect(t, account, anyToken{}, checkpoint.BlobOptions{})
				account.AddFault(c.fault)
				if c.fault.Times > 0 {
					account.AddFault(blob.Fault{Hang: true})
				}
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				_, err := store.ListOwnership(ctx, ns, hub, group, nil)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorContains(t, err, c.want)
				require.Equal(t, strings.Contains(c.want, "503"), bloberror.HasCode(err, bloberror.ServerBusy))
			})
		})
	}
}

// The service may ask for a pause. It ends with ctx, too.
func TestPauseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		account := newAccount(t, blob.Options{})
		store := openDirect(t, retryAfter{account, "50"}, anyToken{}, checkpoint.BlobOptions{})
		account.AddFault(blob.Fault{Code: "ServerBusy"})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		lasted := took(func() {
			_, err := store.ListOwnership(ctx, ns, hub, group, nil)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
		require.Equal(t, 3*time.Second, lasted)
	})
}

// A memory store waits for nothing.
func TestMemoryCallsEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range calls() {
		require.ErrorIs(t, c.do(ctx, checkpoint.NewMemoryStore()), context.Canceled, c.name)
		require.NoError(t, c.do(t.Context(), checkpoint.NewMemoryStore()), c.name)
	}
}
