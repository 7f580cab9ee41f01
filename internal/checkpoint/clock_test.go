package checkpoint_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/checkpoint"
	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

// A claim is as old as it is to the service, however far this machine's clock is off.
func TestClocksThatDiffer(t *testing.T) {
	const s, m = time.Second, time.Minute
	for _, skew := range []time.Duration{-10 * m, -3 * s, -s, 0, s, 3 * s, 10 * m} {
		t.Run(skew.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				account := newAccount(t, blob.Options{Now: func() time.Time { return time.Now().Add(skew) }})
				store := openDirect(t, account, anyToken{}, checkpoint.BlobOptions{})
				time.Sleep(300 * time.Millisecond)
				claimed, err := store.ClaimOwnership(t.Context(), wanted(1), nil)
				require.NoError(t, err)
				require.NoError(t, store.PutRequest(t.Context(), asking("0", "a", "b")))
				requireAge(t, 0, skew, claimed[0].LastModifiedTime)
				for range 5 {
					time.Sleep(10*time.Second + 700*time.Millisecond)
					listed, asked, err := store.ListClaims(t.Context(), ns, hub, group)
					require.NoError(t, err)
					age := time.Since(claimed[0].LastModifiedTime).Truncate(time.Millisecond)
					requireAge(t, age, skew, listed[0].LastModifiedTime)
					requireAge(t, age, skew, asked[0].LastModifiedTime)
				}
			})
		})
	}
}

// requireAge allows for the seconds in which dates are counted, and for a difference that is tolerated.
func requireAge(t *testing.T, want, skew time.Duration, at time.Time) {
	t.Helper()
	tolerated := time.Second
	if skew.Abs() <= 2*time.Second {
		tolerated += skew.Abs()
	}
	require.InDelta(t, want.Seconds(), time.Since(at).Seconds(), tolerated.Seconds())
}

// Times that agree are left as the service has them, so that what a claim returned is what is listed.
func TestClocksThatAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openDirect(t, newAccount(t, blob.Options{}), anyToken{}, checkpoint.BlobOptions{})
		claimed, err := store.ClaimOwnership(t.Context(), wanted(1), nil)
		require.NoError(t, err)
		for range 20 {
			time.Sleep(333 * time.Millisecond)
			listed, err := store.ListOwnership(t.Context(), ns, hub, group, nil)
			require.NoError(t, err)
			require.Equal(t, claimed[0].LastModifiedTime, listed[0].LastModifiedTime)
		}
	})
}

// A proxy may drop the date of an answer.
func TestAnswerWithoutDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		account := newAccount(t, blob.Options{Now: func() time.Time { return time.Now().Add(-time.Hour) }})
		proxy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			account.ServeHTTP(dateless{w}, r)
		})
		store := openDirect(t, proxy, anyToken{}, checkpoint.BlobOptions{})
		claimed, err := store.ClaimOwnership(t.Context(), wanted(1), nil)
		require.NoError(t, err)
		require.Equal(t, time.Now().Add(-time.Hour).Unix(), claimed[0].LastModifiedTime.Unix())
	})
}

type dateless struct{ http.ResponseWriter }

func (w dateless) WriteHeader(status int) {
	w.Header().Del("Date")
	w.ResponseWriter.WriteHeader(status)
}
