package lease_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/lease"
)

func TestClaimsDoNotAgeInAnOutage(t *testing.T) {
	const expiration = 300 * time.Millisecond
	inner := newFlaky()
	s := newStore(t, inner, func(o *lease.Options) { o.Expiration = expiration })
	made := claim(t, inner, ownership("0", them))[0].LastModifiedTime
	inner.set(times(8, "list ownership"), nil) // tried again after about 75 ms each

	age := func() time.Duration {
		listed, err := s.ListOwnership(t.Context(), "ns", "hub", "group", nil)
		require.NoError(t, err)
		require.Len(t, listed, 1)
		return time.Since(listed[0].LastModifiedTime)
	}
	began := time.Now()
	require.Less(t, age(), expiration, "nobody could renew it")
	require.Greater(t, time.Since(began), expiration, "or the test shows nothing")
	require.Eventually(t, func() bool { return age() > expiration }, 10*time.Second, 10*time.Millisecond, "somebody could have renewed it since")
	require.Less(t, time.Since(made)-age(), 100*time.Millisecond, "the outage is long over")
}
