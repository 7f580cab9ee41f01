package eventhubsotel

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/go-eventhubs/eventhubs"
)

// consumers are those that are observed.
type consumers struct {
	telemetry *Telemetry

	allMu        sync.Mutex
	all          []*eventhubs.Consumer
	registration metric.Registration // nil: none is observed
}

// Observe exports what a Consumer says of itself (Consumer.Status) each time that metrics are collected, until stop is
// called. The values of consumers of one process are put together: it makes no difference which of them holds a
// partition. For the lag in events, set eventhubs.ConsumerOptions.LagInterval. Errors go to otel.Handle.
//
//	defer telemetry.Observe(consumer)()
func (t *Telemetry) Observe(c *eventhubs.Consumer) (stop func()) {
	cs := &t.consumers
	cs.allMu.Lock()
	defer cs.allMu.Unlock()
	if cs.registration == nil {
		g := newGauges(t.meter)
		cs.registration = made(t.meter.RegisterCallback(cs.callback(g), g.all()...))
	}
	cs.all = append(slices.Clip(cs.all), c)
	return sync.OnceFunc(func() { cs.remove(c) })
}

// remove ends the observation of a Consumer, and that of all when it was the last.
func (cs *consumers) remove(c *eventhubs.Consumer) {
	cs.allMu.Lock()
	i := slices.Index(cs.all, c)
	cs.all = slices.Delete(slices.Clone(cs.all), i, i+1)
	r := cs.registration
	if len(cs.all) > 0 {
		r = nil
	} else {
		cs.registration = nil
	}
	cs.allMu.Unlock()
	if r == nil {
		return
	}
	if err := r.Unregister(); err != nil { // outside the lock, which a callback may wait for
		otel.Handle(err)
	}
}

// gauges are what Observe exports.
type gauges struct {
	owned, state, lagEvents, ahead, uncovered, fetched, attempt metric.Int64ObservableGauge
	storeFailing, lag, checkpointAge, attemptRuns, isFailing    metric.Float64ObservableGauge
}

func newGauges(m metric.Meter) (g gauges) {
	count := func(to *metric.Int64ObservableGauge, name, unit, description string) {
		*to = made(m.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description)))
	}
	seconds := func(to *metric.Float64ObservableGauge, name, description string) {
		*to = made(m.Float64ObservableGauge(name, metric.WithUnit("s"), metric.WithDescription(description)))
	}
	count(&g.owned, metricOwned, "{partition}", "Partitions that are held.")
	count(&g.state, metricState, "{consumer}", "Consumers in a state.")
	count(&g.lagEvents, metricLagEvents, "{event}", "Events of the partition after the last one that was handled.")
	count(&g.ahead, metricAhead, "{event}", "Events that were handled ahead of one that is not.")
	count(&g.uncovered, metricUncovered, "{event}", "Events that were handled and that no checkpoint covers.")
	count(&g.fetched, metricFetched, "{event}", "Events that were fetched and are not handled.")
	count(&g.attempt, metricAttemptNumber, "{attempt}", "Attempts with the event at hand. 0: there is none.")
	seconds(&g.storeFailing, metricStoreFailing, "Since when the checkpoint store can't be reached. 0: it can.")
	seconds(&g.lag, metricLagDuration, "Age of the oldest event that is not handled. 0: there is none.")
	seconds(&g.checkpointAge, metricCheckpointAge, "Age of the checkpoint, while it doesn't cover all that was handled.")
	seconds(&g.attemptRuns, metricAttemptDuration, "Since when the handler runs. 0: it does not.")
	seconds(&g.isFailing, metricFailing, "Since when reading or checkpointing fails. 0: it does not.")
	return g
}

func (g *gauges) all() []metric.Observable {
	return []metric.Observable{
		g.owned, g.state, g.lagEvents, g.ahead, g.uncovered, g.fetched, g.attempt,
		g.storeFailing, g.lag, g.checkpointAge, g.attemptRuns, g.isFailing,
	}
}

// states are all states of a consumer.
var states = []eventhubs.State{
	eventhubs.StateStopped, eventhubs.StateStarting, eventhubs.StateIdle, eventhubs.StateReceiving,
	eventhubs.StateStoreUnreachable,
}

func (cs *consumers) callback(g gauges) metric.Callback {
	t := cs.telemetry
	base := set(t.own())
	byState := make([]metric.MeasurementOption, len(states))
	for i, s := range states {
		byState[i] = set(t.own(attribute.String(attrState, string(s))))
	}
	return func(_ context.Context, o metric.Observer) error {
		cs.allMu.Lock()
		all := cs.all
		cs.allMu.Unlock()
		now := time.Now()
		in := make([]int64, len(states))
		owned, failing := 0, 0.0
		for _, c := range all {
			s := c.Status()
			in[max(slices.Index(states, s.State), 0)]++
			owned += len(s.Partitions)
			failing = max(failing, failingFor(s.Store, now))
			for _, p := range s.Partitions {
				g.partition(o, t, p, now)
			}
		}
		for i, n := range in {
			o.ObserveInt64(g.state, n, byState[i])
		}
		o.ObserveInt64(g.owned, int64(owned), base)
		o.ObserveFloat64(g.storeFailing, failing, base)
		return nil
	}
}

// partition exports what there is to say of a partition that is held.
func (g *gauges) partition(o metric.Observer, t *Telemetry, s eventhubs.PartitionStatus, now time.Time) {
	p := t.partition(s.PartitionID)
	o.ObserveInt64(g.fetched, int64(s.Fetched), p.own)
	number, runs := 0, 0.0
	if a := s.Attempt; a != nil {
		number = a.Number
		runs = secondsSince(a.Since, now)
	}
	o.ObserveInt64(g.attempt, int64(number), p.own)
	o.ObserveFloat64(g.attemptRuns, runs, p.own)
	o.ObserveInt64(g.ahead, int64(s.Ahead), p.own)
	events, age := uncovered(s, now)
	o.ObserveInt64(g.uncovered, events, p.own)
	o.ObserveFloat64(g.checkpointAge, age, p.own)
	o.ObserveFloat64(g.isFailing, failingFor(s.Reading, now), p.reading)
	o.ObserveFloat64(g.isFailing, failingFor(s.Checkpointing, now), p.checkpointing)
	if s.Lag != nil {
		o.ObserveInt64(g.lagEvents, s.Lag.Events, p.own)
	}
	if lag, known := p.lag(s, now); known {
		o.ObserveFloat64(g.lag, lag, p.own)
	}
}

// uncovered says how many events were handled that no checkpoint covers, and how old the checkpoint is in that case.
func uncovered(s eventhubs.PartitionStatus, now time.Time) (events int64, age float64) {
	switch h, c := s.Handled, s.Checkpoint; {
	case h == nil, c != nil && h.SequenceNumber <= c.SequenceNumber:
		return int64(s.Ahead), 0
	case c == nil: // there is one from before, or none at all: at least one event isn't covered
		return int64(s.Ahead) + 1, secondsSince(s.Since, now)
	default:
		return h.SequenceNumber - c.SequenceNumber + int64(s.Ahead), secondsSince(c.At, now)
	}
}

// lag is how old the oldest event is that is not handled. It isn't known if no event is at hand and reading fails, or
// if there are more that nothing was read of.
func (p *partition) lag(s eventhubs.PartitionStatus, now time.Time) (seconds float64, known bool) {
	atHand, last := p.oldest(s.Since)
	more := s.Lag != nil && s.Lag.Events > 0
	switch {
	case !atHand.IsZero():
		return secondsSince(atHand, now), true
	case more && last.IsZero(), !more && s.Reading != nil:
		return 0, false
	case more: // the next event is no older than that
		return secondsSince(last, now), true
	}
	return 0, true
}

func failingFor(f *eventhubs.FailureStatus, now time.Time) float64 {
	if f == nil {
		return 0
	}
	return secondsSince(f.Since, now)
}

// secondsSince is 0 for the zero time, and for what the clocks of others put into the future.
func secondsSince(t, now time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(now.Sub(t).Seconds(), 0)
}
