package guarantee_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

// strange are values that go-amqp can't decode, as they are on the wire, and for each a value of the same length that
// go-amqp can encode.
var strange = map[string]struct{ asBinary, asSent []byte }{
	"decimal32":  {[]byte("\xa0\x03\xfe\xfd\xfc"), []byte("\x74\x22\x50\x00\x01")},
	"decimal64":  {[]byte("\xa0\x07\xfe\xfd\xfc\xfb\xfa\xf9\xf8"), []byte("\x84\x22\x38\x00\x00\x00\x00\x00\x01")},
	"decimal128": {[]byte("\xa0\x0fprice: 12.34 \xfe\xfd"), append([]byte("\x94\x30\x40"), make([]byte, 14)...)},
	"char":       {[]byte("\xa0\x03\xfb\xfc\xfd"), []byte("\x73\x00\x00\x00\x41")},
}

// strangeConn sends a strange value wherever the stand-in for it is written.
type strangeConn struct{ net.Conn }

func (c strangeConn) Write(b []byte) (int, error) {
	for _, v := range strange {
		b = bytes.ReplaceAll(b, v.asBinary, v.asSent)
	}
	return c.Conn.Write(b)
}

// sendStrange sends an event that can't be decoded, as a client in another language may.
func sendStrange(s *scene.Scene, kind, partition string) {
	s.T.Helper()
	cfg := s.Config
	cfg.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := s.Server.DialContext(ctx, network, address)
		return strangeConn{c}, err
	}
	p, err := eventhubs.NewProducer(cfg, nil)
	require.NoError(s.T, err)
	e := eventhubs.Event{Body: []byte("strange"), PartitionID: partition}
	e.Properties = map[string]any{"price": strange[kind].asBinary[2:]}
	require.NoError(s.T, p.Send(s.T.Context(), e))
	require.NoError(s.T, p.Close(s.T.Context()))
}

var eventIsUndecodable = []aCase{
	{"and is skipped", in(2, undecodableSkipped)},
	{"two in a row", in(1, undecodableTwice)},
	{"the first of the partition", in(1, undecodableFirst)},
	{"of each kind", in(1, undecodableKinds)},
	{"and is not skipped", in(2, undecodableKept)},
	{"Unreadable fails at first", in(1, undecodableSkippedLate)},
}

// skipping makes Unreadable skip events, and note them in the tally.
func skipping(s *scene.Scene) eventhubs.ConsumerOptions {
	return eventhubs.ConsumerOptions{Unreadable: func(partition string, sequence int64, err error) error {
		s.Tally.Skip(partition, sequence)
		return nil
	}}
}

// requireSkipped expects that these events of partition 0, and no others, were skipped, and that all others were
// handled.
func requireSkipped(s *scene.Scene, sequences ...int64) {
	s.T.Helper()
	for _, n := range sequences {
		came, _ := s.Tally.Times("0", n)
		require.Zero(s.T, came)
		s.CheckLogged("level=ERROR", "can't be decoded", "partition=0", "sequence="+strconv.FormatInt(n, 10)+" ")
	}
	require.Equal(s.T, len(sequences), s.Log.Count("was skipped"))
	require.Equal(s.T, s.Last("0"), s.Checkpoint("0"))
	s.Check(0)
}

func undecodableSkipped(s *scene.Scene) {
	s.Send(5, "0", "1")
	sendStrange(s, "decimal128", "0")
	s.Send(5, "0", "1")
	began := time.Now()
	r := s.Receive("only", skipping(s), scene.Nothing)
	s.UntilHandled()
	require.Less(s.T, time.Since(began), time.Second)
	r.Stop()
	require.Len(s.T, s.Tally.Holdings(), 2)
	requireSkipped(s, 5)
}

func undecodableTwice(s *scene.Scene) {
	r := s.Receive("only", skipping(s), scene.Nothing)
	s.Send(5, "0")
	s.UntilHandled()
	sendStrange(s, "decimal128", "0")
	sendStrange(s, "decimal64", "0")
	s.Send(5, "0")
	s.UntilHandled()
	r.Stop()
	requireSkipped(s, 5, 6)
}

func undecodableFirst(s *scene.Scene) {
	sendStrange(s, "decimal128", "0")
	s.Send(5, "0")
	r := s.Receive("only", skipping(s), scene.Nothing)
	s.UntilHandled()
	r.Stop()
	requireSkipped(s, 0)
}

func undecodableKinds(s *scene.Scene) {
	r := s.Receive("only", skipping(s), scene.Nothing)
	var bad []int64
	for kind := range strange {
		s.Send(2, "0")
		sendStrange(s, kind, "0")
		bad = append(bad, s.Last("0"))
	}
	s.Send(2, "0")
	s.UntilHandled()
	r.Stop()
	requireSkipped(s, bad...)
}

// undecodableKept has a partition wait at its unreadable event, while the other one is read. Another version of the
// program skips the event.
func undecodableKept(s *scene.Scene) {
	r := s.Receive("first", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.Send(5, "0", "1")
	sendStrange(s, "decimal128", "0")
	s.Send(5, "0")
	s.During(time.Hour, func(i int) {
		if i%60 == 0 {
			s.Send(1, "1")
		}
	})
	require.EqualValues(s.T, 4, s.Tally.Furthest("0"))
	require.Equal(s.T, s.Last("1"), s.Tally.Furthest("1"), "the other partition is read")
	n := s.Log.Count("level=ERROR", "can't be decoded", "partition=0", "sequence=5 ")
	require.True(s.T, 4 <= n && n <= 10, "it is logged at growing intervals, but not %d times", n)
	require.NotNil(s.T, r.Consumer.Partitions()[0].Reading)
	r.Stop()
	require.EqualValues(s.T, 4, s.Checkpoint("0"))

	next := s.Receive("second", skipping(s), scene.Nothing)
	s.UntilHandled()
	next.Stop()
	requireSkipped(s, 5)
}

// undecodableSkippedLate has Unreadable fail a few times before it skips the event.
func undecodableSkippedLate(s *scene.Scene) {
	s.Send(5, "0")
	sendStrange(s, "decimal128", "0")
	s.Send(5, "0")
	var asked atomic.Int32
	o := eventhubs.ConsumerOptions{Unreadable: func(partition string, sequence int64, err error) error {
		if asked.Add(1) < 5 {
			return errors.New("it can't be put aside")
		}
		s.Tally.Skip(partition, sequence)
		return nil
	}}
	r := s.Receive("only", o, scene.Nothing)
	s.UntilHandled()
	r.Stop()
	require.EqualValues(s.T, 5, asked.Load())
	requireSkipped(s, 5)
}
