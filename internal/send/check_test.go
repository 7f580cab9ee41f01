package send_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

const notUTF8 = "\xff\xfe"

// unsendable are events that can't be sent, whatever the service says, and what the error says of them.
var unsendable = map[string]struct {
	event eventhubs.Event
	want  string
}{
	"key and partition": {
		eventhubs.Event{PartitionKey: "k", PartitionID: "1"}, `has both PartitionKey "k" and PartitionID "1"`,
	},
	"key":              {eventhubs.Event{PartitionKey: notUTF8}, `has a PartitionKey that is not valid UTF-8: "\xff`},
	"partition":        {eventhubs.Event{PartitionID: notUTF8}, "has a PartitionID that is not valid UTF-8"},
	"partition's path": {eventhubs.Event{PartitionID: "../$cbs"}, `has the PartitionID "../$cbs"`},
	"message id":       {eventhubs.Event{MessageID: notUTF8}, "has a MessageID that is not valid UTF-8"},
	"content type":     {eventhubs.Event{ContentType: "téxt"}, "has a ContentType that is not ASCII"},
	"correlation id":   {eventhubs.Event{CorrelationID: notUTF8}, "has a CorrelationID that is not valid UTF-8"},
	"correlation type": {eventhubs.Event{CorrelationID: 1}, "has a CorrelationID that is a int"},
	"property's name":  {property(notUTF8, 1), "has a property whose name is not valid UTF-8"},
	"string":           {property("p", notUTF8), `has a property "p" that is not valid UTF-8`},
	"symbol":           {property("p", amqp.Symbol("é")), `has a property "p" that is a Symbol, and not ASCII`},
	"map":              {property("p", map[string]any{"a": 1}), `has a property "p" that is a map[string]interface {}`},
	"map of any":       {property("p", map[any]any{}), `has a property "p" that is a map[interface {}]interface {}`},
	"list":             {property("p", []any{1}), `has a property "p" that is a []interface {}`},
	"array":            {property("p", []int64{1}), `has a property "p" that is a []int64`},
	"Go array":         {property("p", [2]int{}), `has a property "p" that is a [2]int`},
	"pointer":          {property("p", new(string)), `has a property "p" that is a *string`},
	"nil pointer":      {property("p", (*int)(nil)), `has a property "p" that is a *int`},
	"struct":           {property("p", struct{}{}), `has a property "p" that is a struct {}`},
	"complex":          {property("p", 1i), `has a property "p" that is a complex128`},
	"duration":         {property("p", time.Second), `has a property "p" that is a time.Duration`},
	"described type":   {property("p", &amqp.Message{}), `has a property "p" that is a *amqp.Message`},
}

func property(name string, value any) eventhubs.Event {
	return eventhubs.Event{Properties: map[string]any{name: value}}
}

// TestUnsendable has an event that can't be sent be the last one of many.
func TestUnsendable(t *testing.T) {
	for name, tc := range unsendable {
		t.Run(name, func(t *testing.T) {
			bubble(t, options{}, func(t *testing.T, s *scene) {
				err := s.Send(t.Context(), append(numbered(0, 199, toZero), tc.event)...)
				requireNothingSent(t, err)
				require.ErrorContains(t, err, "eventhubs: send: event 199 "+tc.want)
				require.ErrorContains(t, err, "nothing was sent")
				require.NoError(t, s.Send(t.Context(), anywhere))
				require.Len(t, s.srv.AllEvents("hub"), 1)
			})
		})
	}
}

// TestSendable: everything else arrives.
func TestSendable(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		values := map[string]any{
			"nil": nil, "bool": true, "string": "é", "empty": "", "bytes": []byte{0xff}, "time": time.UnixMilli(1).UTC(),
			"uuid": amqp.UUID{1}, "symbol": amqp.Symbol("s"), "float32": float32(1.5), "float64": 2.5,
			"int8": int8(-1), "int16": int16(-1), "int32": int32(-1), "int64": int64(-1),
			"uint8": uint8(1), "uint16": uint16(1), "uint32": uint32(1), "uint64": uint64(1), "é": "name",
		}
		ids := []any{nil, "é", []byte{0xff}, uint64(7), amqp.UUID{2}}
		var events []eventhubs.Event
		for _, id := range ids {
			events = append(events, eventhubs.Event{PartitionID: "0", Properties: values, CorrelationID: id})
		}
		require.NoError(t, s.Send(t.Context(), events...))
		stored := s.srv.Events("hub", "0")
		require.Len(t, stored, len(ids))
		values["symbol"], values["time"] = "s", time.UnixMilli(1) // as they are decoded
		for i, e := range stored {
			require.Equal(t, values, e.Properties)
			require.Equal(t, ids[i], e.CorrelationID)
		}
		require.NoError(t, s.Send(t.Context(), property("int", 1), property("uint", uint(1))))
	})
}

func TestPartitionThatIsNotThere(t *testing.T) {
	for _, partition := range []string{"9", "-1", "boo"} {
		t.Run(partition, func(t *testing.T) {
			bubble(t, options{}, func(t *testing.T, s *scene) {
				var err error
				took := elapsed(func() { err = s.Send(t.Context(), anywhere, toZero, eventhubs.Event{PartitionID: partition}) })
				requireNothingSent(t, err)
				require.ErrorContains(t, err, "eventhubs: send hub: there is no such partition")
				require.Less(t, took, time.Second)
				require.Empty(t, s.srv.AllEvents("hub"))
			})
		})
	}
}

// TestTooLarge finds the largest event that the check lets pass, for some shapes of events: the service takes it, and
// one more byte is refused before anything is sent.
func TestTooLarge(t *testing.T) {
	for name, like := range map[string]eventhubs.Event{
		"body alone":      {},
		"to a partition":  {PartitionID: "0", MessageID: "m", ContentType: "c", CorrelationID: []byte("c")},
		"with a key":      {PartitionKey: "key", MessageID: strings.Repeat("m", 300)},
		"with properties": {Properties: map[string]any{"é": "é", "b": make([]byte, 1000), "n": 1, "t": time.Now()}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, options{}, func(t *testing.T, s *scene) {
				tooLarge := func(size int) *eventhubs.EventTooLargeError {
					like.Body = make([]byte, size)
					err := s.Send(t.Context(), toZero, like)
					var tooLarge *eventhubs.EventTooLargeError
					if err == nil {
						return nil
					}
					requireNothingSent(t, err)
					require.ErrorAs(t, err, &tooLarge)
					require.Equal(t, 1, tooLarge.Index)
					require.EqualValues(t, 1<<20, tooLarge.Limit)
					return tooLarge
				}
				first := tooLarge(1 << 20)
				fits := 1<<20 - (first.Size - int(first.Limit))
				require.Nil(t, tooLarge(fits))
				require.Len(t, s.srv.AllEvents("hub"), 2)
				require.Equal(t, 1<<20+1, tooLarge(fits+1).Size)
				require.Len(t, s.srv.AllEvents("hub"), 2)
			})
		})
	}
}

// TestLargePropertiesCount: what is large about an event need not be its body.
func TestLargePropertiesCount(t *testing.T) {
	for name, event := range map[string]eventhubs.Event{
		"bytes":          property("p", make([]byte, 600<<10)), // properties count twice
		"string":         property("p", strings.Repeat("x", 600<<10)),
		"symbol":         property("p", amqp.Symbol(strings.Repeat("x", 600<<10))),
		"name":           property(strings.Repeat("x", 600<<10), 1),
		"correlation id": {CorrelationID: strings.Repeat("x", 600<<10)},
		"binary id":      {CorrelationID: make([]byte, 600<<10)},
		"message id":     {MessageID: strings.Repeat("x", 600<<10)},
		"content type":   {ContentType: strings.Repeat("x", 600<<10)},
		"key":            {PartitionKey: strings.Repeat("x", 600<<10)},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, options{}, func(t *testing.T, s *scene) {
				err := s.Send(t.Context(), anywhere, event)
				requireNothingSent(t, err)
				require.ErrorAs(t, err, new(*eventhubs.EventTooLargeError))
				require.Empty(t, s.srv.AllEvents("hub"))
			})
		})
	}
}

// shrinking makes links take less: what the server says of the largest message is changed on its way.
type shrinking struct {
	net.Conn
	to *atomic.Int32 // KiB; 0: as it is
}

func (c shrinking) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if kib := c.to.Load(); kib > 0 {
		is, be := []byte{0x80, 0, 0, 0, 0, 0, 0x10, 0, 0}, []byte{0x80, 0, 0, 0, 0, 0, byte(kib >> 6), byte(kib << 2), 0}
		for i := range b[:max(n-len(is)+1, 0)] {
			if string(b[i:i+len(is)]) == string(is) {
				copy(b[i:], be)
			}
		}
	}
	return n, err
}

// shrinkable are options with connections that shrink.
func shrinkable(to *atomic.Int32) options {
	config := func(srv *eventhubstest.Server) eventhubs.Config {
		cfg := srv.Config("hub")
		dial := cfg.DialContext
		cfg.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			return shrinking{c, to}, err
		}
		return cfg
	}
	return options{config: config, server: eventhubstest.Options{RetentionBytes: 1 << 30}}
}

// shrink has the next batch be lost, and its link take less from then on.
func (s *scene) shrink(to *atomic.Int32) {
	s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, Hang: true})
	to.Store(256)
}

// TestLinkThatShrinks: a batch that was filled for a link that took more is split, and keeps its order.
func TestLinkThatShrinks(t *testing.T) {
	for name, partition := range map[string]string{"to a partition": "0", "anywhere": ""} {
		t.Run(name, func(t *testing.T) {
			var to atomic.Int32
			bubble(t, shrinkable(&to), func(t *testing.T, s *scene) {
				require.NoError(t, s.Send(t.Context(), sized(1, partition)))
				s.shrink(&to)
				var events []eventhubs.Event
				for i := range byte(40) {
					e := sized(100, partition)
					e.Body[0] = i
					events = append(events, e)
				}
				require.NoError(t, s.Send(t.Context(), events...))
				require.Len(t, s.srv.AllEvents("hub"), 41)
				for i, e := range s.srv.Events("hub", "0") {
					require.True(t, i == 0 || partition == "" || int(e.Body[0]) == i-1)
				}
			})
		})
	}
}

// TestPartOfABatchFails: of a batch that is sent in parts, those events are listed whose part was refused, and those
// that came after them where that would change the order.
func TestPartOfABatchFails(t *testing.T) {
	for name, tc := range map[string]struct {
		partition string
		skip      int
		failed    []int
	}{
		"to a partition": {"0", 1, []int{2, 3, 4, 5, 6, 7}},
		"anywhere":       {"", 1, []int{2, 3}},
		"the first one":  {"", 0, []int{0, 1}},
		"the last one":   {"0", 3, []int{6, 7}},
	} {
		t.Run(name, func(t *testing.T) {
			var to atomic.Int32
			bubble(t, shrinkable(&to), func(t *testing.T, s *scene) {
				require.NoError(t, s.Send(t.Context(), sized(1, tc.partition)))
				s.shrink(&to)
				s.srv.Fault(eventhubstest.Fault{
					On: eventhubstest.OnPublish, Skip: tc.skip, Times: 1, Condition: "amqp:resource-limit-exceeded",
				})
				var events []eventhubs.Event
				for range 8 {
					events = append(events, sized(100, tc.partition))
				}
				require.Equal(t, tc.failed, unacknowledged(t, s.Send(t.Context(), events...)))
				require.Len(t, s.srv.AllEvents("hub"), 1+len(events)-len(tc.failed))
			})
		})
	}
}

// TestEventThatDoesNotFitAnyMore fails, and with it what must not overtake it.
func TestEventThatDoesNotFitAnyMore(t *testing.T) {
	for name, tc := range map[string]struct {
		partition string
		failed    []int
	}{"to a partition": {"0", []int{1, 2, 3, 4, 5}}, "anywhere": {"", []int{1}}} {
		t.Run(name, func(t *testing.T) {
			var to atomic.Int32
			bubble(t, shrinkable(&to), func(t *testing.T, s *scene) {
				require.NoError(t, s.Send(t.Context(), sized(1, tc.partition)))
				s.shrink(&to)
				events := []eventhubs.Event{sized(1, tc.partition), sized(300, tc.partition)}
				for range 4 {
					events = append(events, sized(100, tc.partition))
				}
				err := s.Send(t.Context(), events...)
				require.Equal(t, tc.failed, unacknowledged(t, err))
				var tooLarge *eventhubs.EventTooLargeError
				require.ErrorAs(t, err, &tooLarge)
				require.Equal(t, 1, tooLarge.Index)
				require.EqualValues(t, 256<<10, tooLarge.Limit)
				require.Len(t, s.srv.AllEvents("hub"), 1+len(events)-len(tc.failed))
				err = s.Send(t.Context(), sized(1, tc.partition), sized(300, tc.partition))
				requireNothingSent(t, err)
				require.ErrorAs(t, err, &tooLarge, "now it is known before")
			})
		})
	}
}

// TestLeavingBeforeTheBatchIsSplit: an event whose caller has left is not read again.
func TestLeavingBeforeTheBatchIsSplit(t *testing.T) {
	var to atomic.Int32
	bubble(t, shrinkable(&to), func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), sized(1, "0")))
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, Delay: time.Second})
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, Hang: true})
		first := s.start(t.Context(), sized(1, "0"))
		ctx, cancel := context.WithCancel(t.Context())
		left, stays := sized(200, "0"), sized(200, "0")
		leaving, staying := s.start(ctx, left), s.start(t.Context(), stays) // share a batch
		require.NoError(t, <-first)
		time.Sleep(time.Second) // it is on its way
		cancel()
		require.ErrorContains(t, <-leaving, "whether what is listed was stored is unknown")
		copy(left.Body, "changed")
		to.Store(256)
		require.NoError(t, <-staying)
		for _, e := range s.srv.Events("hub", "0") {
			require.NotContains(t, string(e.Body[:7]), "changed")
		}
	})
}

// TestSmallLimit: on the Basic tier, links take 256 KB.
func TestSmallLimit(t *testing.T) {
	var to atomic.Int32
	to.Store(250)
	bubble(t, shrinkable(&to), func(t *testing.T, s *scene) {
		var events []eventhubs.Event
		for range 20 {
			events = append(events, sized(100, "0"), sized(200, ""))
		}
		require.NoError(t, s.Send(t.Context(), events...))
		requireNothingSent(t, s.Send(t.Context(), toZero, sized(300, "")))
	})
}
