package broker_test

import (
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

// A link is detached after nothing was sent on it for half an hour. Other links stay attached.
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

// A connection without links for events is closed five minutes after its last use.
func TestConnectionWithoutLinks(t *testing.T) {
	for name, use := range map[string]func(c *client){
		"none yet": func(*client) {},
		"a sender": func(c *client) {
			s := c.sender("hub")
			time.Sleep(10 * time.Minute)
			require.NoError(c.t, s.Close(c.t.Context()))
		},
		"a reader": func(c *client) {
			r := c.mustRead(group, earliest, nil)
			time.Sleep(10 * time.Minute)
			require.NoError(c.t, r.Close(c.t.Context()))
		},
		"questions": func(c *client) {
			s, err := c.session().NewSender(c.t.Context(), "$management", nil)
			require.NoError(c.t, err)
			for range 3 {
				time.Sleep(4 * time.Minute)
				require.NoError(c.t, s.Send(c.t.Context(), &goamqp.Message{Value: "?"}, nil))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, broker.Options{}, func(t *testing.T, s *namespace) {
				c := s.open(t)
				use(c)
				time.Sleep(5*time.Minute - time.Second)
				select {
				case <-c.conn.Done():
					require.NoError(t, c.conn.Err(), "it is closed too soon")
				default:
				}
				time.Sleep(2 * time.Second)
				<-c.conn.Done()
				var closed *goamqp.ConnError
				require.ErrorAs(t, c.conn.Err(), &closed)
				require.Equal(t, goamqp.ErrCond("amqp:connection:forced"), closed.RemoteErr.Condition)
				require.Contains(t, closed.RemoteErr.Description, "any active links in the past 300000 milliseconds")
			})
		})
	}
}

const publisherIdle = 30 * time.Minute
