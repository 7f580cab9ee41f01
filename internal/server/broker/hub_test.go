package broker_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

// properties returns an event hub's properties, as $management answers.
func (c *client) properties(hub string) map[string]any {
	c.t.Helper()
	m := readRequest("com.microsoft:eventhub")
	m.ApplicationProperties["name"] = hub
	answer := c.request("$management", m)
	code, description := statusOf(answer)
	require.Equal(c.t, int32(200), code, description)
	return answer.Value.(map[string]any)
}

func TestAddPartitions(t *testing.T) {
	virtual(t, broker.Options{Hubs: []broker.Hub{{Name: "Hub", Partitions: 2}}}, func(t *testing.T, s *namespace) {
		c := s.open(t)
		sender, reader := c.sender("hub"), c.mustRead(group, earliest, nil)
		created := c.properties("hub")["created_at"]
		_, err := c.sess.NewSender(ctx(t), "hub/Partitions/2", nil)
		requireCondition(t, err, "com.microsoft:argument-out-of-range", "It should be between 0 and 1.")

		time.Sleep(time.Minute)
		require.NoError(t, s.AddPartitions("HUB", 3))
		p := c.properties("hub")
		require.EqualValues(t, 5, p["partition_count"])
		require.EqualValues(t, []string{"0", "1", "2", "3", "4"}, p["partition_ids"])
		require.Equal(t, created, p["created_at"])
		require.Equal(t, []string{"0", "1", "2", "3", "4"}, s.Partitions("hub"))

		// Open links stay open, and those that send use the new partitions.
		for i := range 10 {
			require.NoError(t, sender.Send(ctx(t), goamqp.NewMessage([]byte(strconv.Itoa(i))), nil))
		}
		for i := range 5 {
			require.Len(t, bodies(t, s, strconv.Itoa(i)), 2)
		}
		require.Equal(t, "0", string(next(t, reader).GetData()))
		for i := range 50 {
			m, key := goamqp.NewMessage([]byte("keyed")), fmt.Sprintf("key %d", i)
			m.Annotations = goamqp.Annotations{"x-opt-partition-key": key}
			require.NoError(t, sender.Send(ctx(t), m, nil))
			events, err := s.Events("hub", strconv.Itoa(broker.PartitionOf(key, 5)))
			require.NoError(t, err)
			require.Equal(t, key, events[len(events)-1].Key)
		}
		c.send("hub/Partitions/4", "last")
		r := c.mustRead("hub/ConsumerGroups/$Default/Partitions/4", latest, nil)
		c.send("hub/Partitions/4", "there")
		require.Equal(t, "there", string(next(t, r).GetData()))

		require.EqualError(t, s.AddPartitions("none", 1), `no event hub "none"`)
		for _, n := range []int{0, -1, 10_000} {
			want := fmt.Sprintf(`event hub "Hub" has 5 partitions and can have 10000: %d can't be added`, n)
			require.EqualError(t, s.AddPartitions("hub", n), want)
		}
	})
}

func TestReset(t *testing.T) {
	hubs := []broker.Hub{{Name: "Hub", Partitions: 2, ConsumerGroups: []string{"Other"}}, {Name: "other", Partitions: 1}}
	virtual(t, broker.Options{Hubs: hubs}, func(t *testing.T, s *namespace) {
		c := s.open(t)
		c.send("hub/Partitions/0", "a", "b", "c")
		first, err := s.Events("hub", "0")
		require.NoError(t, err)
		require.NoError(t, s.AddPartitions("hub", 1))
		sender, reader := c.sender("hub/Partitions/0"), c.mustRead(group, latest, withEpoch("r", int64(1)))
		elsewhere := c.sender("other")
		before := c.properties("hub")

		time.Sleep(time.Minute)
		require.NoError(t, s.Reset("HUB"))
		e := ended(t, reader)
		require.Equal(t, goamqp.ErrCondNotFound, e.Condition)
		require.Contains(t, e.Description, "The messaging entity 'Hub' could not be found.")
		requireCondition(t, sender.Send(ctx(t), goamqp.NewMessage(nil), nil), "amqp:not-found")
		require.NoError(t, elsewhere.Send(ctx(t), goamqp.NewMessage(nil), nil))

		after := c.properties("hub") // the token still holds
		require.Equal(t, before["partition_ids"], after["partition_ids"])
		require.Equal(t, time.Minute, after["created_at"].(time.Time).Sub(before["created_at"].(time.Time)))
		require.Empty(t, bodies(t, s, "0"))
		past := fmt.Sprintf("amqp.annotation.x-opt-offset > '%d'", first[2].Offset)
		_, err = c.reader(group, past, nil)
		requireCondition(t, err, "com.microsoft:argument-error", "The last offset in the system is '-1'")
		c.mustRead("hub/ConsumerGroups/Other/Partitions/2", latest, nil)

		reader = c.mustRead(group, earliest, withEpoch("r", int64(0))) // the reader with the higher epoch is gone
		c.send("hub/Partitions/0", "new")
		m := next(t, reader)
		require.Equal(t, "new", string(m.GetData()))
		require.EqualValues(t, 0, m.Annotations["x-opt-sequence-number"])
		require.Equal(t, strconv.FormatInt(first[0].Offset, 10), m.Annotations["x-opt-offset"])
		require.EqualError(t, s.Reset("none"), `no event hub "none"`)
	})
}

// An attach that is held up until after a Reset attaches to the new hub.
func TestResetWhileAttaching(t *testing.T) {
	virtual(t, broker.Options{}, func(t *testing.T, s *namespace) {
		s.AddFault(broker.Fault{On: broker.OnAttach, Link: broker.ReaderLink, Delay: time.Minute, Times: 1})
		c := s.open(t)
		go func() {
			time.Sleep(time.Second)
			_ = s.Reset("hub")
		}()
		sess := c.session()
		long, cancel := context.WithTimeout(context.Background(), patient)
		defer cancel()
		r, err := sess.NewReceiver(long, group, nil)
		require.NoError(t, err)
		c.send("hub/Partitions/0", "x")
		require.Equal(t, "x", string(next(t, r).GetData()))
	})
}
