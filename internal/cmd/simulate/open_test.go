package simulate_test

import (
	"context"
	"sync"
)

// openings checks that the partitions of a process are opened before their events come, and closed after that, in
// pairs.
type openings struct {
	process *process

	openMu  sync.Mutex
	open    map[string]bool
	running map[string]int // handlers, by partition
	calls   int
}

// unpaired is what should not happen to them.
const unpaired = "unpaired"

// opened fails now and then.
func (o *openings) opened(_ context.Context, partition string) error {
	o.openMu.Lock()
	defer o.openMu.Unlock()
	if o.calls++; o.calls%5 == 0 {
		return errOfHandler
	}
	if o.open[partition] {
		o.accuse(partition, "opened again")
	}
	o.open[partition] = true
	return nil
}

func (o *openings) closed(_ context.Context, partition string, _ error) {
	o.openMu.Lock()
	defer o.openMu.Unlock()
	if !o.open[partition] || o.running[partition] > 0 {
		o.accuse(partition, "closed while it is not open, or a handler runs")
	}
	o.open[partition] = false
}

// run notes that a handler runs until the returned function is called.
func (o *openings) run(partition string) (done func()) {
	o.openMu.Lock()
	defer o.openMu.Unlock()
	if !o.open[partition] {
		o.accuse(partition, "read while it is not open")
	}
	o.running[partition]++
	return func() {
		o.openMu.Lock()
		defer o.openMu.Unlock()
		o.running[partition]--
	}
}

// check accuses the library if Receive has returned and left a partition open.
func (o *openings) check() {
	o.openMu.Lock()
	defer o.openMu.Unlock()
	for partition, open := range o.open {
		if open {
			o.accuse(partition, "left open")
		}
	}
}

func (o *openings) accuse(partition, what string) {
	o.process.sim.judge.accuses(unpaired, nil, "%s: partition %s was %s", o.process.name, partition, what)
}
