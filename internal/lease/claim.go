package lease

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// ClaimOwnership claims and renews partitions, or gives them back. Claims are tried until ctx ends: while that lasts, the partitions that are open are read on.
// What is ours afterwards is what the store says, and who holds what isn't ours any more is told.
func (s *Store) ClaimOwnership(ctx context.Context, want []azeventhubs.Ownership, o *azeventhubs.ClaimOwnershipOptions) ([]azeventhubs.Ownership, error) {
	if givesBack(want) {
		return s.giveBack(ctx, want, o)
	}
	began := time.Now()
	claimed, err := s.claim(ctx, s.allowed(want), o)
	if err != nil {
		return nil, err
	}
	s.account(claimed, began)
	return claimed, nil
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

// giveBack is tried once: if it fails, the claims expire.
func (s *Store) giveBack(ctx context.Context, want []azeventhubs.Ownership, o *azeventhubs.ClaimOwnershipOptions) ([]azeventhubs.Ownership, error) {
	s.Close()
	ctx, cancel := context.WithTimeout(ctx, s.CallTimeout)
	defer cancel()
	given, err := s.Store.ClaimOwnership(ctx, want, o)
	if err != nil {
		s.Logger.Warn("eventhubs: partitions could not be given back: others can take them once their claims expire", "after", s.Expiration, "error", err)
	}
	return given, err
}

// allowed leaves out what must not be claimed: while draining, all that is not held.
func (s *Store) allowed(want []azeventhubs.Ownership) []azeventhubs.Ownership {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining {
		return want
	}
	var renewals []azeventhubs.Ownership
	for _, w := range want {
		if s.held[w.PartitionID] != nil {
			renewals = append(renewals, w)
		}
	}
	return renewals
}

// claim claims partitions, and tries those again whose claim has failed. A claim that seems to be refused may be our own: its answer was lost, and when it was
// tried again, here or further down, its ETag was no longer the one in the store. So before a partition counts as lost, its owner is looked up.
func (s *Store) claim(ctx context.Context, want []azeventhubs.Ownership, o *azeventhubs.ClaimOwnershipOptions) (claimed []azeventhubs.Ownership, err error) {
	rest, doubtful := want, false
	err = s.retry(ctx, "claim partitions", func(ctx context.Context) error {
		got, err := s.Store.ClaimOwnership(ctx, rest, o)
		claimed = append(claimed, got...)
		rest = without(rest, got)
		doubtful = doubtful || err != nil
		return err
	})
	if err != nil || len(rest) == 0 || !doubtful && !s.holdsAny(rest) {
		return claimed, err
	}
	first := rest[0]
	listed, err := s.ListOwnership(ctx, first.FullyQualifiedNamespace, first.EventHubName, first.ConsumerGroup, nil)
	if err != nil {
		return nil, err
	}
	for _, l := range listed {
		if l.OwnerID == s.Owner && contains(rest, l.PartitionID) {
			claimed = append(claimed, l)
		}
	}
	return claimed, nil
}

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

// account takes down what is ours from now on.
func (s *Store) account(claimed []azeventhubs.Ownership, began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ours := make(map[string]bool, len(claimed))
	for _, o := range claimed {
		ours[o.PartitionID] = true
		h := s.held[o.PartitionID]
		if h == nil {
			h = &holding{}
			h.ctx, h.lose = context.WithCancelCause(context.Background())
			s.held[o.PartitionID] = h
		}
		h.renewed = began
	}
	for id := range s.held {
		if !ours[id] {
			s.Logger.Info("eventhubs: another consumer has taken a partition over", "partition", id)
			s.lose(id)
		}
	}
}
