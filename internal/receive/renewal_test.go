package receive_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// TestRenewalIsPaced has the token of an open link not be renewed for a while. The SDK, with its retries off, would try
// again without a pause, ten times a second here.
func TestRenewalIsPaced(t *testing.T) {
	for name, fault := range map[string]eventhubstest.Fault{
		"busy":            {Condition: "com.microsoft:server-busy"},
		"internal error":  {Condition: "amqp:internal-error"},
		"connection lost": {DropConnection: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(s *scene) {
				r := s.receive("one", rarely, nothing)
				s.send("0", 1)
				s.untilHandled(margin, "0", 1)
				var tries atomic.Int64
				fault.On, fault.Happened = eventhubstest.OnToken, &tries
				heal := s.srv.Fault(fault)
				for began := time.Now(); tries.Load() == 0; time.Sleep(time.Minute) {
					require.Less(s, time.Since(began), 24*time.Hour, "the token is renewed some time")
				}
				before := tries.Load()
				const minutes = 20
				time.Sleep(minutes * time.Minute)
				require.Less(s, tries.Load()-before, int64(2*minutes*3+10), "two a minute after the first few, and the SDK's "+
					"own of other links")
				heal()
				s.send("0", 1)
				s.untilHandled(time.Minute, "0", 2)
				require.Less(s, r.stop(), margin)
			})
		})
	}
}
