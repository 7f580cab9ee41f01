package amqp_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

func TestConnect(t *testing.T) {
	for name, sasl := range map[string]goamqp.SASLType{
		"no SASL":   nil,
		"anonymous": goamqp.SASLTypeAnonymous(),
		"plain":     goamqp.SASLTypePlain("user", "password"),
		"external":  goamqp.SASLTypeExternal(""),
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, amqp.Config{}, acceptAll)
			c := dial(t, s, &goamqp.ConnOptions{
				SASLType: sasl, HostName: "here.example", Properties: map[string]any{"product": "a test"},
			})
			require.NoError(t, sender(t, c, nil).Send(ctx(t), goamqp.NewMessage([]byte("x")), nil))
			require.NoError(t, c.Close())
			require.NoError(t, s.result())
			sc := s.conn()
			require.Equal(t, "here.example", sc.Hostname())
			require.Equal(t, "a test", sc.Properties().Get("product"))
		})
	}
}

func TestServerCloses(t *testing.T) {
	s := serve(t, amqp.Config{}, acceptAll)
	c := dial(t, s, nil)
	snd := sender(t, c, nil)
	s.conn().Close(amqp.Errorf(amqp.CondConnectionForced, "maintenance"))
	receive(t, c.Done())
	var ce *goamqp.ConnError
	require.ErrorAs(t, c.Err(), &ce)
	require.Equal(t, &goamqp.Error{Condition: "amqp:connection:forced", Description: "maintenance"}, ce.RemoteErr)
	require.ErrorAs(t, snd.Send(ctx(t), goamqp.NewMessage(nil), nil), &ce)
	require.NoError(t, s.result())
}

func TestRefused(t *testing.T) {
	refuse := handler(func(l *amqp.Link) { l.Refuse(amqp.Errorf(amqp.CondUnauthorized, "not %s", l.Address())) })
	want := &goamqp.Error{Condition: "amqp:unauthorized-access", Description: "not hub"}
	s := serve(t, amqp.Config{}, refuse)
	sess := session(t, dial(t, s, nil))
	for range 3 { // the session stays usable
		_, err := sess.NewSender(ctx(t), "hub", nil)
		require.Equal(t, want, err)
		_, err = sess.NewReceiver(ctx(t), "hub", nil)
		require.Equal(t, want, err)
	}
}

func TestAttachTellsAndEchoes(t *testing.T) {
	links := make(chan *amqp.Link, 2)
	s := serve(t, amqp.Config{MaxMessageSize: 12345}, handler(func(l *amqp.Link) {
		links <- l
		l.Accept(amqp.LinkOptions{
			Source: &queue{}, Sink: sink((*amqp.Delivery).Accept),
			Properties: amqp.Map{{Key: amqp.Symbol("a"), Value: int64(7)}},
		})
	}))
	c := dial(t, s, nil)
	settled, first, second := goamqp.SenderSettleModeSettled, goamqp.ReceiverSettleModeFirst,
		goamqp.ReceiverSettleModeSecond

	snd := sender(t, c, &goamqp.SenderOptions{
		Name: "one", SettlementMode: &settled, RequestedReceiverSettleMode: &first, SourceAddress: "me",
		Properties: map[string]any{"epoch": int64(5)}, DesiredCapabilities: []string{"x", "y"},
	})
	require.EqualValues(t, 12345, snd.MaxMessageSize())
	require.Equal(t, map[string]any{"a": int64(7)}, snd.Properties())
	l := receive(t, links)
	require.Equal(t, "one", l.Name)
	require.False(t, l.Receiving)
	require.Equal(t, amqp.SettleModeSettled, l.SenderSettleMode)
	require.Equal(t, "hub", l.Address())
	require.Equal(t, "me", l.PeerAddress())
	require.Equal(t, int64(5), l.Properties.Get("epoch"))
	require.Equal(t, []amqp.Symbol{"x", "y"}, l.DesiredCapabilities)
	require.NotNil(t, l.Conn())

	r := receiver(t, c, &goamqp.ReceiverOptions{
		Name: "two", RequestedSenderSettleMode: &settled, SettlementMode: &second, TargetAddress: "back",
		Filters: []goamqp.LinkFilter{goamqp.NewSelectorFilter("a > 1")}, DesiredCapabilities: []string{"z"},
	})
	require.Equal(t, "hub", r.Address())
	require.Equal(t, "a > 1", r.LinkSourceFilterValue("apache.org:selector-filter:string"), "the filter is echoed")
	l = receive(t, links)
	require.True(t, l.Receiving)
	require.Equal(t, "hub", l.Address())
	require.Equal(t, "back", l.PeerAddress())
	require.Equal(t, []amqp.Symbol{"z"}, l.DesiredCapabilities)
	d, _ := l.Filters().Get("apache.org:selector-filter:string").(amqp.Described)
	require.Equal(t, "a > 1", d.Value)
}

func TestServerDetaches(t *testing.T) {
	links := make(chan *amqp.Link, 2)
	s := serve(t, amqp.Config{}, handler(func(l *amqp.Link) {
		l.Accept(amqp.LinkOptions{Source: &queue{}, Sink: sink((*amqp.Delivery).Drop)})
		links <- l
	}))
	c := dial(t, s, nil)
	want := &goamqp.Error{Condition: "amqp:link:stolen", Description: "by another"}

	r := receiver(t, c, nil)
	receive(t, links).Detach(amqp.Errorf(amqp.CondStolen, "by another"))
	_, err := r.Receive(ctx(t), nil)
	var le *goamqp.LinkError
	require.ErrorAs(t, err, &le)
	require.Equal(t, want, le.RemoteErr)

	snd := sender(t, c, nil)
	sent := make(chan error, 1)
	go func() { sent <- snd.Send(ctx(t), goamqp.NewMessage([]byte("never answered")), nil) }()
	l := receive(t, links)
	l.Detach(amqp.Errorf(amqp.CondStolen, "by another"))
	l.Detach(amqp.Errorf(amqp.CondStolen, "again")) // does nothing
	require.ErrorAs(t, receive(t, sent), &le)
	require.Equal(t, want, le.RemoteErr)
}

// A client that gives up on an attach detaches the link before it is accepted, the next time it uses the session.
func TestAttachAbandoned(t *testing.T) {
	links := make(chan *amqp.Link, 2)
	s := serve(t, amqp.Config{}, handler(func(l *amqp.Link) {
		if l.Name == "slow" {
			links <- l
			return
		}
		acceptAll(l)
	}))
	sess := session(t, dial(t, s, nil))
	impatient, cancel := context.WithCancel(ctx(t))
	failed := make(chan error, 1)
	go func() {
		_, err := sess.NewSender(impatient, "hub", &goamqp.SenderOptions{Name: "slow"})
		failed <- err
	}()
	l := receive(t, links)
	cancel()
	require.ErrorIs(t, receive(t, failed), context.Canceled)

	snd, err := sess.NewSender(ctx(t), "hub", nil)
	require.NoError(t, err)
	closed := make(chan struct{})
	l.Accept(amqp.LinkOptions{Sink: sink((*amqp.Delivery).Accept), Closed: func() { close(closed) }})
	receive(t, closed)
	for range 3 {
		require.NoError(t, snd.Send(ctx(t), goamqp.NewMessage([]byte("x")), nil))
	}
}

func TestManySessions(t *testing.T) {
	const n = 1000
	s := serve(t, amqp.Config{}, acceptAll)
	c := dial(t, s, nil)
	var all sync.WaitGroup
	errs := make(chan error, n)
	for i := range n {
		all.Go(func() {
			errs <- func() error {
				sess, err := c.NewSession(ctx(t), nil)
				if err != nil {
					return err
				}
				snd, err := sess.NewSender(ctx(t), fmt.Sprintf("hub/%d", i), nil)
				if err != nil {
					return err
				}
				if err := snd.Send(ctx(t), goamqp.NewMessage([]byte("x")), nil); err != nil {
					return err
				}
				if i%2 == 0 {
					return nil
				}
				return errors.Join(snd.Close(ctx(t)), sess.Close(ctx(t)))
			}()
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.NoError(t, c.Close())
	require.NoError(t, s.result())
}

func TestTooManySessionsAndLinks(t *testing.T) {
	s := serve(t, amqp.Config{MaxSessions: 3, MaxLinks: 2}, acceptAll)
	c := dial(t, s, nil)
	one := session(t, c)
	_, err := one.NewSender(ctx(t), "hub", nil)
	require.NoError(t, err)
	two, err := one.NewSender(ctx(t), "hub", nil)
	require.NoError(t, err)
	three := session(t, c)
	_, err = three.NewSender(ctx(t), "hub", nil)
	var se *goamqp.SessionError
	require.ErrorAs(t, err, &se)
	require.Equal(t, goamqp.ErrCondResourceLimitExceeded, se.RemoteErr.Condition)

	require.NoError(t, two.Close(ctx(t)))
	_, err = session(t, c).NewSender(ctx(t), "hub", nil)
	require.NoError(t, err, "there is room for a link again")
	session(t, c)
	_, err = c.NewSession(ctx(t), nil)
	require.ErrorContains(t, err, "channel max", "the client has read the limit from the open frame")
}

func TestIdleClientStays(t *testing.T) {
	t.Parallel()
	const idle = 600 * time.Millisecond
	s := serve(t, amqp.Config{IdleTimeout: idle}, acceptAll)
	c := dial(t, s, &goamqp.ConnOptions{IdleTimeout: idle})
	select {
	case <-c.Done():
		require.FailNow(t, "the connection has ended", "%v", c.Err())
	case <-time.After(3 * idle): // both sides send empty frames, or one of them would give up
	}
	require.NoError(t, sender(t, c, nil).Send(ctx(t), goamqp.NewMessage([]byte("x")), nil))
}
