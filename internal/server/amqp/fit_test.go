package amqp_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// lengthy is a description that fits no frame.
var lengthy = strings.Repeat("ä", 40_000)

// tiny returns a peer with a session that takes only frames of the smallest size.
func tiny(t *testing.T, s *server) *peer {
	t.Helper()
	p := opened(t, s, "peer", nil, 512)
	p.most = 512
	p.write(on(0, begin, nil, 0, 1<<20, 1<<20))
	p.expect(begin)
	return p
}

// requireCut checks that a description was shortened as far as it must be, between two characters.
func requireCut(t *testing.T, a answer, field int) {
	t.Helper()
	require.Equal(t, amqp.Symbol("amqp:not-found"), a.condition(field))
	d := a.field(field).(amqp.Described).Value.([]any)[1].(string)
	require.True(t, utf8.ValidString(d))
	require.True(t, strings.HasSuffix(d, "ä..."), "it is cut between characters")
	require.Greater(t, len(d), 380, "no more is cut than necessary")
}

func TestErrorsFitFrames(t *testing.T) {
	reason := amqp.Errorf(amqp.CondNotFound, "%s", lengthy)
	t.Run("detach", func(t *testing.T) {
		p := tiny(t, serve(t, amqp.Config{}, handler(func(l *amqp.Link) { l.Refuse(reason) })))
		p.attaches(1, true)
		requireCut(t, p.expect(detach), 2)
	})
	t.Run("disposition", func(t *testing.T) {
		p := tiny(t, serve(t, amqp.Config{}, taking(func(d *amqp.Delivery) { d.Reject(reason) })))
		p.attaches(1, false)
		p.expect(flow)
		p.write(message(0, 0, "x"))
		rejected := p.expect(disposition).field(4).(amqp.Described).Value.([]any)
		requireCut(t, answer{fields: rejected}, 0)
	})
	t.Run("close", func(t *testing.T) {
		s := serve(t, amqp.Config{}, acceptAll)
		p := tiny(t, s)
		s.conn().Close(reason)
		requireCut(t, p.expect(closing), 0)
	})
	t.Run("a long condition", func(t *testing.T) {
		s := serve(t, amqp.Config{}, acceptAll)
		p := tiny(t, s)
		s.conn().Close(amqp.Errorf(strings.Repeat("c", 1000), "%s", lengthy))
		p.expect(closing)
	})
	t.Run("end", func(t *testing.T) {
		p := tiny(t, serve(t, amqp.Config{}, acceptAll))
		name := raw(append([]byte{0xb1, 0, 0, 1, 0}, strings.Repeat("\x01", 256)...)) // four times as long in Go's quotes
		p.write(on(0, attach, name, 1, true), on(0, attach, name, 1, true))
		p.expect(attach)
		require.Equal(t, amqp.Symbol("amqp:session:handle-in-use"), p.expect(end).condition(0))
	})
	t.Run("large frames", func(t *testing.T) {
		s := serve(t, amqp.Config{}, acceptAll)
		p := begun(t, s)
		s.conn().Close(reason)
		requireCut(t, p.expect(closing), 0)
	})
}

// An attach frame that would be too large is not sent: the link is refused, and its owner is told.
func TestAttachThatFitsNoFrame(t *testing.T) {
	closed := make(chan struct{}, 1)
	s := serve(t, amqp.Config{}, handler(func(l *amqp.Link) {
		l.Accept(amqp.LinkOptions{Source: &queue{}, Closed: func() { closed <- struct{}{} }})
	}))
	p := tiny(t, s)
	source := list(0x28, raw(append([]byte{0xb1, 0, 0, 2, 0}, strings.Repeat("s", 512)...)))
	p.write(on(0, attach, "a", 1, true, nil, nil, source))
	a := p.expect(attach)
	require.Nil(t, a.field(5), "no source: the link is refused")
	require.Equal(t, limitExceeded, p.expect(detach).condition(2))
	receive(t, closed)
	p.write(on(0, detach, 1, true), on(0, attach, "b", 1, true, nil, nil, address(0x28)))
	require.NotNil(t, p.expect(attach).field(5), "the session goes on")
}

// A link whose name alone is too large could not even be refused.
func TestNameThatFitsNoFrame(t *testing.T) {
	name := func(n int) raw { return append([]byte{0xb1, 0, 0, byte(n >> 8), byte(n)}, strings.Repeat("n", n)...) }
	p := tiny(t, serve(t, amqp.Config{}, handler(func(l *amqp.Link) { l.Refuse(amqp.Errorf(amqp.CondNotFound, "no")) })))
	p.write(on(0, attach, name(512-80), 1, true))
	p.expect(attach)
	p.expect(detach)
	p.write(on(0, attach, name(512-79), 2, true))
	require.Equal(t, amqp.Symbol("amqp:not-allowed"), p.expect(end).condition(0))
}
