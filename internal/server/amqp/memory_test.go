package amqp_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// The memory that Decode allocates grows with its input, and not with the sizes that the input claims.
func TestDecodeAllocates(t *testing.T) {
	const size = 64 << 10
	// in32 returns a 32-bit compound with a count, whose body repeats the given bytes.
	in32 := func(code byte, count uint32, element []byte, body []byte) []byte {
		b := append(bytes.Clone(element), bytes.Repeat(body, size/len(body))...)
		out := binary.BigEndian.AppendUint32([]byte{code}, uint32(len(b)+4))
		return append(binary.BigEndian.AppendUint32(out, count), b...)
	}
	for name, b := range map[string][]byte{
		"a list of 2^32-1":        in32(0xd0, most, nil, []byte{0x40}),
		"a map of 2^32-2":         in32(0xd1, most-1, nil, []byte{0x40}),
		"an array of 2^32-1":      in32(0xf0, most, []byte{0x50}, []byte{1}),
		"an array of many nulls":  in32(0xf0, 1<<30, []byte{0x40}, []byte{1}),
		"a list of 2^24":          in32(0xd0, 1<<24, nil, []byte{0x40}),
		"a map of 2^24":           in32(0xd1, 1<<24, nil, []byte{0x40}),
		"an array of 2^24":        in32(0xf0, 1<<24, []byte{0x50}, []byte{1}),
		"a list of nulls":         in32(0xd0, size, nil, []byte{0x40}),
		"a list of empty lists":   in32(0xd0, size/2, nil, []byte{0xc0, 1, 0}),
		"a list of arrays":        in32(0xd0, size/4, nil, []byte{0xe0, 2, 8, 0x40}),
		"a list of descriptors":   in32(0xd0, size/3, nil, []byte{0x00, 0x40, 0x40}),
		"an array of empty lists": in32(0xf0, size/2, []byte{0xc0}, []byte{1, 0}),
		"an array of arrays":      in32(0xf0, size/3, []byte{0xe0}, []byte{2, 8, 0x40}),
		"nested lists":            nested(32, in32(0xd0, size, nil, []byte{0x40})),
	} {
		t.Run(name, func(t *testing.T) {
			require.Less(t, allocated(func() { _, _ = amqp.Decode(b) }), uint64(64*len(b)))
			b = cat(0x00, 0x53, 0x77, b)
			require.Less(t, allocated(func() { amqp.NewSections(b).Next() }), uint64(8<<10), "without decoding")
		})
	}
}

// allocated returns how many bytes f allocates, including those freed since.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestConnectionHolds(t *testing.T) {
	const most = 32 << 20
	t.Run("5,000 sessions", func(t *testing.T) {
		s := serve(t, amqp.Config{}, acceptAll)
		p := opened(t, s)
		before := heap()
		for channel := range uint16(5000) {
			p.write(on(channel, begin, nil, 0, 5000, 5000))
			require.Equal(t, channel, p.expect(begin).channel)
		}
		require.Less(t, heap()-before, int64(most))
		p.write(on(5000, begin, nil, 0, 5000, 5000))
		p.expectClose(amqp.Symbol("amqp:not-allowed"))
	})
	t.Run("10,000 links", func(t *testing.T) {
		s := serve(t, amqp.Config{}, handler(func(l *amqp.Link) { l.Refuse(nil) })) // and the peer never detaches them
		p := opened(t, s)
		before := heap()
		for i := range 10_000 {
			channel, handle := uint16(i/1000), i%1000
			if handle == 0 {
				p.write(on(channel, begin, nil, 0, 5000, 5000))
				p.expect(begin)
			}
			p.write(on(channel, attach, "a", handle, true, nil, nil, address(0x28), address(0x29)))
			p.expect(attach)
			p.expect(detach)
		}
		require.Less(t, heap()-before, int64(most))
		p.write(on(0, attach, "a", 1000, true))
		require.Equal(t, amqp.Symbol("amqp:resource-limit-exceeded"), p.expect(end).condition(0))
	})
	t.Run("a message without an end", func(t *testing.T) {
		p := begun(t, serve(t, amqp.Config{}, acceptAll))
		p.attaches(1, false)
		p.expect(flow)
		before := heap()
		for i := range 1000 { // 60 MB
			p.write(part(0, true, 60_000))
			if i%100 == 0 {
				require.Less(t, heap()-before, int64(most))
			}
		}
		p.write(part(0, false, 0))
		require.EqualValues(t, 0x25, p.expect(disposition).field(4).(amqp.Described).Descriptor, "it is rejected")
	})
}
