package amqp_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

const limitExceeded = amqp.Symbol("amqp:resource-limit-exceeded")

// starts returns the first part of a message on a handle of channel 0.
func starts(handle, size int) []byte {
	return frameOf(0, 0, append(list(transfer, handle, 0, encodeTag(0), 0, false, true), make([]byte, size)...)...)
}

// holding returns a connection that has taken most of a budget with messages that don't end.
func holding(t *testing.T, s *server, budget *amqp.Budget, atLeast int) *peer {
	t.Helper()
	p := begun(t, s)
	for handle := 0; budget.Held() < int64(atLeast); handle++ {
		p.attaches(handle, false)
		p.expect(flow)
		p.write(starts(handle, 60_000))
		p.expectNothing(0)
	}
	return p
}

// Incomplete messages are bounded over all links of a connection.
func TestHeldPerConnection(t *testing.T) {
	budget := amqp.NewBudget(1 << 30)
	s := serve(t, amqp.Config{MaxHeld: 1 << 20, Budget: budget}, acceptAll)
	p := holding(t, s, budget, 900<<10)
	for handle := 100; handle < 103; handle++ {
		p.write(
			on(0, attach, "more", handle, false, uint8(0), uint8(0), nil, address(0x29), nil, nil, 0), starts(handle, 60_000),
		)
	}
	p.expectClose(limitExceeded)
	var e *amqp.Error
	require.ErrorAs(t, s.result(), &e)
	require.Zero(t, budget.Held(), "all is given back")
}

// A budget that others have used up keeps out a connection that needs much, but not one that needs little.
func TestHeldByAll(t *testing.T) {
	const all = 2 << 20
	budget := amqp.NewBudget(all)
	s := serve(t, amqp.Config{Budget: budget}, acceptAll)
	first := holding(t, s, budget, 1900<<10)
	require.Nil(t, s.conn().Take(int(all-budget.Held())))

	modest := begun(t, s)
	modest.attaches(1, false)
	modest.expect(flow)
	for i := range 100 {
		modest.write(message(i, i, "x"))
		modest.expect(disposition)
	}
	greedy := begun(t, s)
	for handle := range 4 {
		greedy.write(
			on(0, attach, "more", handle, false, uint8(0), uint8(0), nil, address(0x29), nil, nil, 0), starts(handle, 60_000),
		)
	}
	greedy.expectClose(limitExceeded)
	modest.write(message(100, 100, "x"))
	modest.expect(disposition)
	first.write(on(0, closing))
	first.expect(closing)
	require.NoError(t, first.nc.Close())
	require.NoError(t, modest.nc.Close())
	require.Eventually(t, func() bool { return budget.Held() == 0 }, patience, time.Millisecond)
}

// What is counted for a message is given back, however the message ends.
func TestHeldIsGivenBack(t *testing.T) {
	for name, ending := range map[string][]byte{
		"its last part":         part(0, false, 10),
		"it is aborted":         on(0, transfer, 1, nil, nil, nil, nil, false, nil, nil, nil, true),
		"the link is detached":  on(0, detach, 1, true),
		"the session ends":      on(0, end),
		"it is a wrong message": on(0, transfer, 1, 7),
	} {
		t.Run(name, func(t *testing.T) {
			budget := amqp.NewBudget(1 << 30)
			p := begun(t, serve(t, amqp.Config{Budget: budget}, acceptAll))
			p.attaches(1, false)
			p.expect(flow)
			p.write(part(0, true, 60_000))
			p.expectNothing(0)
			require.Greater(t, budget.Held(), int64(2*60_000))
			p.write(ending, on(1, begin, nil, 0, 5000, 5000))
			for p.next().descriptor != begin {
			}
			require.Less(t, budget.Held(), int64(80_000), "the buffers, and the link")
		})
	}
}

// A message that fits one frame takes nothing, and is not refused when nothing is left.
func TestOneFrameTakesNothing(t *testing.T) {
	budget := amqp.NewBudget(1 << 30)
	held := make(chan int64, 1)
	s := serve(t, amqp.Config{Budget: budget, MaxHeld: 110 << 10}, taking(func(d *amqp.Delivery) {
		held <- budget.Held()
		d.Accept()
	}))
	p := begun(t, s)
	p.attaches(1, false)
	p.expect(flow)
	for i := range 3 { // the buffer grows with the first
		before := budget.Held()
		p.write(part(i, false, 60_000))
		at := receive(t, held)
		p.expect(disposition)
		if i > 0 {
			require.LessOrEqual(t, at, before) // before may hold the disposition, which has just been written
		}
	}
}

// A link counts for what the peer has put into it, and gives it back when it ends.
func TestLinksAreCounted(t *testing.T) {
	budget := amqp.NewBudget(1 << 30)
	h := handler(func(l *amqp.Link) { l.Refuse(nil) })
	s := serve(t, amqp.Config{MaxHeld: 4 << 20, Budget: budget}, h)
	p := begun(t, s)
	// a source with 50,000 fields takes 16 times that
	nulls := raw(cat(0x00, 0x53, 0x28, 0xd0, []byte{0, 0, 0xc3, 0x54, 0, 0, 0xc3, 0x50}, make40(50_000)))
	attaching := func(handle int) []byte { return on(0, attach, "a", handle, true, nil, nil, nulls) }
	before := budget.Held()
	p.write(attaching(0))
	p.expect(attach)
	p.expect(detach)
	require.Greater(t, budget.Held()-before, int64(800_000))
	p.write(on(0, detach, 0, true))
	p.expectNothing(0)
	require.Less(t, budget.Held()-before, int64(80_000))
	for handle := range 6 {
		p.write(attaching(handle))
	}
	p.expectClose(limitExceeded)
}

func make40(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 0x40
	}
	return b
}

// The properties of an open frame count for as long as the connection exists.
func TestOpenIsCounted(t *testing.T) {
	p := connect(t, serve(t, amqp.Config{MaxHeld: 512 << 10}, acceptAll))
	properties := raw(cat(0xd1, []byte{0, 0, 0xc3, 0x54, 0, 0, 0xc3, 0x50}, make40(50_000)))
	p.write([]byte(headerAMQP), on(0, open, "peer", nil, nil, nil, nil, nil, nil, nil, nil, properties))
	p.header(headerAMQP)
	p.expect(open)
	p.expectClose(limitExceeded)
}

// A message that waits for the peer's window counts until it is sent. There is one for each session.
func TestStalledIsCounted(t *testing.T) {
	budget := amqp.NewBudget(1 << 30)
	h, links := queues()
	s := serve(t, amqp.Config{MaxHeld: 4 << 20, Budget: budget}, h)
	p := opened(t, s)
	stall := func(channel uint16) {
		p.write(on(channel, begin, nil, 0, 1, 1))
		p.expect(begin)
		p.write(on(channel, attach, "a", 1, true), on(channel, flow, 0, 1, 0, 1, 1, 0, 1))
		p.expect(attach)
		receive(t, links).put(make([]byte, 1<<20))
	}
	stall(0)
	p.expect(transfer)
	require.Greater(t, budget.Held(), int64(1<<20))
	p.write(on(0, flow, 1, 1000, 0, 1))
	for p.expect(transfer).field(5) != false {
	}
	p.expectNothing(0)
	require.Eventually(
		t, func() bool { return budget.Held() < 200_000 }, patience, time.Millisecond, "nor does the writer keep its buffers",
	)
	for channel := range uint16(3) {
		stall(channel + 1)
		p.expect(transfer)
	}
	stall(4)
	p.expectClose(limitExceeded)
}

// A connection gives up its buffers for deliveries when there is nothing to deliver.
func TestIdleConnectionHoldsNoBuffers(t *testing.T) {
	budget := amqp.NewBudget(1 << 30)
	h, links := queues()
	p := begun(t, serve(t, amqp.Config{Budget: budget}, h))
	p.attaches(1, true)
	before := budget.Held()
	receive(t, links).put(numbered(0, 3000)...)
	p.write(gives(0, 5000, 0, 3000, false))
	p.expectTransfers(0, 3000)
	require.Eventually(t, func() bool { return budget.Held()-before < 20<<10 }, patience, time.Millisecond)
}

// A peer that is not trusted yet has lower limits.
func TestUntrusted(t *testing.T) {
	cfg := amqp.Config{Untrusted: amqp.Limits{Sessions: 2, Links: 3, Bytes: 256 << 10}}
	excesses := map[string]func(p *peer) any{
		"sessions": func(p *peer) any {
			p.write(on(2, begin, nil, 0, 1, 1))
			if a := p.next(); a.descriptor == closing {
				return a.condition(0)
			}
			return nil
		},
		"links": func(p *peer) any {
			for handle := range 3 {
				p.attaches(handle, true)
			}
			p.write(on(0, attach, "a", 3, true))
			if a := p.next(); a.descriptor == end {
				return a.condition(0)
			}
			return nil
		},
		"bytes": func(p *peer) any {
			for handle := range 2 {
				p.attaches(handle, false)
				p.expect(flow)
				p.write(starts(handle, 60_000))
			}
			p.write(on(1, flow, 0, 1, 0, 1, nil, nil, nil, nil, nil, true))
			if a := p.next(); a.descriptor == closing {
				return a.condition(0)
			}
			return nil
		},
	}
	for name, excess := range excesses {
		t.Run(name, func(t *testing.T) {
			s := serve(t, cfg, acceptAll)
			for _, trusted := range []bool{false, true} {
				p := opened(t, s)
				c := s.conn()
				for channel := range uint16(2) {
					p.write(on(channel, begin, nil, 0, 1<<20, 1<<20))
					p.expect(begin)
				}
				if trusted {
					c.Trust()
					require.Nil(t, excess(p))
				} else {
					require.Equal(t, limitExceeded, excess(p))
				}
			}
		})
	}
}

// Connections that have sent little take little: a buffer for the largest frame would be 64 KiB each.
func TestNewConnectionsAreSmall(t *testing.T) {
	const n = 60
	s := serve(t, amqp.Config{}, acceptAll)
	before := heap()
	for range n {
		nc, err := net.Dial("tcp", s.ln.Addr().String())
		require.NoError(t, err)
		defer nc.Close()
		_, err = nc.Write([]byte(headerAMQP))
		require.NoError(t, err)
		_, err = nc.Read(make([]byte, 8))
		require.NoError(t, err)
		<-s.conns
	}
	require.Less(t, heap()-before, int64(n*24<<10))
}

// Bytes that never complete a frame do not keep a connection alive.
func TestFrameThatTakesForever(t *testing.T) {
	const idle = 200 * time.Millisecond
	s := serve(t, amqp.Config{IdleTimeout: idle}, acceptAll)
	p := begun(t, s)
	start := time.Now()
	frame := on(0, attach, strings.Repeat("x", 200))
	for i := 0; ; i++ {
		require.Less(t, i, 100)
		_ = p.nc.SetReadDeadline(time.Now().Add(idle / 8)) // the pace at which bytes are sent
		if a, err := p.read(); err == nil && !a.empty {
			require.Equal(t, limitExceeded, a.condition(0))
			break
		}
		p.write(frame[i : i+1])
	}
	require.Less(t, time.Since(start), 5*idle)
}
