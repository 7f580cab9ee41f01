package simulate_test

import (
	"context"
	"sync"
)

// openings checks that each partition of a process is opened before its events come and closed after them, and that
// each opening has one closing.
type openings struct {
	process *process

	openMu  sync.Mutex
	open    map[string]bool
	running map[string]int // handlers, by partition
	calls   int
}

// unpaired is the kind under which openings accuses the library.
const unpaired = "unpaired"

// opened fails every fifth time.
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
		o.accuse(partition, "closed while it was not open, or while a handler ran")
	}
	o.open[partition] = false
}

// run notes that a handler runs until the returned function is called.
func (o *openings) run(partition string) (done func()) {
	o.openMu.Lock()
	defer o.openMu.Unlock()
	if !o.open[partition] {
		o.accuse(partition, "read while it was not open")
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
