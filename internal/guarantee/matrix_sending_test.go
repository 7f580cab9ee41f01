package guarantee_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

// sending is a cell in which a producer sends an event every now and then to each of two partitions, and to the hub.
// Each of these has a goroutine and a link of its own.
type sending struct {
	cell     cell
	t        *recorder
	s        *scene.Scene
	host     *scene.Host
	producer *eventhubs.Producer
	expect   sendExpectation

	happened atomic.Int64
	remove   func()
	callers  []*caller
	running  sync.WaitGroup
	stopped  chan struct{} // closed when callers make no more calls
	stop     sync.Once
	pause    atomic.Int64 // between two calls, in nanoseconds
}

// caller makes calls of Send, one after another.
type caller struct {
	to string // "": to the hub

	callsMu sync.Mutex
	begun   int
	since   time.Time     // when the current call began; zero: there is none
	acked   []string      // bodies that were accepted
	longest time.Duration // that a call has taken
	healed  time.Duration // the same for calls that ended after a lasting failure was taken back, from then on
	failed  []failedCall
}

type failedCall struct {
	took time.Duration
	err  error
}

func runSending(t *recorder, c cell) {
	s := &sending{
		cell: c, t: t, s: scene.Bare(t, len(partitions)), expect: c.expectedOfSending(), remove: func() {},
		stopped: make(chan struct{}),
	}
	s.host = s.s.Host()
	cfg := s.s.Config
	cfg.DialContext = s.host.DialContext
	var err error
	s.producer, err = eventhubs.NewProducer(cfg, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.producer.Close(context.Background()) })
	s.pause.Store(int64(time.Second))
	for _, to := range []string{"0", "1", ""} {
		s.callers = append(s.callers, &caller{to: to})
	}
	defer s.end()
	healed := s.happen()
	s.close()
	s.check(healed)
}

// start makes callers send.
func (s *sending) start(callers ...*caller) {
	for _, c := range callers {
		s.running.Go(func() {
			for !s.isStopped() {
				c.call(s.producer)
				select {
				case <-s.stopped:
				case <-time.After(time.Duration(s.pause.Load())):
				}
			}
		})
	}
}

func (s *sending) isStopped() bool {
	select {
	case <-s.stopped:
		return true
	default:
		return false
	}
}

func (c *caller) call(p *eventhubs.Producer) {
	began := time.Now()
	c.callsMu.Lock()
	body := fmt.Sprintf("%s/%d", c.to, c.begun)
	c.begun++
	c.since = began
	c.callsMu.Unlock()
	err := p.Send(context.Background(), eventhubs.Event{Body: []byte(body), PartitionID: c.to})
	c.callsMu.Lock()
	defer c.callsMu.Unlock()
	took := time.Since(began)
	c.longest = max(c.longest, took)
	c.healed = max(c.healed, time.Since(c.since))
	c.since = time.Time{}
	if err != nil {
		c.failed = append(c.failed, failedCall{took, err})
		return
	}
	c.acked = append(c.acked, body)
}

// heals notes that a lasting failure is over.
func (c *caller) heals() {
	c.callsMu.Lock()
	defer c.callsMu.Unlock()
	c.healed = 0
	if !c.since.IsZero() {
		c.since = time.Now()
	}
}

// succeeded returns how many calls have succeeded.
func (c *caller) succeeded() int {
	c.callsMu.Lock()
	defer c.callsMu.Unlock()
	return len(c.acked)
}

func (s *sending) arm() {
	f, aim := s.cell.failure.fault, s.cell.exchange.aim
	f.On, f.Link, f.Partition = aim.On, aim.Link, aim.Partition
	f.After = f.After || aim.After
	f.Happened = &s.happened
	switch {
	case s.expect.unauthorized:
		f.Partition = "" // a link that works would show that the rights are there
	case s.cell.moment == first, s.cell.moment == later, s.cell.moment == reconnect:
		f.Times = 1
	}
	s.remove = s.s.Server.Fault(f)
}

// happen makes the failure happen, and waits until it is over. It reports whether the failure was a lasting one.
func (s *sending) happen() (healed bool) {
	if s.cell.moment == first {
		s.arm()
		s.start(s.callers[0])
		s.until("the failure happens", func() bool { return s.happened.Load() > 0 })
		s.start(s.callers[1:]...)
		if s.expect.unauthorized {
			time.Sleep(5 * time.Second)
			s.remove()
		}
		s.recover()
		return false
	}
	s.start(s.callers...)
	time.Sleep(2500 * time.Millisecond) // not at the moment when calls begin
	s.arm()
	switch {
	case s.cell.moment == reconnect:
		s.host.Cut()
		s.host.Heal()
	case s.cell.exchange.step == connecting, s.cell.exchange.step == opening:
		s.s.Server.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Partition: "0", DropConnection: true, Times: 1})
	case s.cell.exchange.step == closing && s.cell.moment == later: // a link is given up when the service has failed
		s.s.Server.Fault(eventhubstest.Fault{
			On: eventhubstest.OnPublish, Partition: "0", Condition: "amqp:internal-error", Times: 1,
		})
	}
	switch s.cell.moment {
	case lasting:
		s.pause.Store(int64(4 * time.Second))
		time.Sleep(disruption)
		s.remove()
		for _, c := range s.callers {
			c.heals()
		}
		s.recover()
		return true
	case stopping:
		if s.cell.exchange.step != closing {
			s.until("the failure happens", func() bool { return s.happened.Load() > 0 })
		}
		time.Sleep(time.Second)
		return false
	}
	s.recover()
	return false
}

// until waits until a condition is true.
func (s *sending) until(what string, condition func() bool) {
	for began := time.Now(); !condition(); time.Sleep(250 * time.Millisecond) {
		if time.Since(began) > s.expect.worst+90*time.Second {
			s.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// recover waits until the failure has happened, and each caller has sent two more events after that.
func (s *sending) recover() {
	s.until("the failure happens", func() bool { return s.happened.Load() > 0 })
	var before []int
	for _, c := range s.callers {
		before = append(before, c.succeeded())
	}
	s.until("all callers send", func() bool {
		for i, c := range s.callers {
			if c.succeeded() < before[i]+2 {
				return false
			}
		}
		return true
	})
}

// end makes callers stop, and waits for the calls that are under way.
func (s *sending) end() {
	s.stop.Do(func() { close(s.stopped) })
	s.running.Wait()
}

// close closes the producer: while calls are under way if the client has to stop, and after them otherwise.
func (s *sending) close() {
	if s.cell.moment != stopping {
		s.end()
	}
	began := time.Now()
	if err := s.producer.Close(context.Background()); err != nil {
		s.t.Errorf("close: %v", err)
	}
	s.end()
	if took := time.Since(began); took > finishing {
		s.t.Errorf("Close and all calls took %v", took)
	}
	s.remove()
	s.s.Server.Close()
}

// check checks what holds for every cell, and what is expected of this one.
func (s *sending) check(healed bool) {
	if s.happened.Load() == 0 {
		s.t.Errorf("the failure has not happened")
	}
	s.checkStored()
	took := []time.Duration{}
	affected := 0
	for _, c := range s.callers {
		if c.longest > sendBound {
			s.t.Errorf("a call to %q has taken %v", c.to, c.longest)
		}
		if s.cell.moment != stopping {
			s.checkFailed(c)
		}
		if c.longest > promptly {
			affected++
		}
		if healed {
			took = append(took, c.healed)
		} else {
			took = append(took, c.longest)
		}
	}
	worst := max(took[0], took[1], took[2])
	if worst > s.expect.worst && s.cell.moment != stopping {
		s.t.Errorf("a call has taken %v, want at most %v", worst, s.expect.worst)
	}
	if affected > 1 {
		s.t.Errorf("calls to %d destinations have taken longer than %v", affected, promptly)
	}
	warnings := s.s.Log.Count("level=WARN") + s.s.Log.Count("level=ERROR")
	if worst > unnoticed && warnings == 0 {
		s.t.Errorf("a call has taken %v, but nothing was logged", worst)
	}
	if s.s.Log.Count("level=ERROR") > 0 {
		s.t.Errorf("an ERROR was logged, but nothing has to be done")
	}
	s.t.Logf("it has happened %d times; calls have taken %v; %d lines", s.happened.Load(), took, warnings)
}

// checkStored checks that what was accepted is stored, in order. Events may be stored twice only if the answer to a
// call was lost or never came.
func (s *sending) checkStored() {
	stored, twice := map[string]int{}, 0
	order := map[string]int{}
	for _, e := range s.s.Server.AllEvents(scene.Hub) {
		body := string(e.Body)
		if stored[body]++; stored[body] > 1 {
			twice++
			continue
		}
		to, _, _ := strings.Cut(body, "/")
		var n int
		if _, err := fmt.Sscanf(body[len(to):], "/%d", &n); err != nil || to != "" && n < order[to] {
			s.t.Errorf("partition %s has %q after %d", to, body, order[to])
		}
		order[to] = n
	}
	for _, c := range s.callers {
		for _, body := range c.acked {
			if stored[body] == 0 {
				s.t.Errorf("%q was accepted, but is not stored", body)
			}
		}
	}
	if most := s.cell.unknownOutcomes(int(s.happened.Load())); twice > most {
		s.t.Errorf("%d events are stored twice, want at most %d", twice, most)
	}
}

// checkFailed checks that calls fail only where they have to, and then at once or after a minute.
func (s *sending) checkFailed(c *caller) {
	for _, f := range c.failed {
		switch {
		case s.expect.fails != "" && strings.Contains(f.err.Error(), s.expect.fails):
			if f.took > promptly && (s.cell.moment != lasting || f.took < patience) {
				s.t.Errorf("a call to %q has failed after %v: %v", c.to, f.took, f.err)
			}
			if c.to != "0" && !s.expect.unauthorized {
				s.t.Errorf("a call to %q has failed: %v", c.to, f.err)
			}
		case s.cell.moment == lasting && c.to == "0" && f.took >= patience:
		default:
			s.t.Errorf("a call to %q has failed after %v: %v", c.to, f.took, f.err)
		}
	}
	if s.expect.fails != "" && !s.expect.may && s.cell.moment != lasting && c.to == "0" && len(c.failed) == 0 {
		s.t.Errorf("no call has failed with %q", s.expect.fails)
	}
}
