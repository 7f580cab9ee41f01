//go:build unix

package main

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// fleet is the consumer processes: one in each slot, and extra ones that come and go.
type fleet struct {
	env     []string
	judge   *judge
	verbose bool
	fail    func(error)

	slots  []*slot
	number atomic.Int64 // of processes that were started
	gaveUp atomic.Int64 // processes that ended by themselves before they had handled anything

	allMu   sync.Mutex
	closing bool
	all     map[*process]struct{} // that run
	running sync.WaitGroup        // goroutines that watch them
}

// slot is the place of a process that runs all the time. Whoever does something to the process holds the lock.
type slot struct {
	slotMu sync.Mutex
	p      *process // nil: none runs now
}

func newFleet(size int, env []string, j *judge, verbose bool, fail func(error)) *fleet {
	f := &fleet{env: env, judge: j, verbose: verbose, fail: fail, all: map[*process]struct{}{}}
	for range size {
		f.slots = append(f.slots, &slot{})
	}
	return f
}

// fill starts a process in every empty slot.
func (f *fleet) fill() error {
	errs := make([]error, len(f.slots))
	var starting sync.WaitGroup
	for i, s := range f.slots {
		starting.Go(func() {
			s.slotMu.Lock()
			defer s.slotMu.Unlock()
			if s.p == nil {
				errs[i] = f.startIn(s, "")
			}
		})
	}
	starting.Wait()
	return first(errs)
}

// allHandle reports whether a process runs in each slot, and has handled something.
func (f *fleet) allHandle() bool {
	for _, s := range f.slots {
		s.slotMu.Lock()
		p := s.p
		s.slotMu.Unlock()
		if p == nil || p.handled.Load() == 0 {
			return false
		}
	}
	return true
}

// startIn starts a process in a locked slot. An empty name means a new one.
func (f *fleet) startIn(s *slot, name string) error {
	p, err := f.start(name)
	if err != nil {
		return err
	}
	s.p = p
	f.running.Go(func() { f.watch(s, p) })
	return nil
}

// start starts a process. Every other one handles batches.
func (f *fleet) start(name string) (*process, error) {
	n := f.number.Add(1)
	if name == "" {
		name = fmt.Sprintf("consumer-%d", n)
	}
	env := f.env
	if n%2 == 0 {
		env = append(env[:len(env):len(env)], batchVariable+"=1")
	}
	p, err := startProcess(name, env, f.judge, f.verbose)
	if err != nil {
		return nil, err
	}
	f.allMu.Lock()
	closing := f.closing
	if !closing {
		f.all[p] = struct{}{}
		f.running.Go(func() { f.bury(p) })
	}
	f.allMu.Unlock()
	if closing {
		p.kill()
		return nil, errClosing
	}
	return p, nil
}

var errClosing = errors.New("the soak is ending")

// bury waits for the end of a process, and checks whether it has crashed.
func (f *fleet) bury(p *process) {
	<-p.ended
	f.allMu.Lock()
	delete(f.all, p)
	f.allMu.Unlock()
	if err := p.crashed(); err != nil {
		f.fail(err)
	}
}

// watch starts a new process when one has ended by itself. A process that has handled events must not end by itself.
func (f *fleet) watch(s *slot, p *process) {
	<-p.ended
	if p.expected.Load() {
		return
	}
	if n := p.handled.Load(); n > 0 {
		f.fail(fmt.Errorf("consumer %s has ended by itself after %d events: %w", p.name, n, p.failure()))
		return
	}
	f.gaveUp.Add(1)
	say("consumer %s gave up before it had read anything: %s", p.name, p.lastWords())
	s.slotMu.Lock()
	defer s.slotMu.Unlock()
	if s.p == p {
		if err := f.startIn(s, ""); err != nil {
			f.fail(err)
		}
	}
}

// terminateAll ends the processes of slots with SIGTERM, all at once. The slots are empty afterwards.
func (f *fleet) terminateAll(slots []*slot) error {
	errs := make([]error, len(slots))
	var ending sync.WaitGroup
	for i, s := range slots {
		ending.Go(func() {
			s.slotMu.Lock()
			defer s.slotMu.Unlock()
			if s.p != nil {
				errs[i] = s.p.terminate()
				s.p = nil
			}
		})
	}
	ending.Wait()
	return first(errs)
}

// close kills what still runs, and starts nothing more.
func (f *fleet) close() {
	f.allMu.Lock()
	f.closing = true
	var left []*process
	for p := range f.all {
		left = append(left, p)
	}
	f.allMu.Unlock()
	for _, p := range left {
		p.kill()
	}
	f.running.Wait()
}

func first(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
