package balance_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/checkpoint"
	"github.com/go-eventhubs/eventhubs/internal/handover"
)

// The calls of a store.
const (
	list          = "list"
	claim         = "claim"
	release       = "release"
	putRequest    = "put request"
	deleteRequest = "delete request"
)

var errDown = errors.New("the store is down")

func newMemory() handover.Store { return checkpoint.NewMemoryStore() }

// faulty is one consumer's way to a store. Its calls are counted, and fail or hang as a test wants.
type faulty struct {
	handover.Store
	mu     sync.Mutex
	before func(ctx context.Context, call, partition string) error
	after  func(call, partition string) error // the answer is lost
	// oneByOne has a claim be as the SDK's store makes it: one partition after the other, until one fails.
	oneByOne bool
	calls    map[string]int
}

func newFaulty(s handover.Store) *faulty { return &faulty{Store: s, calls: map[string]int{}} }

// set has calls fail before they reach the store, and after it.
func (f *faulty) set(
	before func(ctx context.Context, call, partition string) error, after func(call, partition string) error,
) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

// fail has all calls of some kinds fail, or all calls if none is named.
func (f *faulty) fail(kinds ...string) {
	f.set(func(_ context.Context, call, _ string) error {
		if len(kinds) == 0 || slices.Contains(kinds, call) {
			return errDown
		}
		return nil
	}, nil)
}

func (f *faulty) heal() { f.set(nil, nil) }

// taken returns how many calls of a kind there were, and forgets them. A claim of n partitions counts as n.
func (f *faulty) taken() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = map[string]int{}
	return calls
}

func (f *faulty) around(ctx context.Context, call, partition string, do func() error) error {
	f.mu.Lock()
	f.calls[call]++
	before, after := f.before, f.after
	f.mu.Unlock()
	if before != nil {
		if err := before(ctx, call, partition); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := do(); err != nil || after == nil {
		return err
	}
	return after(call, partition)
}

// hang blocks a call until its context ends.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (f *faulty) ClaimOwnership(
	ctx context.Context, want []azeventhubs.Ownership, _ *azeventhubs.ClaimOwnershipOptions,
) (got []azeventhubs.Ownership, err error) {
	results := make([][]azeventhubs.Ownership, len(want))
	errs := make([]error, len(want))
	one := func(i int) {
		kind := claim
		if want[i].OwnerID == "" {
			kind = release
		}
		errs[i] = f.around(ctx, kind, want[i].PartitionID, func() (err error) {
			results[i], err = f.Store.ClaimOwnership(ctx, want[i:i+1], nil)
			return err
		})
	}
	if f.oneByOne {
		slices.SortFunc(want, func(a, b azeventhubs.Ownership) int {
			return strings.Compare(a.PartitionID, b.PartitionID)
		})
		for i := range want {
			if one(i); errs[i] != nil {
				return nil, errs[i]
			}
		}
		return slices.Concat(results...), nil
	}
	var claims sync.WaitGroup
	for i := range want {
		claims.Go(func() { one(i) })
	}
	claims.Wait()
	for i := range want {
		if errs[i] == nil {
			got = append(got, results[i]...)
		}
	}
	return got, errors.Join(errs...)
}

func (f *faulty) ListClaims(
	ctx context.Context, namespace, hub, group string,
) (records []azeventhubs.Ownership, requests []handover.Request, err error) {
	err = f.around(ctx, list, "", func() (err error) {
		records, requests, err = f.Store.ListClaims(ctx, namespace, hub, group)
		return err
	})
	return records, requests, err
}

func (f *faulty) ListOwnership(
	ctx context.Context, namespace, hub, group string, _ *azeventhubs.ListOwnershipOptions,
) (records []azeventhubs.Ownership, err error) {
	err = f.around(ctx, list, "", func() (err error) {
		records, err = f.Store.ListOwnership(ctx, namespace, hub, group, nil)
		return err
	})
	return records, err
}

func (f *faulty) PutRequest(ctx context.Context, r handover.Request) error {
	return f.around(ctx, putRequest, r.PartitionID, func() error { return f.Store.PutRequest(ctx, r) })
}

func (f *faulty) DeleteRequest(ctx context.Context, r handover.Request) error {
	return f.around(ctx, deleteRequest, r.PartitionID, func() error { return f.Store.DeleteRequest(ctx, r) })
}
