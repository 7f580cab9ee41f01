package checkpoint_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/checkpoint"
	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

// issuer is a credential whose tokens are numbered, and the account's view of them.
type issuer struct {
	life time.Duration
	slow time.Duration // how long it takes to get a token

	stateMu sync.Mutex
	issued  int
	expires []time.Time // of token 1, 2, …
	refused int
	claims  string // of the last request
	hangs   bool   // until the caller gives up
	fails   error
	least   int // tokens with a lower number are refused
}

func (i *issuer) set(change func()) {
	i.stateMu.Lock()
	defer i.stateMu.Unlock()
	change()
}

func (i *issuer) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	time.Sleep(i.slow)
	i.stateMu.Lock()
	defer i.stateMu.Unlock()
	if i.hangs {
		i.stateMu.Unlock()
		<-ctx.Done()
		i.stateMu.Lock()
		return azcore.AccessToken{}, ctx.Err()
	}
	if i.fails != nil {
		return azcore.AccessToken{}, i.fails
	}
	i.issued++
	i.claims = o.Claims
	i.expires = append(i.expires, time.Now().Add(i.life))
	return azcore.AccessToken{Token: strconv.Itoa(i.issued), ExpiresOn: i.expires[i.issued-1]}, nil
}

func (i *issuer) check(token string, _ *http.Request) error {
	i.stateMu.Lock()
	defer i.stateMu.Unlock()
	n, err := strconv.Atoi(token)
	if err != nil || n < i.least || !time.Now().Before(i.expires[n-1]) {
		i.refused++
		return errors.New("the token is refused")
	}
	return nil
}

// start makes an account that knows the issuer, and a store in it. The first token was issued.
func (i *issuer) start(t *testing.T) *checkpoint.BlobStore {
	t.Helper()
	return openDirect(t, newAccount(t, blob.Options{Bearer: i.check}), i, checkpoint.BlobOptions{})
}

func list(ctx context.Context, s *checkpoint.BlobStore) error {
	_, err := s.ListOwnership(ctx, ns, hub, group, nil)
	return err
}

func TestTokenIsKeptAndRenewedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		store := i.start(t)
		for minute := 1; minute <= 170; minute++ {
			time.Sleep(time.Minute)
			require.NoError(t, list(t.Context(), store))
			require.Equal(t, 1+minute/55, i.issued, "after %d minutes", minute)
		}
	})
}

// However soon tokens expire, none is used that has.
func TestShortTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: 4 * time.Second}
		store := i.start(t)
		for range 40 {
			time.Sleep(500 * time.Millisecond)
			require.NoError(t, list(t.Context(), store))
		}
		require.Zero(t, i.refused)
		require.LessOrEqual(t, i.issued, 11, "each is used for at least half of its life")
	})
}

// Calls that need a token at the same time share one.
func TestTokenIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour, slow: time.Second}
		store := i.start(t)
		time.Sleep(2 * time.Hour)
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() {
				assert.Equal(t, time.Second, took(func() { assert.NoError(t, list(t.Context(), store)) }))
			})
		}
		callers.Wait()
		require.Equal(t, 2, i.issued)
	})
}

// While a token holds, an identity service that doesn't answer keeps nobody but the call that asks it, for five
// seconds.
func TestRenewalThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		store := i.start(t)
		time.Sleep(56 * time.Minute)
		i.set(func() { i.hangs = true })
		asking := make(chan time.Duration)
		go func() { asking <- took(func() { assert.NoError(t, list(t.Context(), store)) }) }()
		synctest.Wait()
		for range 3 {
			require.Zero(t, took(func() { require.NoError(t, list(t.Context(), store)) }))
		}
		require.Equal(t, 5*time.Second, <-asking)
		require.Zero(t, took(func() { require.NoError(t, list(t.Context(), store)) }), "not every call asks")

		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		lasted := took(func() { require.NoError(t, list(ctx, store)) })
		require.Equal(t, 2*time.Second, lasted, "a call that has little time has some left afterwards")
	})
}

// Without a token, each call waits for no longer than its own context, and goes on as soon as there is one.
func TestWaitForToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		store := i.start(t)
		time.Sleep(2 * time.Hour)
		i.set(func() { i.hangs = true })
		var callers sync.WaitGroup
		for n := range 5 {
			for _, c := range calls() {
				callers.Go(func() {
					limit := time.Duration(n+1) * time.Second
					ctx, cancel := context.WithTimeout(t.Context(), limit)
					defer cancel()
					lasted := took(func() { assert.ErrorIs(t, c.do(ctx, store), context.DeadlineExceeded, c.name) })
					assert.Equal(t, limit, lasted, c.name)
				})
			}
		}
		callers.Wait()

		lasted := took(func() {
			require.EqualError(t, list(t.Context(), store), `list ownership blobs `+lowerOwnership+` in container "chk": `+
				`no answer in time: waiting for a token: context deadline exceeded`)
		})
		require.Equal(t, 20*time.Second, lasted, "azcore tries no sign-in again")

		waiting := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { waiting <- list(ctx, store) }()
		synctest.Wait()
		go func() { waiting <- list(t.Context(), store) }()
		synctest.Wait()
		i.set(func() { i.hangs = false })
		cancel()
		require.ErrorIs(t, <-waiting, context.Canceled)
		require.NoError(t, <-waiting)
	})
}

func TestSignInFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		store := i.start(t)
		why := errors.New("no identity")
		i.set(func() { i.fails = why })
		time.Sleep(58 * time.Minute)
		require.NoError(t, list(t.Context(), store), "the token still holds")
		time.Sleep(2 * time.Minute)
		err := list(t.Context(), store)
		require.ErrorIs(t, err, why)
		require.ErrorContains(t, err, `in container "chk": signing in failed: `)
		i.set(func() { i.fails = nil })
		require.NoError(t, list(t.Context(), store))
	})
}

// A token that is refused before its time is replaced once, whoever finds out.
func TestRefusedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		store := i.start(t)
		i.set(func() { i.least = 2 })
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() { assert.NoError(t, list(t.Context(), store)) })
		}
		callers.Wait()
		require.Equal(t, 2, i.issued)

		i.set(func() { i.least = 100 })
		require.EqualError(t, list(t.Context(), store), `list ownership blobs `+lowerOwnership+` in container "chk": `+
			`not authorized: the account does not accept this identity's token: check that it is of the account's tenant, `+
			`and this machine's clock [401 InvalidAuthenticationInfo]`)
		require.Equal(t, 3, i.issued)
	})
}

// The service may ask for a token with more in it.
func TestClaimsChallenge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		account := newAccount(t, blob.Options{Bearer: i.check})
		asks := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer 1" {
				w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_claims", claims="eyJhIjoxfQ=="`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			account.ServeHTTP(w, r)
		})
		store := openDirect(t, asks, i, checkpoint.BlobOptions{})
		require.Equal(t, `{"a":1}`, i.claims)
		require.NoError(t, list(t.Context(), store))
		require.Equal(t, 2, i.issued)
	})
}

// Tokens go over plain http only where that is asked for: then they do.
func TestTokenOverHTTP(t *testing.T) {
	i := &issuer{life: time.Hour}
	a := checkpoint.Account{
		URL: "http://127.0.0.1:10000/" + blob.DevelopmentAccount, Container: "chk", Credential: i,
		Client: azcore.ClientOptions{
			Transport:                       direct{newAccount(t, blob.Options{Bearer: i.check})},
			InsecureAllowCredentialWithHTTP: true,
		},
	}
	_, err := checkpoint.OpenBlobStore(t.Context(), a, checkpoint.BlobOptions{})
	require.NoError(t, err)
	require.Equal(t, 1, i.issued)
}
