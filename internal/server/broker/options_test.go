package broker_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

func TestOptionsRefused(t *testing.T) {
	good := broker.Hub{Name: "hub", Partitions: 1}
	for why, o := range map[string]broker.Options{
		`event hub "HUB" is there twice`:            {Hubs: []broker.Hub{good, {Name: "HUB", Partitions: 1}}},
		`event hub name "": it must not be empty`:   {Hubs: []broker.Hub{{Partitions: 1}}},
		`event hub name "a/b"`:                      {Hubs: []broker.Hub{{Name: "a/b", Partitions: 1}}},
		`event hub name "$cbs"`:                     {Hubs: []broker.Hub{{Name: "$cbs", Partitions: 1}}},
		`event hub name "a b"`:                      {Hubs: []broker.Hub{{Name: "a b", Partitions: 1}}},
		`event hub name "a;b"`:                      {Hubs: []broker.Hub{{Name: "a;b", Partitions: 1}}},
		`event hub "a" has 0 partitions: give it 1`: {Hubs: []broker.Hub{{Name: "a"}}},
		`event hub "a" has -1 partitions`:           {Hubs: []broker.Hub{{Name: "a", Partitions: -1}}},
		`event hub "a" has 10001 partitions`:        {Hubs: []broker.Hub{{Name: "a", Partitions: 10_001}}},
		`consumer group name "" of event hub "hub"`: {Hubs: []broker.Hub{
			{Name: "hub", Partitions: 1, ConsumerGroups: []string{""}},
		}},
		`consumer group name "a/b"`: {Hubs: []broker.Hub{
			{Name: "hub", Partitions: 1, ConsumerGroups: []string{"a/b"}},
		}},
		`shared access rule "" needs a name`:    {Rules: []broker.Rule{{Key: "k"}}},
		`shared access rule "r" needs`:          {Rules: []broker.Rule{{Name: "r"}}},
		`shared access rule "r" is there twice`: {Rules: []broker.Rule{{Name: "r", Key: "k"}, {Name: "r", Key: "l"}}},
		`shared access rule "r" has the right "all"`: {Rules: []broker.Rule{
			{Name: "r", Key: "k", Rights: []broker.Right{"Send", "all"}},
		}},
	} {
		_, err := broker.New(o)
		require.ErrorContains(t, err, why)
	}
}

func TestEventsOfWhatIsNotThere(t *testing.T) {
	s := serve(t, broker.Options{})
	_, err := s.Events("none", "0")
	require.ErrorContains(t, err, `no event hub "none"`)
	_, err = s.Events("hub", "4")
	require.ErrorContains(t, err, `event hub "hub" has no partition "4"`)
	require.Nil(t, s.Partitions("none"))
	require.Equal(t, []string{"0", "1", "2", "3"}, s.Partitions("HUB"))
}
