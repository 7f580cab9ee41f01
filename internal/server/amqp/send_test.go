package amqp_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// taking returns a Handler that passes all deliveries to deliver.
func taking(deliver func(d *amqp.Delivery)) amqp.Handler {
	return handler(func(l *amqp.Link) { l.Accept(amqp.LinkOptions{Sink: sink(deliver)}) })
}

func TestSendOutcomes(t *testing.T) {
	deliveries := make(chan *amqp.Delivery, 8)
	s := serve(t, amqp.Config{}, taking(func(d *amqp.Delivery) {
		deliveries <- d
		switch string(d.Payload[len(d.Payload)-1:]) {
		case "a":
			d.Accept()
		case "r":
			d.Reject(amqp.Errorf("com.microsoft:server-busy", "wait %d s", 4))
		case "n":
			d.Reject(nil)
		case "d":
			d.Drop()
		}
	}))
	snd := sender(t, dial(t, s, nil), nil)
	send := func(body string) error {
		short, cancel := context.WithTimeout(ctx(t), 100*time.Millisecond)
		defer cancel()
		if body != "d" {
			short = ctx(t)
		}
		m := goamqp.NewMessage([]byte(body))
		m.Format = 0x80013700
		return snd.Send(short, m, nil)
	}
	require.NoError(t, send("a"))
	require.Equal(t, &goamqp.Error{Condition: "com.microsoft:server-busy", Description: "wait 4 s"}, send("r"))
	require.ErrorContains(t, send("n"), "without specifying an error")
	require.ErrorIs(t, send("d"), context.DeadlineExceeded)
	require.NoError(t, send("a"), "the link stays attached")
	d := receive(t, deliveries)
	require.Equal(t, uint32(0x80013700), d.Format)
	require.Equal(t, []byte{0x00, 0x53, 0x75, 0xa0, 1, 'a'}, d.Payload)
	require.Equal(t, "hub", d.Link().Address())
}

func TestSendLargeMessages(t *testing.T) {
	for name, max := range map[string]uint32{"small frames": 512, "large frames": 64 << 10} {
		t.Run(name, func(t *testing.T) {
			deliveries := make(chan *amqp.Delivery, 8)
			s := serve(t, amqp.Config{MaxFrameSize: max}, taking(func(d *amqp.Delivery) {
				deliveries <- d
				d.Accept()
			}))
			snd := sender(t, dial(t, s, nil), nil)
			for _, size := range []int{500_000, 3, 600_000, int(max), 0} {
				body := bytes.Repeat([]byte("0123456"), size/7)
				require.NoError(t, snd.Send(ctx(t), goamqp.NewMessage(body), nil))
				var got goamqp.Message
				require.NoError(t, got.UnmarshalBinary(receive(t, deliveries).Payload))
				require.True(t, bytes.Equal(body, got.GetData()))
			}
		})
	}
}

func TestSendSettled(t *testing.T) {
	for name, mode := range map[string]goamqp.SenderSettleMode{
		"unsettled": goamqp.SenderSettleModeUnsettled, "settled": goamqp.SenderSettleModeSettled,
		"mixed": goamqp.SenderSettleModeMixed,
	} {
		t.Run(name, func(t *testing.T) {
			numbers := make(chan int, 3000)
			s := serve(t, amqp.Config{Credit: 10}, taking(func(d *amqp.Delivery) {
				numbers <- int(binary.BigEndian.Uint32(d.Payload[5:]))
				d.Accept()
			}))
			snd := sender(t, dial(t, s, nil), &goamqp.SenderOptions{SettlementMode: &mode})
			for i := range 1000 { // far more than there is credit for
				m := goamqp.NewMessage(binary.BigEndian.AppendUint32(nil, uint32(i)))
				require.NoError(t, snd.Send(ctx(t), m, &goamqp.SendOptions{
					Settled: mode == goamqp.SenderSettleModeMixed && i%3 == 0,
				}))
			}
			for i := range 1000 {
				require.Equal(t, i, receive(t, numbers))
			}
		})
	}
}

// Outcomes come from other goroutines, in any order, and while more deliveries arrive.
func TestSendPipelined(t *testing.T) {
	const n = 5000
	settle := make(chan *amqp.Delivery, n)
	s := serve(t, amqp.Config{Credit: 64}, taking(func(d *amqp.Delivery) { settle <- d }))
	var settlers sync.WaitGroup
	for range 4 {
		settlers.Go(func() {
			for d := range settle {
				if i := binary.BigEndian.Uint32(d.Payload[5:]); i%10 == 9 {
					d.Reject(amqp.Errorf("x:refused", "%d", i))
				} else {
					d.Accept()
				}
			}
		})
	}
	c := dial(t, s, nil)
	snd := sender(t, c, nil)
	for i := range n {
		m := goamqp.NewMessage(binary.BigEndian.AppendUint32(nil, uint32(i)))
		r, err := snd.SendWithReceipt(ctx(t), m, nil)
		require.NoError(t, err)
		if i%100 != 99 {
			continue
		}
		state, err := r.Wait(ctx(t))
		require.NoError(t, err)
		rejected, ok := state.(*goamqp.StateRejected)
		require.True(t, ok)
		require.Equal(t, goamqp.ErrCond("x:refused"), rejected.Error.Condition)
	}
	close(settle)
	settlers.Wait()
}

func TestSendConcurrently(t *testing.T) {
	const senders, each = 16, 100
	var mu sync.Mutex
	taken := map[string]int{}
	s := serve(t, amqp.Config{Credit: 3}, taking(func(d *amqp.Delivery) {
		mu.Lock()
		taken[d.Link().Name]++
		mu.Unlock()
		go d.Accept()
	}))
	c := dial(t, s, nil)
	var all sync.WaitGroup
	errs := make(chan error, senders*each)
	for i := range senders {
		snd := sender(t, c, &goamqp.SenderOptions{Name: string(rune('a' + i))})
		all.Go(func() {
			for range each {
				errs <- snd.Send(ctx(t), goamqp.NewMessage([]byte("x")), nil)
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Len(t, taken, senders)
	for name, n := range taken {
		require.Equal(t, each, n, name)
	}
}

func TestSendWaitsForCredit(t *testing.T) {
	deliveries := make(chan *amqp.Delivery, 8)
	s := serve(t, amqp.Config{}, handler(func(l *amqp.Link) {
		l.Accept(amqp.LinkOptions{Credit: 2, Sink: sink(func(d *amqp.Delivery) { deliveries <- d })})
	}))
	snd := sender(t, dial(t, s, nil), nil)
	for range 2 {
		_, err := snd.SendWithReceipt(ctx(t), goamqp.NewMessage([]byte("x")), nil)
		require.NoError(t, err)
	}
	short, cancel := context.WithTimeout(ctx(t), 50*time.Millisecond)
	defer cancel()
	_, err := snd.SendWithReceipt(short, goamqp.NewMessage([]byte("x")), nil)
	require.ErrorContains(t, err, "credit limit exceeded")
	receive(t, deliveries).Drop() // a lost answer gives back its credit, too
	_, err = snd.SendWithReceipt(ctx(t), goamqp.NewMessage([]byte("x")), nil)
	require.NoError(t, err)
}

// The server must not send acceptances to a client after it has closed its link: go-amqp would end the session.
func TestSendAndClose(t *testing.T) {
	s := serve(t, amqp.Config{}, taking(func(d *amqp.Delivery) { go d.Accept() }))
	sess := session(t, dial(t, s, nil))
	for range 200 {
		snd, err := sess.NewSender(ctx(t), "hub", nil)
		require.NoError(t, err)
		for range 3 {
			_, err := snd.SendWithReceipt(ctx(t), goamqp.NewMessage([]byte("x")), nil)
			require.NoError(t, err)
		}
		require.NoError(t, snd.Close(ctx(t)))
	}
}
