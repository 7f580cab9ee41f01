// Package lease stands between the SDK's Processor and a checkpoint store. The Processor ends at the first call of the store that fails, forgets
// partitions when a listing fails, and tells nobody which partition it has lost (azeventhubs, processor.go). A [Store] makes up for that:
// it tries calls again for as long as it takes, and keeps account of which partitions are ours.
package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// ErrLost is the cause of the end of a partition's context when it is no longer ours.
var ErrLost = errors.New("the partition was lost")

// ErrNotHeld is why a checkpoint was not written: the partition is not ours, or may not be.
var ErrNotHeld = errors.New("the partition is not held")

// Options describe a Store.
type Options struct {
	Store azeventhubs.CheckpointStore
	// Owner is the name under which partitions are claimed.
	Owner string
	// Expiration is how long a claim holds without being renewed.
	Expiration time.Duration
	// CallTimeout is how long one call of the store may take.
	CallTimeout time.Duration
	// Patience is how long a listing of checkpoints is tried before the Store is broken: while it goes on, no claim is renewed.
	Patience time.Duration
	// Complete is given the checkpoints that were listed, and the partitions held, and returns those to begin from.
	Complete func(ctx context.Context, listed []azeventhubs.Checkpoint, held []string) ([]azeventhubs.Checkpoint, error)
	// Final reports whether it is of no use to try a call again that has failed with an error. Nil means that it always is.
	Final  func(error) bool
	Logger *slog.Logger
}

// Store is a CheckpointStore for one Processor. It is safe for concurrent use.
type Store struct {
	Options
	broken chan struct{} // closed when only a new Processor helps

	mu       sync.Mutex
	group    azeventhubs.Ownership // with the names of what is claimed, and nothing else
	held     map[string]*holding   // by partition
	draining bool
	ending   bool
	listed   bool // the store has answered
	stuck    bool // a listing of checkpoints has failed
	isBroken bool
	failing  int           // calls of the store that fail again and again
	changed  chan struct{} // closed, and made anew, when held or failing changes
	outages  []outage      // that have ended, oldest first
}

// holding is a partition that is ours.
type holding struct {
	ctx     context.Context
	lose    context.CancelCauseFunc
	claimed azeventhubs.Ownership // as the store has it
	since   time.Time             // when it became ours
	renewed time.Time             // when the claim that holds was made
	seen    time.Time             // when the store last said that it holds
}

// New returns a Store that holds nothing.
func New(o Options) *Store {
	return &Store{Options: o, broken: make(chan struct{}), changed: make(chan struct{}), held: map[string]*holding{}}
}

// Broken is closed when the Processor has partitions that it will never open: only a new one, with a new Store, helps.
func (s *Store) Broken() <-chan struct{} { return s.broken }

// Answered reports whether the store has said who owns which partition: it is there, and may be read.
func (s *Store) Answered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listed
}

// Drain has the Store claim nothing new: partitions that are held are renewed until they are given back.
func (s *Store) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
}

// End says that the next claim of nothing is the Processor's last: all that is ours is given back then.
func (s *Store) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
}

// Hold returns a context that ends, with the cause ErrLost, when the partition is no longer ours. It is nil if it isn't now.
func (s *Store) Hold(partition string) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[partition]; h != nil {
		return h.ctx
	}
	return nil
}

// Held returns the partitions that are ours, and since when.
func (s *Store) Held() map[string]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := make(map[string]time.Time, len(s.held))
	for id, h := range s.held {
		since[id] = h.since
	}
	return since
}

// Lose notes that a partition was lost, as its link has told.
func (s *Store) Lose(partition string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose(partition)
}

func (s *Store) lose(partition string) {
	if h := s.held[partition]; h != nil {
		h.lose(ErrLost)
		delete(s.held, partition)
		s.change()
	}
}

// Close ends the contexts of all partitions.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.held {
		s.lose(id)
	}
}

// ListOwnership lists who owns what. It is tried until ctx ends.
func (s *Store) ListOwnership(ctx context.Context, namespace, hub, group string, o *azeventhubs.ListOwnershipOptions) (list []azeventhubs.Ownership, err error) {
	s.mu.Lock()
	s.group = azeventhubs.Ownership{FullyQualifiedNamespace: namespace, EventHubName: hub, ConsumerGroup: group}
	s.mu.Unlock()
	err = s.retry(ctx, "list who owns which partition", func(ctx context.Context) error {
		list, err = s.Store.ListOwnership(ctx, namespace, hub, group, o)
		return err
	})
	if err == nil {
		s.answers()
	}
	return s.forgive(list), err
}

// ListCheckpoints lists where to begin. It is tried for a while. When that was in vain, the Processor takes the partitions that it wanted
// to open for opened, and never asks again (azeventhubs, processor.go, addPartitionClient). The Store is broken then, but not before a listing of ownership succeeds: while the
// store is down a new Processor would not get on, and the partitions that are open are read on with this one.
func (s *Store) ListCheckpoints(ctx context.Context, namespace, hub, group string, o *azeventhubs.ListCheckpointsOptions) (list []azeventhubs.Checkpoint, err error) {
	trying, cancel := context.WithTimeout(ctx, s.Patience)
	defer cancel()
	err = s.retry(trying, "list the checkpoints", func(ctx context.Context) error {
		listed, err := s.Store.ListCheckpoints(ctx, namespace, hub, group, o)
		if err != nil {
			return err
		}
		list, err = s.Complete(ctx, listed, s.partitions())
		return err
	})
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stuck = true
	}
	return list, err
}

// answers notes that the store can be listed: a new Processor would get on.
func (s *Store) answers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed = true
	if s.stuck && !s.isBroken {
		s.isBroken = true
		close(s.broken)
	}
}

func (s *Store) partitions() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.held {
		ids = append(ids, id)
	}
	return ids
}

// SetCheckpoint writes a checkpoint once, if the partition is ours beyond doubt.
func (s *Store) SetCheckpoint(ctx context.Context, c azeventhubs.Checkpoint, o *azeventhubs.SetCheckpointOptions) error {
	s.mu.Lock()
	h := s.held[c.PartitionID]
	s.mu.Unlock()
	if h == nil {
		return fmt.Errorf("checkpoint of partition %s: %w", c.PartitionID, ErrNotHeld)
	}
	if age := time.Since(s.renewed(h)); age > s.life() {
		return fmt.Errorf("checkpoint of partition %s: %w: the claim was not renewed for %v", c.PartitionID, ErrNotHeld, age.Round(time.Millisecond))
	}
	ctx, cancel := context.WithTimeout(ctx, s.CallTimeout)
	defer cancel()
	stop := context.AfterFunc(h.ctx, cancel) // the store looks at ctx before each write
	defer stop()
	err := s.Store.SetCheckpoint(ctx, c, o)
	if err != nil && h.ctx.Err() != nil {
		return fmt.Errorf("checkpoint of partition %s: %w", c.PartitionID, ErrNotHeld)
	}
	return err
}

func (s *Store) renewed(h *holding) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return h.renewed
}
