package eventhubstest_test

import (
	"bytes"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// A producer that has sent nothing for half an hour has lost its link. It opens another one, and nobody notices.
func TestIdleProducer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true})
		var log bytes.Buffer
		cfg := s.Config("hub")
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		p, err := eventhubs.NewProducer(cfg, nil)
		require.NoError(t, err)
		attached := s.Fault(eventhubstest.Fault{On: eventhubstest.OnAttach, Delay: time.Second})
		defer attached()
		for _, wait := range []time.Duration{31 * time.Minute, 31 * time.Minute, 24 * time.Hour, 0} {
			began := time.Now()
			require.NoError(t, p.Send(t.Context(), eventhubs.Event{}))
			require.Equal(t, time.Second, time.Since(began), "a link was opened")
			time.Sleep(wait)
		}
		require.Len(t, s.AllEvents("hub"), 4)
		require.NoError(t, p.Close(t.Context()))
		require.Empty(t, log.String())
	})
}
