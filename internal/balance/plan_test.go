package balance_test

import (
	"math/rand/v2"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"
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
	for seed := range uint64(1000) {
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
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 2))
		members := 2 + r.IntN(5)
		g := newGroup(r, 1+r.IntN(32), members, r.IntN(3) > 0)
		for i := range 1 + r.IntN(members-1) {
			g.members[i].sdk = true
		}
		settle(t, g, 60+6*len(g.ids), seed)
	}
}
