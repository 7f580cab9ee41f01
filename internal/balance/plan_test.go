package balance_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/balance"
	"github.com/go-eventhubs/eventhubs/internal/handover"
)

// settle has a group act until it rests, and fails if that takes more than a number of rounds, if anything is done
// that may not be, or if the rest doesn't last.
func settle(t *testing.T, g *group, limit int, seed uint64) (rounds int) {
	for calm := 0; calm < 3; rounds++ {
		if rounds == limit {
			require.FailNow(t, "it does not converge", "seed %d: %d partitions, %v", seed, len(g.ids), g.holdings())
		}
		g.round()
		if calm++; !g.calm() {
			calm = 0
		}
	}
	for range 10 {
		g.round()
		require.True(t, g.calm(), "seed %d: it has begun again: %v", seed, g.holdings())
	}
	require.Empty(t, g.wrong, "seed %d", seed)
	return rounds - 3
}

// TestGroupsConverge: whatever the records are at the start, every partition is held by one live consumer in the end,
// no two shares differ by more than one, and then nothing more is done.
func TestGroupsConverge(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		g := newGroup(r, 1+r.IntN(32), 1+r.IntN(6), r.IntN(3) > 0)
		limit := 30
		if g.members[0].strategy == azeventhubs.ProcessorStrategyBalanced {
			limit += 3 * len(g.ids)
		}
		settle(t, g, limit, seed)
	}
}

// TestMixedGroupsConverge: some members are of other SDKs, and never answer requests.
func TestMixedGroupsConverge(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		members := 2 + r.IntN(5)
		g := newGroup(r, 1+r.IntN(32), members, r.IntN(3) > 0)
		for i := range 1 + r.IntN(members-1) {
			g.members[i].sdk = true
		}
		settle(t, g, 60+6*len(g.ids), seed)
	}
}

// TestDecisions: each case has a record for each partition, as "owner age", and perhaps a request, as "< who asks, from
// whom, age, promise". It says what "me" does about each.
func TestDecisions(t *testing.T) {
	for name, c := range map[string]struct {
		partitions []string
		want       []string
		change     func(*balance.View)
	}{
		"free ones are claimed": {
			partitions: []string{"", "- 5s", "x 61s", "x 59s", "x 1s", "x 1s"},
			want:       []string{"claim", "claim", "claim", "", "", ""},
		},
		"what was released for another consumer is left to it": {
			partitions: []string{"- 5s < x y 6s 35s", "- 5s < x y 6s 0s", "x 1s", "me 1s"},
			want:       []string{"", "", "", ""},
		},
		"for one interval": {
			partitions: []string{"- 11s < x y 12s 35s", "x 1s", "x 1s", "me 1s"}, want: []string{"claim", "", "", ""},
		},
		"what was released for us is claimed": {
			partitions: []string{"- 1s < me x 3s 35s", "x 1s", "me 1s"}, want: []string{"claim", "", ""},
		},
		"a request that is too old means nothing": {
			partitions: []string{"- 5s < x y 61s 0s", "x 1s", "me 1s"}, want: []string{"claim", "", ""},
		},
		"what has our name is ours": {
			partitions: []string{"me 1s", "me 1s", "x 1s", "x 1s"}, want: []string{"claim", "claim", "", ""},
			change: func(v *balance.View) { v.Known = nil },
		},
		"an owner has two intervals to answer, and a second, by which a request may look older than it is": {
			partitions: []string{"x 1s < me x 21s 0s", "x 1s", "x 1s", "me 1s"}, want: []string{"", "", "", ""},
		},
		"then the partition is taken": {
			partitions: []string{"x 1s < me x 22s 0s", "x 1s", "x 1s", "me 1s"}, want: []string{"claim", "", "", ""},
		},
		"nothing is asked of who has one more than we have": {
			partitions: []string{"x 1s", "x 1s", "x 1s", "me 1s", "me 1s"}, want: []string{"", "", "", "", ""},
		},
		"a request that would leave us with too many is withdrawn": {
			partitions: []string{"me 1s", "me 1s", "me 1s", "x 1s < me x 1s 0s"}, want: []string{"", "", "", "delete"},
		},
		"a partition is promised to who asks": {
			partitions: []string{"me 1s < x me 1s 0s", "me 1s", "me 1s"}, want: []string{"grant", "", ""},
		},
		"but none of our share": {
			partitions: []string{"me 1s < x me 1s 0s", "me 1s < x me 1s 0s", "me 1s < x me 1s 0s"},
			want:       []string{"grant", "grant", ""},
		},
		"except on the way out": {
			partitions: []string{"me 1s < x me 1s 0s", "me 1s < x me 1s 0s", "- 1s"},
			want:       []string{"grant", "grant", ""},
			change:     func(v *balance.View) { v.Draining = true },
		},
		"nothing is promised that was asked of others": {
			partitions: []string{"me 1s < x y 1s 0s", "me 1s", "x 1s"}, want: []string{"", "", ""},
		},
		"requests that were met or left behind are deleted": {
			partitions: []string{"me 1s < me x 1s 0s", "me 1s < x me 1s 35s", "y 1s < me x 1s 0s", "y 1s"},
			want:       []string{"delete", "delete", "delete", ""},
		},
		"on the way out all of ours": {
			partitions: []string{"x 1s < me x 1s 35s", "x 1s"}, want: []string{"delete", ""},
			change: func(v *balance.View) { v.Draining = true },
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := balance.View{
				Now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Group: azeventhubs.Ownership{OwnerID: "me"},
				Records: map[string]azeventhubs.Ownership{}, Requests: map[string]handover.Request{},
				CanAsk: true, Known: map[string]balance.Known{}, Strategy: azeventhubs.ProcessorStrategyGreedy,
				Round: true, Interval: interval, Expiration: expiration, Promise: promise,
				Rand: rand.New(rand.NewPCG(1, 1)),
			}
			for i, text := range c.partitions {
				addPartition(t, &v, partitions(i + 1)[i], text)
			}
			if c.change != nil {
				c.change(&v)
			}
			did := decisions(t, balance.Plan(v))
			for i, want := range c.want {
				require.Equal(t, want, did[v.Partitions[i]], "partition %d: %s", i, c.partitions[i])
			}
		})
	}
}

// decisions says what is done about each partition.
func decisions(t *testing.T, d balance.Decision) map[string]string {
	did := map[string]string{}
	for _, o := range d.Claim {
		require.Equal(t, "me", o.OwnerID)
		did[o.PartitionID] += "claim"
	}
	for what, list := range map[string][]handover.Request{"ask": d.Ask, "grant": d.Grant, "delete": d.Delete} {
		for _, r := range list {
			did[r.PartitionID] += what
		}
	}
	return did
}

func addPartition(t *testing.T, v *balance.View, id, text string) {
	age := func(s string) time.Duration {
		d, err := time.ParseDuration(s)
		require.NoError(t, err)
		return d
	}
	v.Partitions = append(v.Partitions, id)
	record, request, _ := strings.Cut(text, "<")
	if f := strings.Fields(record); len(f) > 0 {
		owner := strings.Trim(f[0], "-")
		v.Records[id] = azeventhubs.Ownership{PartitionID: id, OwnerID: owner, LastModifiedTime: v.Now.Add(-age(f[1]))}
		if owner == "me" {
			v.Known[id] = balance.Known{Held: true}
		}
	}
	if f := strings.Fields(request); len(f) > 0 {
		v.Requests[id] = handover.Request{
			PartitionID: id, OwnerID: f[0], FromOwnerID: f[1],
			LastModifiedTime: v.Now.Add(-age(f[2])), Promised: age(f[3]),
		}
	}
}
