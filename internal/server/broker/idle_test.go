package broker_test

import (
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

// A link on which nothing was sent for half an hour is detached. Other links stay.
func TestIdlePublisher(t *testing.T) {
	virtual(t, broker.Options{}, func(t *testing.T, s *namespace) {
		c := s.dial(t)
		c.put("sb://host/", sas("sb://host/", "root", rootKey, time.Now().Add(24*time.Hour)))
		idle, busy := c.sender("hub/Partitions/0"), c.sender("hub")
		r := c.mustRead(group, earliest, nil)
		send := func(sender *goamqp.Sender) error {
			return sender.Send(t.Context(), goamqp.NewMessage([]byte("x")), nil)
		}
		for range 3 {
			time.Sleep(publisherIdle - time.Second)
			require.NoError(t, send(idle))
			require.NoError(t, send(busy))
		}
		time.Sleep(publisherIdle - time.Second)
		require.NoError(t, send(busy))
		time.Sleep(2 * time.Second)
		requireCondition(t, send(idle), "amqp:link:detach-forced", "IdleTimerExpired: Idle timeout: 00:30:00")
		require.NoError(t, send(busy))
		require.NoError(t, send(c.sender("hub/Partitions/0")))
		require.NotNil(t, next(t, r))
	})
}

const publisherIdle = 30 * time.Minute
