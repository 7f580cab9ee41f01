package guarantee_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

// receiving is a cell in which a consumer receives two partitions. Each of them gets an event every now and then.
type receiving struct {
	cell   cell
	t      *recorder
	s      *scene.Scene
	store  eventhubs.CheckpointStore
	host   *scene.Host // of the consumer
	only   *scene.Receiver
	expect expectation

	taken    int          // how often a partition may have been taken
	repeated int          // how many events may be handled again
	sent     int          // events to each of the partitions
	happened atomic.Int64 // how often the failure has happened
	remove   func()       // takes the failure back
	armed    time.Time    // since when the failure can happen
	healed   time.Time    // when a lasting failure was taken back; zero if none was

	waitsMu   sync.Mutex
	waits     map[string]time.Duration // by partition: the longest that an event has waited for its handler
	recovered map[string]time.Duration // the same, since a lasting failure was taken back
}

var partitions = []string{"0", "1"}

// keys belong to these partitions. Events with keys share one connection, which costs less than one for each partition.
var keys = []string{"a", "c"}

// runReceiving runs a cell.
func runReceiving(t *recorder, c cell) {
	r := &receiving{
		cell: c, t: t, s: scene.Bare(t, len(partitions)), store: eventhubs.NewMemoryCheckpointStore(),
		expect: c.expectedOfReading(), taken: len(partitions), remove: func() {},
		waits: map[string]time.Duration{}, recovered: map[string]time.Duration{},
	}
	if c.exchange.of == storage {
		if c.exchange.name == "create-container" && c.moment == first {
			r.openFirst()
		}
		r.store = r.s.OpenStore(cellContainer)
	}
	r.send() // so that the producer is connected before anything fails
	r.host = r.s.Host()
	r.only = r.consumer("only", r.host)
	r.happen()
	r.stop()
	r.check()
}

func (r *receiving) consumer(who string, h *scene.Host) *scene.Receiver {
	cfg, o := r.s.Config, eventhubs.ConsumerOptions{}
	cfg.DialContext = h.DialContext
	if adjust := r.cell.exchange.options; adjust != nil {
		adjust(r.cell, &o)
	}
	if r.cell.moment == reconnect { // at this moment only, handlers run concurrently
		o.Concurrency, o.Key = 4, r.s.Tally.Key(3)
	}
	o.InstanceID = who
	return r.s.ConsumerWith(cfg, r.openStore(), o)
}

// handle measures how long an event has waited.
func (r *receiving) handle(_ context.Context, e *eventhubs.ReceivedEvent) error {
	r.waitsMu.Lock()
	defer r.waitsMu.Unlock()
	since := *e.EnqueuedTime
	r.waits[e.PartitionID] = max(r.waits[e.PartitionID], time.Since(since))
	if !r.healed.IsZero() {
		if since.Before(r.healed) {
			since = r.healed
		}
		r.recovered[e.PartitionID] = max(r.recovered[e.PartitionID], time.Since(since))
	}
	return nil
}

func (r *receiving) send() {
	var events []eventhubs.Event
	for _, key := range keys {
		events = append(events, eventhubs.Event{Body: []byte("event"), PartitionKey: key})
	}
	require.NoError(r.t, r.s.Producer().Send(context.Background(), events...))
	r.sent++
}

// arm makes the exchange fail from now on.
func (r *receiving) arm() {
	r.armed = time.Now()
	if r.cell.exchange.of == storage {
		r.armStorage()
		return
	}
	f, aim := r.cell.failure.fault, r.cell.exchange.aim
	f.On, f.Link, f.Partition, f.ConsumerGroup = aim.On, aim.Link, aim.Partition, aim.ConsumerGroup
	f.After = f.After || aim.After
	f.Happened = &r.happened
	switch {
	case r.expect.ends != "": // if one of two partitions worked, it would show that rights and names are right
		f.Partition = ""
	case r.cell.moment == first:
		f.Times, f.Skip = 1, aim.Skip
	case r.cell.moment == later, r.cell.moment == reconnect:
		f.Times = 1
	}
	r.remove = r.s.Server.Fault(f)
}

// happen makes the failure happen, and waits until it is over, or Receive has to end.
func (r *receiving) happen() {
	if r.cell.moment == first {
		if r.happened.Load() == 0 {
			r.arm()
		}
		r.only.Receive(r.handle)
		if r.cell.resolvesLatest() {
			r.resolve()
		}
		r.recover()
		return
	}
	r.only.Receive(r.handle)
	r.s.UntilHandled()
	r.seconds(2*time.Second, time.Second)
	r.arm()
	switch {
	case r.cell.moment == reconnect:
		r.host.Cut()
		r.host.Heal()
	case r.cell.exchange.provoke != nil:
		r.cell.exchange.provoke(r)
	}
	switch r.cell.moment {
	case lasting:
		r.seconds(disruption, eventsBetween)
		r.heal()
		r.recover()
	case stopping:
		r.untilHappened()
	default:
		r.recover()
	}
}

// eventsBetween is the time between two events while a failure lasts.
const eventsBetween = 4 * time.Second

// sdkPauses is more than the sum of the pauses between the SDK's tries (Config.Retry: 0.5, 1.5 and 3.5 s, and 30 %).
const sdkPauses = 8 * time.Second

// resolve waits until the readers know what the latest event is, and notes that earlier events aren't to be handled.
func (r *receiving) resolve() {
	began := time.Now()
	for !r.only.Ended() && (r.s.CheckpointIn(r.store, "0") < 0 || r.s.CheckpointIn(r.store, "1") < 0) {
		if time.Since(began) > max(r.expect.worst, sdkPauses) {
			r.t.Errorf("after %v it is not known what the latest event is", time.Since(began))
			return
		}
		time.Sleep(time.Second)
	}
	for _, id := range partitions {
		r.s.Tally.Skip(id, 0)
	}
}

// untilHappened waits for the failure, unless it only comes when the consumer stops.
func (r *receiving) untilHappened() {
	for began := time.Now(); time.Since(began) < 70*time.Second && r.happened.Load() == 0; {
		r.seconds(time.Second, time.Second)
		if r.cell.exchange.step == closing || r.cell.exchange.name == "release" {
			return
		}
	}
}

// heal takes the failure back.
func (r *receiving) heal() {
	r.waitsMu.Lock()
	defer r.waitsMu.Unlock()
	r.remove()
	r.healed = time.Now()
}

// seconds lets time pass, in which events come and claims are renewed.
func (r *receiving) seconds(d, between time.Duration) {
	for began := time.Now(); time.Since(began) < d && !r.only.Ended(); time.Sleep(between) {
		r.send()
		r.checkClaims()
	}
}

// recover waits until the failure is over: it has happened, and all events are handled, or Receive has ended.
func (r *receiving) recover() {
	began, before := time.Now(), r.sent
	for between := time.Second; !r.only.Ended(); time.Sleep(between) {
		if r.expect.ends == "" && r.happened.Load() > 0 && r.isHandled() && r.isStored(before) {
			return
		}
		if time.Since(began) > max(2*r.expect.worst, 90*time.Second) {
			r.t.Errorf("after %v the failure has happened %d times, and %d and %d of %d events are handled",
				time.Since(began), r.happened.Load(), r.s.Tally.Furthest("0")+1, r.s.Tally.Furthest("1")+1, r.sent)
			return
		}
		r.send()
		r.checkClaims()
		switch {
		case r.cell.exchange.of == storage && time.Since(began) > 2*time.Second: // looking at a store costs more
			between = 5 * time.Second
		case time.Since(began) > 10*time.Second:
			between = 3 * time.Second
		}
	}
}

func (r *receiving) isHandled() bool {
	return r.s.Tally.Furthest("0") == int64(r.sent-1) && r.s.Tally.Furthest("1") == int64(r.sent-1)
}

// isStored reports whether the store works again: all partitions are claimed, and their checkpoints are past so many
// events.
func (r *receiving) isStored(events int) bool {
	if r.cell.exchange.of != storage || r.cell.moment == first {
		return true
	}
	owned := r.s.Ownership(r.store, scene.Group)
	for _, id := range partitions {
		if o := owned[id]; o.OwnerID != "only" || time.Since(o.LastModifiedTime) > time.Minute ||
			r.s.CheckpointIn(r.store, id) < int64(events) {
			return false
		}
	}
	return true
}

// checkClaims checks that claims are ours, and are renewed when a third of their expiration has passed.
func (r *receiving) checkClaims() {
	if r.cell.exchange.of == storage {
		return // claims can't be renewed, or can't be looked at
	}
	for id, o := range r.s.Ownership(r.store, scene.Group) {
		age := time.Since(o.LastModifiedTime)
		if !r.only.Ended() && r.expect.ends == "" && (o.OwnerID != "only" || age > 30*time.Second) {
			r.t.Errorf("partition %s is claimed by %q, and the claim was renewed %v ago", id, o.OwnerID, age)
		}
	}
}

// finishing is how long Receive may take after its handlers have returned: see ConsumerOptions.DrainTimeout.
const finishing = 5 * time.Second

// stop ends Receive, unless it has ended, and has another consumer continue where that may be difficult.
func (r *receiving) stop() {
	ended, began := r.only.Ended(), time.Now()
	r.only.Cancel()
	err := r.only.Result()
	if took := time.Since(began); took > finishing {
		r.t.Errorf("Receive has returned %v after its context had ended", took)
	}
	switch {
	case r.expect.ends == "" && err != nil:
		r.t.Errorf("Receive has returned %v", err)
	case r.expect.ends != "" && (err == nil || !strings.Contains(err.Error(), r.expect.ends)):
		r.t.Errorf("Receive has returned %v, want an error with %q", err, r.expect.ends)
	case r.expect.ends != "":
		if took := r.only.EndedAt().Sub(r.armed); took < r.expect.after || took > r.expect.within {
			r.t.Errorf("Receive has failed after %v, want between %v and %v", took, r.expect.after, r.expect.within)
		}
	}
	r.remove()
	r.checkStopped()
	if ended || r.cell.moment == stopping {
		r.heal()
		next := r.consumer("next", r.s.Host())
		next.Receive(r.handle)
		r.s.UntilHandled()
		next.Stop()
		r.closeConsumer(next)
	}
	r.closeConsumer(r.only)
}

// checkStopped checks what Receive has left: checkpoints of all that is handled, and no claims.
func (r *receiving) checkStopped() {
	storing := r.cell.exchange.of == storage && r.cell.moment == stopping
	for _, id := range partitions {
		at, handled := r.s.CheckpointIn(r.store, id), r.s.Tally.Furthest(id)
		if storing {
			r.repeated += int(handled - at)
		} else if at != handled {
			r.t.Errorf("partition %s is handled up to %d, and its checkpoint is at %d", id, handled, at)
		}
	}
	for id, o := range r.s.Ownership(r.store, scene.Group) {
		if o.OwnerID != "" && (!storing || r.cell.exchange.name == "write-checkpoint") {
			r.t.Errorf("partition %s still belongs to %q", id, o.OwnerID)
		}
	}
	if n := len(r.s.Tally.Holdings()); n > r.taken {
		r.t.Errorf("partitions were taken %d times", n)
	}
}

func (r *receiving) closeConsumer(c *scene.Receiver) {
	began := time.Now()
	if err := c.Consumer.Close(context.Background()); err != nil {
		r.t.Errorf("close: %v", err)
	}
	if took := time.Since(began); took > finishing {
		r.t.Errorf("Close took %v", took)
	}
}

// check checks what holds for every cell, and what is expected of this one.
func (r *receiving) check() {
	r.s.Check(r.repeated)
	if r.happened.Load() == 0 {
		r.t.Errorf("the failure has not happened")
	}
	r.waitsMu.Lock()
	worst, other := max(r.waits["0"], r.waits["1"]), min(r.waits["0"], r.waits["1"])
	if !r.healed.IsZero() {
		worst = max(r.recovered["0"], r.recovered["1"])
	}
	r.waitsMu.Unlock()
	if r.expect.ends != "" {
		worst, other = 0, 0 // the events have waited for the next consumer
	}
	if worst > r.expect.worst {
		r.t.Errorf("events have waited %v, want at most %v", worst, r.expect.worst)
	}
	if other > r.expect.other {
		r.t.Errorf("events of the other partition have waited %v, want at most %v", other, r.expect.other)
	}
	r.checkLog(worst)
	r.s.Server.Close()
	if err := r.s.Producer().Close(context.Background()); err != nil {
		r.t.Errorf("close the producer: %v", err)
	}
}

// unnoticed is how long something may take without a line in the log: a dial that isn't answered, and the SDK's first
// pause.
const unnoticed = 16 * time.Second

// checkLog checks the log. What has to wait for longer than unnoticed is logged at WARN or ERROR. What is mended at
// once, or by waiting, is not logged at ERROR.
func (r *receiving) checkLog(waited time.Duration) {
	warnings, errors := r.s.Log.Count("level=WARN"), r.s.Log.Count("level=ERROR")
	if waited > unnoticed && warnings+errors == 0 {
		r.t.Errorf("events have waited %v, but nothing was logged", waited)
	}
	if errors > 0 && (r.cell.exchange.of != storage || r.cell.moment != stopping) { // or the last checkpoint is missing
		r.t.Errorf("an ERROR was logged, but nothing has to be done")
	}
	r.t.Logf("it has happened %d times; events have waited up to %v; %d warnings, %d errors", r.happened.Load(), waited,
		warnings, errors)
}
