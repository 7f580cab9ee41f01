package broker_test

import (
	"fmt"
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

// When a token expires, the links that it covers are closed, and no others.
func TestTokenExpires(t *testing.T) {
	t.Parallel()
	s := serve(t, broker.Options{
		Hubs: []broker.Hub{{Name: "brief", Partitions: 1}, {Name: "renewed", Partitions: 1}, {Name: "later", Partitions: 1}},
	})
	c := s.dial(t)
	soon := time.Now().Add(2 * time.Second).Truncate(time.Second)
	put := func(hub string, expires time.Time) {
		code, description := c.put(hub, sas("sb://host/"+hub, "root", rootKey, expires))
		require.Equal(t, int32(202), code, description)
	}
	put("later", soon.Add(time.Second))
	put("renewed", soon)
	put("brief", soon)
	senders, readers := map[string]*goamqp.Sender{}, map[string]*goamqp.Receiver{}
	for _, hub := range []string{"brief", "renewed", "later"} {
		senders[hub] = c.sender(hub)
		readers[hub] = c.mustRead(hub+"/ConsumerGroups/$Default/Partitions/0", earliest, nil)
	}
	put("renewed", time.Now().Add(time.Hour))

	e := ended(t, readers["brief"])
	require.Equal(t, goamqp.ErrCondUnauthorizedAccess, e.Condition)
	require.Contains(t, e.Description, "ExpiredToken")
	require.False(t, time.Now().Before(soon), "it was closed too early")
	require.Eventually(t, func() bool { // the sender's link is closed, too
		return senders["brief"].Send(ctx(t), goamqp.NewMessage(nil), nil) != nil
	}, patience, time.Millisecond)
	requireCondition(t, senders["brief"].Send(ctx(t), goamqp.NewMessage(nil), nil), "amqp:unauthorized-access")
	_, err := c.sess.NewSender(ctx(t), "brief", nil)
	requireCondition(t, err, "amqp:unauthorized-access")

	for _, hub := range []string{"renewed", "later"} {
		require.NoError(t, senders[hub].Send(ctx(t), goamqp.NewMessage([]byte(hub)), nil))
		require.Equal(t, hub, string(next(t, readers[hub]).GetData()))
	}
	put("brief", time.Now().Add(time.Hour))
	c.send("brief", "again")
	require.Equal(t, goamqp.ErrCondUnauthorizedAccess, ended(t, readers["later"]).Condition)
	require.False(t, time.Now().Before(soon.Add(time.Second)))
	require.NoError(t, senders["renewed"].Send(ctx(t), goamqp.NewMessage(nil), nil))
}

// Links come and go while tokens expire. No link may stay open without a token.
func TestTokenExpiresWhileAttaching(t *testing.T) {
	t.Parallel()
	s := serve(t, broker.Options{})
	soon := time.Now().Add(2 * time.Second).Truncate(time.Second)
	c := s.dial(t)
	code, _ := c.put("hub", sas("sb://host/", "root", rootKey, soon))
	require.Equal(t, int32(202), code)
	var last *goamqp.Receiver
	var sessions []*goamqp.Session
	for i := 0; ; i++ {
		sess, err := c.conn.NewSession(ctx(t), nil)
		require.NoError(t, err)
		r, err := sess.NewReceiver(ctx(t), group, &goamqp.ReceiverOptions{Properties: withEpoch("r", int64(i))})
		if err != nil {
			requireCondition(t, err, "amqp:unauthorized-access")
			break
		}
		last = r
		if sessions = append(sessions, sess); len(sessions) > 3 { // its links were evicted long ago
			require.NoError(t, sessions[0].Close(ctx(t)))
			sessions = sessions[1:]
		}
	}
	// The link may also have been evicted by one whose token expired before it was attached.
	require.Contains(t, []goamqp.ErrCond{"amqp:unauthorized-access", "amqp:link:stolen"}, ended(t, last).Condition)
}

// A connection may have thousands of tokens, and each covers what it is for.
func TestManyTokens(t *testing.T) {
	c := serve(t, broker.Options{}).dial(t)
	sender, err := c.sess.NewSender(ctx(t), "$cbs", nil)
	require.NoError(t, err)
	receiver, err := c.sess.NewReceiver(ctx(t), "$cbs", &goamqp.ReceiverOptions{TargetAddress: "answers", Credit: 500})
	require.NoError(t, err)
	const n = 3000
	failed := make(chan error, 1)
	go func() {
		failed <- func() error {
			for i := range n {
				audience := fmt.Sprintf("sb://host/hub/Partitions/0/%d", i)
				err := sender.Send(ctx(t), &goamqp.Message{
					// each expires before the previous one
					Value:      sas(audience, "root", rootKey, time.Now().Add(time.Duration(n-i)*time.Hour)),
					Properties: &goamqp.MessageProperties{MessageID: uint64(i), ReplyTo: ptr("answers")},
					ApplicationProperties: map[string]any{
						"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": audience,
					},
				}, &goamqp.SendOptions{Settled: true})
				if err != nil {
					return err
				}
			}
			return nil
		}()
	}()
	for i := range n {
		m := next(t, receiver)
		require.Equal(t, uint64(i), m.Properties.CorrelationID)
		require.Equal(t, int32(202), m.ApplicationProperties["status-code"])
	}
	require.NoError(t, <-failed)
	_, err = c.sess.NewSender(ctx(t), "hub/Partitions/0", nil)
	requireCondition(t, err, "amqp:unauthorized-access") // none of them covers it
}
