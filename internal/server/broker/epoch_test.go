package broker_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

// named returns the link properties of a reader with a name.
func named(name string) map[string]any { return map[string]any{"com.microsoft:receiver-name": name} }

// withEpoch returns those of a reader with a name and an epoch.
func withEpoch(name string, epoch any) map[string]any {
	m := named(name)
	m["com.microsoft:epoch"] = epoch
	return m
}

func TestEpochs(t *testing.T) {
	s := serve(t, broker.Options{})
	c := s.open(t)
	const stolen = "amqp:link:stolen"
	first := c.mustRead(group, earliest, withEpoch("first", int64(1)))
	same := c.mustRead(group, earliest, withEpoch("same", int64(1)))
	e := ended(t, first)
	require.Equal(t, goamqp.ErrCond(stolen), e.Condition)
	require.Contains(
		t, e.Description,
		"New receiver 'same' with higher epoch of '1' is created hence current receiver 'first' with epoch '1' is getting "+
			"disconnected",
	)
	higher := c.mustRead(group, earliest, withEpoch("higher", int32(7)))
	e = ended(t, same)
	require.Equal(t, goamqp.ErrCond(stolen), e.Condition)
	require.Contains(t, e.Description, "New receiver 'higher' with higher epoch of '7'")

	_, err := c.reader(group, earliest, withEpoch("lower", int64(6)))
	requireCondition(
		t, err, stolen, "Receiver 'higher' with a higher epoch '7' already exists",
		"Receiver 'lower' with epoch 6 cannot be created",
	)
	_, err = c.reader(group, earliest, named("plain"))
	requireCondition(t, err, stolen, "created with epoch of '7', and so non-epoch receiver is not allowed")
	_, err = c.reader(group, earliest, withEpoch("odd", "7"))
	requireCondition(t, err, "amqp:invalid-field", "com.microsoft:epoch is a string")

	c.send("hub/Partitions/0", "x") // the refused readers have not affected this one
	require.Equal(t, "x", string(next(t, higher).GetData()))
	c.mustRead("hub/ConsumerGroups/Other/Partitions/0", earliest, named("another group"))
	c.mustRead("hub/ConsumerGroups/$Default/Partitions/1", earliest, withEpoch("another partition", int64(1)))

	require.NoError(t, higher.Close(ctx(t))) // its epoch is not remembered
	plain := c.mustRead(group, earliest, named("plain"))
	require.Equal(t, "x", string(next(t, plain).GetData()))
	negative := c.mustRead(group, earliest, withEpoch("negative", int64(-5)))
	require.Equal(t, goamqp.ErrCond(stolen), ended(t, plain).Condition, "an epoch evicts readers without one")
	require.Equal(t, "x", string(next(t, negative).GetData()))
}

func TestFiveReaders(t *testing.T) {
	s := serve(t, broker.Options{})
	c := s.open(t)
	var readers []*goamqp.Receiver
	for i := range 5 {
		readers = append(readers, c.mustRead(group, earliest, named(fmt.Sprint("r", i))))
	}
	_, err := c.reader(group, earliest, named("r5"))
	requireCondition(t, err, "amqp:resource-limit-exceeded", "maximum number of allowed receivers per partition in a "+
		"consumer group which is 5",
		"List of connected receivers - r0, r1, r2, r3, r4.")
	c.mustRead("hub/ConsumerGroups/Other/Partitions/0", earliest, nil)
	c.send("hub/Partitions/0", "for all")
	for _, r := range readers {
		require.Equal(t, "for all", string(next(t, r).GetData()))
	}
	require.NoError(t, readers[2].Close(ctx(t))) // a reader that leaves makes room
	again := c.mustRead(group, earliest, named("again"))
	_, err = c.reader(group, earliest, nil)
	requireCondition(t, err, "amqp:resource-limit-exceeded")
	require.NoError(t, again.Close(ctx(t)))

	// So does a reader that goes without a word, and one that is evicted.
	c.mustRead(group, earliest, withEpoch("epoch", int64(0)))
	for _, i := range []int{0, 1, 3, 4} {
		require.Equal(t, goamqp.ErrCond("amqp:link:stolen"), ended(t, readers[i]).Condition)
	}
	s.DropConnections()
	c = s.open(t)
	require.Eventually(t, func() bool {
		r, err := c.reader(group, earliest, nil)
		return err == nil && r.Close(ctx(t)) == nil
	}, patience, 1e6)
	for range 5 {
		c.mustRead(group, earliest, nil)
	}
}

// If several readers come at once with the same epoch, one remains, and all others are told.
func TestStealRace(t *testing.T) {
	const rounds, n = 15, 12
	s := serve(t, broker.Options{})
	var clients []*client
	for range n {
		clients = append(clients, s.open(t))
	}
	sender := clients[0].sender("hub/Partitions/0")
	for round := range rounds {
		var all sync.WaitGroup
		readers := make([]*goamqp.Receiver, n)
		for i, c := range clients {
			all.Go(func() {
				var err error
				// A reader that is evicted before its attach is answered is refused with the same condition.
				if readers[i], err = c.reader(group, latest, withEpoch(fmt.Sprint(i), int64(round))); err != nil {
					requireCondition(t, err, "amqp:link:stolen")
				}
			})
		}
		all.Wait()
		require.NoError(t, sender.Send(ctx(t), goamqp.NewMessage(fmt.Append(nil, round)), nil))
		got := make(chan int, n)
		for i, r := range readers {
			if r == nil {
				continue
			}
			all.Go(func() {
				if m, err := r.Receive(ctx(t), nil); err == nil && string(m.GetData()) == fmt.Sprint(round) {
					got <- i
				}
			})
		}
		all.Wait() // readers that were not told would wait here forever
		require.Len(t, got, 1, "round %d", round)
	}
}

// Readers come and go, some with their connection. They leave nothing behind.
func TestJoinAndLeaveRace(t *testing.T) {
	s := serve(t, broker.Options{})
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			for j := range 10 {
				c := s.open(t)
				properties := named("r")
				if (i+j)%3 == 0 {
					properties = withEpoch("r", int64(j))
				}
				r, err := c.reader(group, earliest, properties)
				switch {
				case err == nil && i%2 == 0:
					_ = r.Close(ctx(t))
				case j%2 == 0:
					_ = c.conn.Close()
				default:
					_ = c.nc.Close()
				}
			}
		})
	}
	all.Wait()
	s.DropConnections()
	c := s.open(t)
	require.Eventually(t, func() bool { // the server may take a moment to notice that they have gone
		r, err := c.reader(group, earliest, nil)
		return err == nil && r.Close(ctx(t)) == nil
	}, patience, 1e6)
	require.Eventually(t, func() bool {
		var readers []*goamqp.Receiver
		defer func() {
			for _, r := range readers {
				_ = r.Close(ctx(t))
			}
		}()
		for range 5 {
			r, err := c.reader(group, earliest, nil)
			if err != nil {
				return false
			}
			readers = append(readers, r)
		}
		return true
	}, patience, 1e6)
}

// A reader that asks for runtime metrics gets the state of the partition's end with each event.
func TestRuntimeMetrics(t *testing.T) {
	s := serve(t, broker.Options{})
	c := s.open(t)
	c.send("hub/Partitions/0", "a", "b")
	events, err := s.Events("hub", "0")
	require.NoError(t, err)
	filters := []goamqp.LinkFilter{goamqp.NewSelectorFilter(earliest)}
	r, err := c.sess.NewReceiver(ctx(t), group, &goamqp.ReceiverOptions{
		Filters: filters, DesiredCapabilities: []string{"com.microsoft:enable-receiver-runtime-metric"},
	})
	require.NoError(t, err)
	m := next(t, r)
	require.EqualValues(t, 0, m.Annotations["x-opt-sequence-number"])
	d := m.DeliveryAnnotations
	require.Equal(t, int64(1), d["last_enqueued_sequence_number"])
	require.Equal(t, fmt.Sprint(events[1].Offset), d["last_enqueued_offset"])
	require.Equal(t, events[1].Enqueued, utcOf(d["last_enqueued_time_utc"]))
	require.WithinDuration(t, events[1].Enqueued, utcOf(d["runtime_info_retrieval_time_utc"]), patience)
	require.Len(t, d, 4)
	require.Nil(t, next(t, c.mustRead(group, earliest, nil)).DeliveryAnnotations)
}

func utcOf(v any) time.Time { return v.(time.Time).UTC() }
