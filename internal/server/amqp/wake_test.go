package amqp_test

import (
	"slices"
	"sync"
	"testing"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// Many goroutines fill and wake the same links. If a wake-up were lost, a link would stop.
func TestWakeIsNeverLost(t *testing.T) {
	const links, producers, total = 4, 8, 20_000
	h, attached := queues()
	s := serve(t, amqp.Config{}, h)
	c := dial(t, s, nil)
	var receivers []*goamqp.Receiver
	var qs []*queue
	for range links {
		receivers = append(receivers, receiver(t, c, &goamqp.ReceiverOptions{Credit: 500}))
		qs = append(qs, receive(t, attached))
	}

	var all sync.WaitGroup
	next := make([]int, links) // each guarded by the lock of the same number
	locks := make([]sync.Mutex, links)
	for p := range producers {
		all.Go(func() {
			for i := range total / producers {
				n := (p + i) % links
				locks[n].Lock()
				qs[n].put(numbered(next[n], 1)...)
				next[n]++
				locks[n].Unlock()
			}
		})
	}
	errs := make(chan error, links)
	got := make([][]int, links)
	for n, r := range receivers {
		all.Go(func() {
			for range total / links {
				m, err := r.Receive(ctx(t), nil)
				if err != nil {
					errs <- err
					return
				}
				d := m.GetData()
				got[n] = append(got[n], int(d[0])<<24|int(d[1])<<16|int(d[2])<<8|int(d[3]))
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	for n := range got {
		require.Len(t, got[n], total/links)
		for i, v := range got[n] {
			require.Equal(t, i, v)
		}
	}
}

// One message is sent at a time. Each waits until the client has seen the one before, so that the writer sleeps in
// between.
func TestWakeFromSleep(t *testing.T) {
	h, attached := queues()
	s := serve(t, amqp.Config{}, h)
	r := receiver(t, dial(t, s, nil), &goamqp.ReceiverOptions{Credit: 3})
	q := receive(t, attached)
	for i := range 2000 {
		q.put(numbered(i, 1)...)
		m, err := r.Receive(ctx(t), nil)
		require.NoError(t, err)
		require.Equal(t, i, number(t, m))
	}
}

// A link with many messages doesn't keep another link from sending its own.
func TestLinksTakeTurns(t *testing.T) {
	const many = 20_000
	h, attached := queues()
	p := begun(t, serve(t, amqp.Config{}, h))
	p.attaches(1, true)
	one := receive(t, attached)
	p.attaches(2, true)
	two := receive(t, attached)
	p.write(on(0, flow, 0, 1<<20, 0, 5000, 1, 0, many), on(0, flow, 0, 1<<20, 0, 5000, 2, 0, many))
	p.expectNothing(0)
	one.put(slices.Repeat([][]byte{make([]byte, 1000)}, many)...)
	two.put(data(nil)) // while the server waits for the peer to read
	for before := 0; p.expect(transfer).field(0) != uint32(2); before++ {
		require.Less(t, before, many/2)
	}
}
