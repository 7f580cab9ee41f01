//go:build unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// chaos makes things go wrong, one after another and several at a time.
type chaos struct {
	fleet   *fleet
	server  *eventhubstest.Server
	history *history
	rand    *rand.Rand // only the goroutine of run uses it
	began   time.Time
	verbose bool
	down    sync.Mutex // locked while the storage account fails

	logMu   sync.Mutex
	counted map[string]int
	log     []incident
}

// incident is harm that was done, kept for whoever looks into what happened.
type incident struct {
	at   time.Duration // since the beginning
	what string
}

const (
	// harmAtOnce is how many kinds of harm may be going on at one time.
	harmAtOnce = 3
	// shortestPause and longestPause bound the pause between one harm and the next.
	shortestPause = 100 * time.Millisecond
	longestPause  = 1200 * time.Millisecond
)

// harm is something that goes wrong for a while. It is over soon after ctx ends, at the latest.
type harm struct {
	name string
	do   func(ctx context.Context) error
}

// run does harm until ctx ends. When it returns, all of it is over, and a process runs in every slot.
func (c *chaos) run(ctx context.Context) error {
	var (
		going sync.WaitGroup
		once  sync.Once
		err   error
		slots = make(chan struct{}, harmAtOnce)
	)
	for ctx.Err() == nil {
		h := c.choose()
		slots <- struct{}{}
		going.Go(func() {
			defer func() { <-slots }()
			if e := h.do(ctx); e != nil {
				once.Do(func() { err = fmt.Errorf("%s: %w", h.name, e) })
				c.fleet.fail(e)
			}
		})
		sleep(ctx, c.between(shortestPause, longestPause))
	}
	going.Wait()
	return err
}

// choose picks what goes wrong next. All random choices are made here, in one goroutine, so that a seed repeats them.
// It can't repeat the moments at which things happen.
func (c *chaos) choose() harm {
	kinds := []func() harm{
		c.kill, c.terminate, c.pause, c.join, c.steal, c.drop, c.fault, c.fault, c.fault, c.outage, c.outage,
	}
	return kinds[c.rand.IntN(len(kinds))]()
}

// between draws a duration.
func (c *chaos) between(least, most time.Duration) time.Duration {
	return least + time.Duration(c.rand.Int64N(int64(most-least)))
}

// took counts a harm that is about to be done.
func (c *chaos) took(name, format string, args ...any) {
	c.logMu.Lock()
	defer c.logMu.Unlock()
	c.counted[name]++
	i := incident{time.Since(c.began), name + ": " + fmt.Sprintf(format, args...)}
	c.log = append(c.log, i)
	if c.verbose {
		say("%v %s", i.at.Round(time.Millisecond), i.what)
	}
}

// inSlot does something to the process of the first slot, in the given order, that nothing else is being done to. If
// there is none, nothing happens.
func (c *chaos) inSlot(order []int, do func(*slot) error) error {
	for _, i := range order {
		s := c.fleet.slots[i]
		if !s.slotMu.TryLock() {
			continue
		}
		defer s.slotMu.Unlock()
		if s.p == nil {
			return nil
		}
		return do(s)
	}
	return nil
}

// kill ends a process with SIGKILL and starts another, under the same name half of the time, as a pod with a stable
// name does.
func (c *chaos) kill() harm {
	order, sameName, pause := c.rand.Perm(len(c.fleet.slots)), c.rand.IntN(2) == 0, c.between(0, time.Second)
	return harm{"kill", func(ctx context.Context) error {
		return c.inSlot(order, func(s *slot) error {
			name := ""
			if sameName {
				name = s.p.name
			}
			c.took("kill", "%s, started again as %q after %v", s.p.name, name, pause)
			c.killed(s.p)
			sleep(ctx, pause)
			return c.fleet.startIn(s, name)
		})
	}}
}

// killed ends a process with SIGKILL.
func (c *chaos) killed(p *process) {
	defer c.history.begins(byKill, p.name, everyPartition)()
	p.kill()
}

// terminate ends a process with SIGTERM and starts another.
func (c *chaos) terminate() harm {
	order := c.rand.Perm(len(c.fleet.slots))
	return harm{"terminate", func(context.Context) error {
		return c.inSlot(order, func(s *slot) error {
			c.took("terminate", "%s", s.p.name)
			if err := s.p.terminate(); err != nil {
				return err
			}
			return c.fleet.startIn(s, "")
		})
	}}
}

// pause stops a process for a while, which may be longer than its claims last, and lets it continue.
func (c *chaos) pause() harm {
	order, d := c.rand.Perm(len(c.fleet.slots)), c.between(expiration/2, 2*expiration)
	return harm{"pause", func(ctx context.Context) error {
		return c.inSlot(order, func(s *slot) error {
			c.took("pause", "%s for %v", s.p.name, d)
			defer c.history.begins(byPause, s.p.name, everyPartition)()
			if s.p.cmd.Process.Signal(syscall.SIGSTOP) == nil {
				sleep(ctx, d)
				_ = s.p.cmd.Process.Signal(syscall.SIGCONT)
			}
			return nil
		})
	}}
}

// join starts one more process, which asks the others for partitions, and ends it again.
func (c *chaos) join() harm {
	d, kill := c.between(time.Second, 4*time.Second), c.rand.IntN(2) == 0
	return harm{"join", func(ctx context.Context) error {
		p, err := c.fleet.start("")
		if err != nil {
			return err
		}
		c.took("join", "%s for %v, killed: %t", p.name, d, kill)
		sleep(ctx, d)
		if kill {
			c.killed(p)
			return nil
		}
		return p.terminate()
	}}
}

// steal has a stranger read a partition with a higher epoch: it asks nobody, and has no claim.
func (c *chaos) steal() harm {
	partition, d := c.rand.IntN(partitions), c.between(500*time.Millisecond, 3*time.Second)
	return harm{"steal", func(ctx context.Context) error {
		c.took("steal", "partition %d for %v", partition, d)
		defer c.history.begins(bySteal, "", partition)()
		stealing, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		steal(stealing, c.server.ConnectionString(hub), partition)
		return nil
	}}
}

// drop closes all connections.
func (c *chaos) drop() harm {
	return harm{"drop", func(context.Context) error {
		c.took("drop", "all connections")
		c.server.DropConnections()
		return nil
	}}
}

// conditionStolen is how the service tells a reader that another one has its partition.
const conditionStolen = "amqp:link:stolen"

// outcomes are the ways in which an operation of the namespace goes wrong.
var outcomes = []eventhubstest.Fault{
	{Condition: "com.microsoft:server-busy"},
	{Condition: "com.microsoft:timeout"},
	{Condition: "amqp:internal-error"},
	{Condition: "amqp:link:detach-forced"},
	{Condition: "amqp:connection:forced"},
	{DropConnection: true},
	{Delay: 300 * time.Millisecond},
	{Delay: 2 * time.Second},
}

// lostAnswers are the ways in which the answer to a message that is stored goes wrong.
var lostAnswers = []eventhubstest.Fault{
	{After: true},
	{After: true, DropConnection: true},
	{After: true, Condition: "amqp:link:detach-forced"},
	{After: true, Condition: "com.microsoft:server-busy"},
}

// fault makes the next few operations of one kind go wrong.
func (c *chaos) fault() harm {
	operations := []eventhubstest.Operation{
		eventhubstest.OnReceive, eventhubstest.OnReceive, eventhubstest.OnPublish, eventhubstest.OnPublish,
		eventhubstest.OnAttach, eventhubstest.OnConnect, eventhubstest.OnToken, eventhubstest.OnManagement,
	}
	on := operations[c.rand.IntN(len(operations))]
	possible := outcomes
	switch on {
	case eventhubstest.OnPublish:
		possible = slices.Concat(outcomes, lostAnswers)
	case eventhubstest.OnReceive:
		possible = slices.Concat(outcomes, []eventhubstest.Fault{{Condition: conditionStolen}})
	}
	f := possible[c.rand.IntN(len(possible))]
	partition := c.rand.IntN(partitions)
	f.On, f.Times = on, 1+c.rand.IntN(4)
	if skip := c.rand.IntN(50); on == eventhubstest.OnReceive || on == eventhubstest.OnPublish {
		f.Skip = skip // these are frequent enough
	}
	stolen := f.Condition == conditionStolen
	if stolen {
		f.Partition = strconv.Itoa(partition)
	}
	d := c.between(500*time.Millisecond, 3*time.Second)
	return harm{"fault", func(ctx context.Context) error {
		c.took("fault", "%s for %v", set(f), d)
		if stolen {
			defer c.history.begins(bySteal, "", partition)()
		}
		remove := c.server.Fault(f)
		sleep(ctx, d)
		remove()
		return nil
	}}
}

// storage are the ways in which the storage account fails.
var storage = []eventhubstest.BlobFault{
	{Status: 503},
	{Status: 500, Code: "InternalError"},
	{Hang: true},
	{Delay: 400 * time.Millisecond},
	{Operation: "ListBlobs", Status: 503},
	{NameContains: "/checkpoint/", Status: 503},
	{NameContains: "/ownership/", Hang: true},
	{Operation: "SetBlobMetadata", Status: 500, After: true},
	{Operation: "SetBlobMetadata", Hang: true, After: true},
	{NameContains: "/ownership/", Status: 412, After: true, Times: 8},
	{NameContains: "/checkpoint/", Status: 412, After: true, Times: 8},
	{NameContains: "/checkpoint/", Status: 412, Times: 8},
}

// outage makes the storage account fail for some seconds.
func (c *chaos) outage() harm {
	f, d := storage[c.rand.IntN(len(storage))], c.between(500*time.Millisecond, 2*expiration)
	return harm{"outage", func(ctx context.Context) error {
		if !c.down.TryLock() {
			return nil // outages without a pause would leave no time for anything else
		}
		defer c.down.Unlock()
		c.took("outage", "%s for %v", set(f), d)
		defer c.history.begins(byOutage, "", everyPartition)()
		remove := c.server.BlobFault(f)
		sleep(ctx, d)
		remove()
		return nil
	}}
}

// set lists the fields of a fault that are set.
func set(fault any) string {
	fields := strings.Fields(strings.Trim(fmt.Sprintf("%+v", fault), "{}"))
	return strings.Join(slices.DeleteFunc(fields, func(f string) bool {
		_, value, _ := strings.Cut(f, ":")
		return slices.Contains([]string{"", "0", "0s", "false", "<nil>", "map[]"}, value)
	}), " ")
}

// String counts what was done.
func (c *chaos) String() string {
	c.logMu.Lock()
	defer c.logMu.Unlock()
	var out []string
	for name, n := range c.counted {
		out = append(out, fmt.Sprintf("%s=%d", name, n))
	}
	sort.Strings(out)
	return strings.Join(out, " ")
}

// before lists the incidents in the time d before t.
func (c *chaos) before(t time.Time, d time.Duration) (lines []string) {
	c.logMu.Lock()
	defer c.logMu.Unlock()
	end := t.Sub(c.began)
	for _, i := range c.log {
		if i.at <= end && i.at >= end-d {
			lines = append(lines, fmt.Sprintf("%v %s", i.at.Round(time.Millisecond), i.what))
		}
	}
	return lines
}

// sleep waits, or returns early when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
