package amqp_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

func TestReceiveInOrder(t *testing.T) {
	const n = 20_000 // several windows of a session, and many times the credit
	h, links := queues()
	s := serve(t, amqp.Config{}, h)
	r := receiver(t, dial(t, s, nil), &goamqp.ReceiverOptions{Credit: 300})
	q := receive(t, links)
	q.put(numbered(0, n/2)...)
	for i := range n {
		if i == n/4 {
			q.put(numbered(n/2, n/2)...)
		}
		m, err := r.Receive(ctx(t), nil)
		require.NoError(t, err)
		require.Equal(t, i, number(t, m))
		require.NoError(t, r.AcceptMessage(ctx(t), m))
	}
}

// More credit than a session's window: the server stops in the middle of messages, and continues when it gets a new
// window.
func TestReceivePastTheWindow(t *testing.T) {
	const n, size = 400, 20_000 // 40 frames of 512 bytes each: 16,000 frames
	h, links := queues()
	s := serve(t, amqp.Config{MaxFrameSize: 512}, h)
	c := dial(t, s, nil)
	sess := session(t, c)
	var receivers []*goamqp.Receiver
	for range 2 {
		r, err := sess.NewReceiver(ctx(t), "hub", &goamqp.ReceiverOptions{Credit: n})
		require.NoError(t, err)
		receivers = append(receivers, r)
		q := receive(t, links)
		for i := range n / 2 {
			q.put(data(bytes.Repeat([]byte{byte(i)}, size)))
		}
	}
	for i := range n / 2 {
		for _, r := range receivers {
			m, err := r.Receive(ctx(t), nil)
			require.NoError(t, err)
			require.True(t, bytes.Equal(bytes.Repeat([]byte{byte(i)}, size), m.GetData()))
		}
	}
}

func TestReceiveLargeMessages(t *testing.T) {
	for name, max := range map[string]uint32{"small frames": 513, "large frames": 64 << 10} {
		t.Run(name, func(t *testing.T) {
			h, links := queues()
			s := serve(t, amqp.Config{}, h)
			// The client's limit, which is the smaller one here, applies to what the server sends.
			r := receiver(t, dial(t, s, &goamqp.ConnOptions{MaxFrameSize: max}), nil)
			q := receive(t, links)
			for _, size := range []int{500_000, 3, 600_000, int(max), 0} {
				body := bytes.Repeat([]byte("0123456"), size/7)
				q.put(data(body))
				m, err := r.Receive(ctx(t), nil)
				require.NoError(t, err)
				require.True(t, bytes.Equal(body, m.GetData()))
			}
		})
	}
}

func TestReceiveHonoursCredit(t *testing.T) {
	h, links := queues()
	s := serve(t, amqp.Config{}, h)
	r := receiver(t, dial(t, s, nil), &goamqp.ReceiverOptions{Credit: -1})
	q := receive(t, links)
	q.put(numbered(0, 100)...)
	expect := func(from, to int) {
		for i := from; i < to; i++ {
			m, err := r.Receive(ctx(t), nil)
			require.NoError(t, err)
			require.Equal(t, i, number(t, m))
		}
		// The answer to a drain comes after everything that was sent before.
		require.NoError(t, r.DrainCredit(ctx(t), nil))
		require.Nil(t, r.Prefetched())
		require.Equal(t, to, q.count())
	}
	expect(0, 0)
	require.NoError(t, r.IssueCredit(7))
	expect(0, 7)
	require.NoError(t, r.IssueCredit(1))
	expect(7, 8)
	require.NoError(t, r.IssueCredit(192))
	expect(8, 100)
	require.NoError(t, r.IssueCredit(5), "drained credit can be given again")
	q.put(numbered(100, 10)...)
	expect(100, 105)
}

func TestReceiveSettleModes(t *testing.T) {
	unsettled, settled, mixed := goamqp.SenderSettleModeUnsettled, goamqp.SenderSettleModeSettled,
		goamqp.SenderSettleModeMixed
	first, second := goamqp.ReceiverSettleModeFirst, goamqp.ReceiverSettleModeSecond
	for _, c := range []struct {
		name     string
		snd      *goamqp.SenderSettleMode
		rcv      *goamqp.ReceiverSettleMode
		accepted bool // the client has to accept messages before it gives new credit
	}{
		{"default", nil, nil, false},
		{"unsettled, first", &unsettled, &first, true},
		{"unsettled, second", &unsettled, &second, true},
		{"settled, first", &settled, &first, false},
		{"settled, second", &settled, &second, false},
		{"mixed, first", &mixed, &first, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, links := queues()
			s := serve(t, amqp.Config{}, h)
			r := receiver(t, dial(t, s, nil), &goamqp.ReceiverOptions{
				RequestedSenderSettleMode: c.snd, SettlementMode: c.rcv, Credit: 10,
			})
			q := receive(t, links)
			q.put(numbered(0, 200)...)
			for i := range 10 {
				m, err := r.Receive(ctx(t), nil)
				require.NoError(t, err)
				require.Equal(t, i, number(t, m))
				if c.accepted {
					require.NoError(t, r.AcceptMessage(ctx(t), m))
				}
			}
			for i := 10; i < 200; i++ {
				m, err := r.Receive(ctx(t), nil)
				require.NoError(t, err)
				require.Equal(t, i, number(t, m))
				switch i % 3 {
				case 0:
					require.NoError(t, r.AcceptMessage(ctx(t), m))
				case 1:
					require.NoError(t, r.RejectMessage(ctx(t), m, nil))
				case 2:
					require.NoError(t, r.ReleaseMessage(ctx(t), m))
				}
			}
		})
	}
}

// A link that ends in the middle of a message, for lack of a window, leaves the session usable.
func TestReceiveDetachedInTheMiddle(t *testing.T) {
	var last *amqp.Link
	queued, links := queues()
	s := serve(t, amqp.Config{MaxFrameSize: 512, MaxMessageSize: 16 << 20}, handler(func(l *amqp.Link) {
		last = l // the receive below orders this write
		queued.Attach(l)
	}))
	sess := session(t, dial(t, s, nil))
	for range 3 {
		r, err := sess.NewReceiver(ctx(t), "hub", nil)
		require.NoError(t, err)
		q := receive(t, links)
		l := last
		q.put(data(make([]byte, 8<<20)))
		require.Eventually(t, func() bool { return q.count() == 1 }, patience, time.Millisecond)
		l.Detach(amqp.Errorf(amqp.CondDetachForced, "enough"))
		_, err = r.Receive(ctx(t), nil)
		var le *goamqp.LinkError
		require.ErrorAs(t, err, &le)
		require.Equal(t, goamqp.ErrCondDetachForced, le.RemoteErr.Condition)
	}
	r, err := sess.NewReceiver(ctx(t), "hub", nil)
	require.NoError(t, err)
	receive(t, links).put(numbered(0, 1)...)
	m, err := r.Receive(ctx(t), nil)
	require.NoError(t, err)
	require.Equal(t, 0, number(t, m))
}

func TestReceiveNothing(t *testing.T) {
	h, links := queues()
	s := serve(t, amqp.Config{}, h)
	r := receiver(t, dial(t, s, nil), nil)
	short, cancel := context.WithTimeout(ctx(t), 20*time.Millisecond)
	defer cancel()
	_, err := r.Receive(short, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	receive(t, links).put(numbered(0, 1)...)
	_, err = r.Receive(ctx(t), nil)
	require.NoError(t, err)
}
