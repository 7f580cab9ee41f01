package lease

import (
	"context"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// ClaimOwnership claims and renews partitions, or gives them back. Claims are tried until ctx ends: while that lasts, the partitions that are open are read on.
// What is ours afterwards is what the store says, and who holds what isn't ours any more is told.
func (s *Store) ClaimOwnership(ctx context.Context, want []azeventhubs.Ownership, o *azeventhubs.ClaimOwnershipOptions) ([]azeventhubs.Ownership, error) {
	if givesBack(want) || len(want) == 0 && s.isEnding() {
		return s.giveBack(ctx, want, o)
	}
	began := time.Now()
	claimed, asBefore, err := s.claim(ctx, s.allowed(want), o)
	if err != nil {
		return nil, err
	}
	s.account(claimed, began, asBefore)
	return append(claimed, asBefore...), nil
}

// givesBack reports whether a claim is the Processor's last, which gives up what it has (azeventhubs, processor.go, close).
func givesBack(want []azeventhubs.Ownership) bool {
	for _, w := range want {
		if w.OwnerID != "" {
			return false
		}
	}
	return len(want) > 0
}

// giveBack gives up what the store says is ours. That may be more than the Processor knows: it forgets a claim that was under way when it was told to end, though the store
// may have it (azeventhubs, processor.go, dispatch). It is tried once: if it fails, the claims expire.
func (s *Store) giveBack(ctx context.Context, want []azeventhubs.Ownership, o *azeventhubs.ClaimOwnershipOptions) ([]azeventhubs.Ownership, error) {
	s.Close()
	ctx, cancel := context.WithTimeout(ctx, s.CallTimeout)
	defer cancel()
	given, err := s.release(ctx, want, o)
	for _, g := range given {
		s.Logger.Debug("eventhubs: partition given back", "partition", g.PartitionID)
	}
	if err != nil {
		s.Logger.Warn("eventhubs: partitions could not be given back: others can take them once their claims expire", "after", s.Expiration, "error", err)
	}
	return given, err
}

func (s *Store) release(ctx context.Context, want []azeventhubs.Ownership, o *azeventhubs.ClaimOwnershipOptions) ([]azeventhubs.Ownership, error) {
	group := s.groupOf(want)
	if group.FullyQualifiedNamespace == "" { // nothing was ever listed, so nothing was claimed
		return nil, nil
	}
	listed, err := s.Store.ListOwnership(ctx, group.FullyQualifiedNamespace, group.EventHubName, group.ConsumerGroup, nil)
	if err != nil {
		return nil, err
	}
	var ours []azeventhubs.Ownership
	for _, l := range listed {
		if l.OwnerID == s.Owner {
			l.OwnerID = ""
			ours = append(ours, l)
		}
	}
	return s.Store.ClaimOwnership(ctx, ours, o)
}

// groupOf returns an ownership with the names of what this Store is for.
func (s *Store) groupOf(list []azeventhubs.Ownership) azeventhubs.Ownership {
	if len(list) > 0 {
		return list[0]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.group
}

func (s *Store) isEnding() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending
}

// allowed is what is to be claimed: what the Processor wants and, first of all, what is held. A claim that was renewed late looks expired to the Processor, which may then leave it
// out. While draining, nothing new is claimed.
func (s *Store) allowed(want []azeventhubs.Ownership) (out []azeventhubs.Ownership) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range want {
		if !s.draining || s.held[w.PartitionID] != nil {
			out = append(out, w)
		}
	}
	for id, h := range s.held {
		if !contains(want, id) {
			out = append(out, h.claimed)
		}
	}
	return out
}

// claim claims partitions, and tries again while the store fails as a whole. One partition that can't be claimed must not hold up the renewal of the others, so when
// some were claimed it is left to the next call. A claim that seems to be refused may be our own: its answer was lost, and when it was tried again, here or further
// down, its ETag was no longer the one in the store. So before a partition counts as lost, its owner is looked up. Those that are ours, but were not renewed, are asBefore.
func (s *Store) claim(ctx context.Context, want []azeventhubs.Ownership, o *azeventhubs.ClaimOwnershipOptions) (claimed, asBefore []azeventhubs.Ownership, err error) {
	rest, doubtful := want, false
	err = s.retry(ctx, "claim partitions", func(ctx context.Context) error {
		call, cancel := s.outlast(ctx)
		defer cancel()
		got, err := s.Store.ClaimOwnership(call, rest, o)
		claimed = append(claimed, got...)
		rest = without(rest, got)
		doubtful = doubtful || err != nil
		if err != nil && len(claimed) > 0 && ctx.Err() == nil {
			s.Logger.Warn("eventhubs: some partitions could not be claimed, and are tried again", "partitions", len(rest), "error", err)
			return nil
		}
		return err
	})
	if err != nil || len(rest) == 0 || !doubtful && !s.holdsAny(rest) {
		return claimed, nil, err
	}
	first := rest[0]
	listed, err := s.ListOwnership(ctx, first.FullyQualifiedNamespace, first.EventHubName, first.ConsumerGroup, nil)
	if err != nil {
		return nil, nil, err
	}
	for _, l := range listed {
		i := slices.IndexFunc(rest, func(r azeventhubs.Ownership) bool { return r.PartitionID == l.PartitionID })
		switch {
		case i < 0 || l.OwnerID != s.Owner:
		case sameETag(l.ETag, rest[i].ETag):
			asBefore = append(asBefore, l)
		default:
			claimed = append(claimed, l)
		}
	}
	return claimed, asBefore, nil
}

// grace is how long a claim that is under way gets to be finished when the Processor has to end.
const grace = time.Second

// outlast returns a context for a claim that outlasts ctx a little: a claim that is cut off may be stored after what is ours was looked up to be given back.
func (s *Store) outlast(ctx context.Context) (context.Context, context.CancelFunc) {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.CallTimeout)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return call, func() { stop(); cancel() }
}

func sameETag(a, b *azcore.ETag) bool { return a != nil && b != nil && *a == *b }

func (s *Store) holdsAny(list []azeventhubs.Ownership) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range list {
		if s.held[o.PartitionID] != nil {
			return true
		}
	}
	return false
}

func without(list, drop []azeventhubs.Ownership) (kept []azeventhubs.Ownership) {
	for _, o := range list {
		if !contains(drop, o.PartitionID) {
			kept = append(kept, o)
		}
	}
	return kept
}

func contains(list []azeventhubs.Ownership, partition string) bool {
	for _, o := range list {
		if o.PartitionID == partition {
			return true
		}
	}
	return false
}

// account takes down what is ours from now on: what was claimed or renewed, and what is as before.
func (s *Store) account(claimed []azeventhubs.Ownership, began time.Time, asBefore []azeventhubs.Ownership) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ours := make(map[string]bool, len(claimed)+len(asBefore))
	for _, o := range claimed {
		ours[o.PartitionID] = true
		h := s.hold(o.PartitionID)
		h.claimed, h.renewed, h.seen = o, began, began
	}
	for _, o := range asBefore {
		ours[o.PartitionID] = true
		h := s.hold(o.PartitionID)
		h.claimed, h.seen = o, began
	}
	s.change()
	for id := range s.held {
		if !ours[id] {
			s.Logger.Info("eventhubs: another consumer has taken a partition over", "partition", id)
			s.lose(id)
		}
	}
}

// hold makes a partition ours, unless it is.
func (s *Store) hold(partition string) *holding {
	h := s.held[partition]
	if h == nil {
		h = &holding{since: time.Now()}
		h.ctx, h.lose = context.WithCancelCause(context.Background())
		s.held[partition] = h
	}
	return h
}
