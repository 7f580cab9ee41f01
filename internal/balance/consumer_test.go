package balance_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/balance"
	"github.com/go-eventhubs/eventhubs/internal/handover"
)

// consumer is a Loop with readers, which give a partition back when it is wanted.
type consumer struct {
	*balance.Loop
	t       *testing.T
	name    string
	store   *faulty
	log     *records
	stop    context.CancelFunc // ends Run
	kill    func()             // does so without anything being given back
	err     error              // what Run has returned
	ended   chan struct{}
	readers sync.WaitGroup

	mu     sync.Mutex
	finish time.Duration // how long a reader takes to finish when its partition is wanted
	lost   int           // partitions that were lost, and not given back
	handed int           // partitions that were given back because they were wanted
	taken  int           // partitions that were taken
}

// start starts a consumer of n partitions.
func start(t *testing.T, s handover.Store, name string, n int, change ...func(*balance.Options)) *consumer {
	t.Helper()
	c := &consumer{t: t, name: name, store: newFaulty(s), log: &records{}, ended: make(chan struct{})}
	o := balance.Options{
		Store: c.store, Group: azeventhubs.Ownership{
			FullyQualifiedNamespace: "ns", EventHubName: "hub", ConsumerGroup: "group", OwnerID: name,
		},
		Strategy: azeventhubs.ProcessorStrategyGreedy, UpdateInterval: interval, Expiration: expiration,
		DrainTimeout: 30 * time.Second, Partitions: partitions(n), Taken: c.read, Logger: slog.New(c.log),
		AskPartitions: func(context.Context) ([]string, error) { return partitions(n), nil },
	}
	for _, f := range change {
		f(&o)
	}
	c.Loop = balance.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	c.kill = func() {
		c.store.fail()
		cancel()
		<-c.ended
		c.readers.Wait()
	}
	go func() {
		defer close(c.ended)
		c.err = c.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-c.ended
		c.readers.Wait()
	})
	return c
}

func partitions(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprint(i))
	}
	return ids
}

// read is a partition's reader.
func (c *consumer) read(claim *balance.Claim) {
	c.mu.Lock()
	c.taken++
	c.mu.Unlock()
	c.readers.Go(func() {
		wanted := false
		select {
		case <-claim.Wanted():
			wanted = true
			select {
			case <-claim.Context().Done():
			case <-time.After(c.finishing()):
			}
		case <-claim.Context().Done():
		}
		c.mu.Lock()
		switch {
		case claim.Context().Err() != nil:
			c.lost++
		case wanted:
			c.handed++
		}
		c.mu.Unlock()
		if claim.Context().Err() == nil {
			require.NoError(c.t, claim.Release(context.Background()))
		}
	})
}

func (c *consumer) finishing() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.finish
}

// finishIn says how long readers take from now on.
func (c *consumer) finishIn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finish = d
}

func (c *consumer) count() (lost, handed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost, c.handed
}

// held returns the ids of what is held.
func (c *consumer) held() (ids []string) {
	for _, claim := range c.Claims() {
		ids = append(ids, claim.PartitionID())
	}
	return ids
}

// await lets time pass until consumers hold n partitions each.
func await(t *testing.T, limit time.Duration, n int, consumers ...*consumer) (took time.Duration) {
	t.Helper()
	began := time.Now()
	for {
		synctest.Wait()
		done := true
		var held []int
		for _, c := range consumers {
			held = append(held, len(c.Claims()))
			done = done && len(c.Claims()) == n
		}
		if done {
			return time.Since(began)
		}
		require.Less(t, time.Since(began), limit, "held: %v", held)
		time.Sleep(100 * time.Millisecond)
	}
}

// requireDisjoint checks that each partition is held by one of the consumers.
func requireDisjoint(t *testing.T, n int, consumers ...*consumer) {
	t.Helper()
	var all []string
	for _, c := range consumers {
		all = append(all, c.held()...)
	}
	require.ElementsMatch(t, partitions(n), all)
}

// owners returns who owns which partition by the store, and when that was written.
func owners(t *testing.T, s handover.Store) (names map[string]string, at map[string]time.Time) {
	t.Helper()
	list, err := s.ListOwnership(t.Context(), "ns", "hub", "group", nil)
	require.NoError(t, err)
	names, at = map[string]string{}, map[string]time.Time{}
	for _, o := range list {
		names[o.PartitionID] = o.OwnerID
		at[o.PartitionID] = o.LastModifiedTime
	}
	return names, at
}

// records is a log.
type records struct {
	mu    sync.Mutex
	lines []string
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }
func (r *records) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *records) WithGroup(string) slog.Handler            { return r }
func (r *records) Handle(_ context.Context, rec slog.Record) error {
	var line strings.Builder
	fmt.Fprintf(&line, "%v %s", rec.Level, rec.Message)
	rec.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&line, " %s=%v", a.Key, a.Value)
		return true
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line.String())
	return nil
}

// about returns the lines that have all of some words in them.
func (r *records) about(words ...string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.lines), func(line string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) })
	})
}
