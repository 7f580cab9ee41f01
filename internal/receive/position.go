package receive

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
)

// beforeFirst is the offset before every event (azeventhubs, partition_client.go, getStartExpression).
const beforeFirst = "-1"

// position is where a reader is: reading resumes after it.
type position struct {
	start    azeventhubs.StartPosition
	sequence int64 // of the event before the next one; known says whether it is that
	known    bool
}

func earliest() position {
	yes := true
	return position{start: azeventhubs.StartPosition{Earliest: &yes}, sequence: -1, known: true}
}

func after(sequence int64) position {
	return position{start: azeventhubs.StartPosition{SequenceNumber: &sequence}, sequence: sequence, known: true}
}

// before is where reading begins with an event.
func before(sequence int64) position {
	if sequence <= 0 {
		return earliest()
	}
	return after(sequence - 1)
}

// at is the position of a checkpoint: its offset counts, as in the SDK (processor.go, getStartPosition), but for one
// before every event.
func at(c azeventhubs.Checkpoint) position {
	p := position{start: azeventhubs.StartPosition{SequenceNumber: c.SequenceNumber}}
	if c.SequenceNumber != nil {
		p.sequence, p.known = *c.SequenceNumber, true
	}
	if c.Offset == nil {
		return p
	}
	if *c.Offset == beforeFirst {
		return earliest()
	}
	p.start = azeventhubs.StartPosition{Offset: c.Offset}
	return p
}

// isEarliest reports whether every event comes after the position.
func (p position) isEarliest() bool { return p.start.Earliest != nil && *p.start.Earliest }

// covers reports whether the partition has no event after the position, as far as that can be told.
func (p position) covers(is azeventhubs.PartitionProperties) bool {
	switch {
	case is.IsEmpty:
		return true
	case p.known:
		return is.LastEnqueuedSequenceNumber <= p.sequence
	case p.start.Offset != nil:
		return *p.start.Offset == is.LastEnqueuedOffset
	case p.start.EnqueuedTime != nil:
		return !is.LastEnqueuedOn.After(*p.start.EnqueuedTime)
	}
	return false
}

// begin finds where to begin, and tries until it is found. It returns false if fetch ends before.
func (r *reader) begin() bool {
	for attempt := 1; ; attempt++ {
		p, err := r.findBeginning()
		if err == nil {
			r.at = p
			r.done.begins(p)
			r.done.readingWorks() // as far as is known
			r.refused = time.Time{}
			return true
		}
		if r.fetch.Err() != nil {
			return false
		}
		r.done.readingFails(err)
		if sdkerr.IsUnauthorized(err) || sdkerr.IsNotFound(err) { // of the service, and not of the store
			if !r.retryRefusal(err) {
				return false
			}
			continue
		}
		if !r.pause(attempt, err, slog.LevelWarn, "eventhubs: where to begin is not known: trying again") {
			return false
		}
	}
}

func (r *reader) findBeginning() (position, error) {
	found, err := r.engine.lister.checkpoint(r.fetch, r.id)
	if err != nil {
		return position{}, err
	}
	start := r.engine.options.startOf(r.id)
	latest := start.Latest != nil && *start.Latest
	switch {
	case !found.ok && latest:
		return r.resolveLatest()
	case !found.ok:
		return startAt(start), nil
	case at(found.checkpoint).isEarliest():
		return earliest(), nil
	}
	if why := r.outdated(found); why != "" {
		return earliest(), r.restart(why, nil)
	}
	return at(found.checkpoint), nil
}

func startAt(s azeventhubs.StartPosition) position {
	switch {
	case s.Earliest != nil && *s.Earliest:
		return earliest()
	case s.SequenceNumber != nil && s.Inclusive:
		return position{start: s, sequence: *s.SequenceNumber - 1, known: true}
	case s.SequenceNumber != nil:
		return position{start: s, sequence: *s.SequenceNumber, known: true}
	}
	return position{start: s}
}

func (o *Options) startOf(partition string) azeventhubs.StartPosition {
	if p, ok := o.Start.PerPartition[partition]; ok {
		return p
	}
	return o.Start.Default
}

// resolveLatest asks for the last event, and stores it as a checkpoint. Otherwise each connection, and each restart,
// would begin at what is the latest event then, and skip what nobody has handled yet.
func (r *reader) resolveLatest() (position, error) {
	p, err := r.engine.options.Questions.Partition(r.fetch, r.id)
	if err != nil {
		return position{}, err
	}
	latest := processed{sequence: p.LastEnqueuedSequenceNumber, offset: p.LastEnqueuedOffset}
	if latest.offset == "" {
		latest.offset = beforeFirst
	}
	if err := r.done.store(r.fetch, latest, false); err != nil {
		return position{}, fmt.Errorf("store the position that Latest has resolved to: %w", err)
	}
	if latest.offset == beforeFirst {
		return earliest(), nil
	}
	return after(latest.sequence), nil
}

// outdated says why a checkpoint can't be of the partition as it is now, or "". The service may have been replaced by
// an empty namespace, or the event hub created again. A hub that was created again, and has outgrown the checkpoint,
// shows only in its time of creation. If the service does not answer, the checkpoint counts: a position after the end
// is refused when the link is opened.
func (r *reader) outdated(found dated) (why string) {
	p, err := r.engine.options.Questions.Partition(r.fetch, r.id)
	if err != nil {
		if r.fetch.Err() == nil {
			r.log.Warn("eventhubs: the service does not say whether the partition still has the position of its checkpoint: "+
				"reading begins there", "error", err)
		}
		return ""
	}
	c := found.checkpoint
	if c.SequenceNumber != nil && *c.SequenceNumber > p.LastEnqueuedSequenceNumber {
		return fmt.Sprintf("the checkpoint is at sequence number %d, and the partition's last event at %d", *c.SequenceNumber,
			p.LastEnqueuedSequenceNumber)
	}
	var created time.Time
	r.engine.locked(func() { created = r.engine.created })
	if !found.written.IsZero() && created.After(found.written.Add(clockMargin)) {
		return fmt.Sprintf("the checkpoint was written at %s, and the event hub created at %s",
			found.written.Format(time.RFC3339), created.Format(time.RFC3339))
	}
	return ""
}

// clockMargin is how far the clocks of the namespace and of the storage account may be apart.
const clockMargin = 5 * time.Second

// restart says that the partition is read from its earliest event, and has the stored checkpoint say so too: a store
// refuses to move one backwards, and would keep the old one forever.
func (r *reader) restart(why string, cause error) error {
	r.log.Error("eventhubs: the position in the partition does not exist: reading restarts from the earliest event, "+
		"and events may be repeated", "reason", why, "error", cause)
	r.done.forget()
	if err := r.done.store(r.fetch, processed{sequence: -1, offset: beforeFirst}, true); err != nil {
		return fmt.Errorf("replace the checkpoint of the partition: %w", err)
	}
	return nil
}

// dated is a checkpoint, and when it was written.
type dated struct {
	checkpoint azeventhubs.Checkpoint
	written    time.Time // zero: not known
	ok         bool      // there is one
}

// datedStore is a store that knows when checkpoints were written.
type datedStore interface {
	ListCheckpointTimes(
		ctx context.Context, namespace, hub, group string,
	) ([]azeventhubs.Checkpoint, map[string]time.Time, error)
}

// lister lists checkpoints for readers. A partition's checkpoint has to be listed after the partition was claimed, so a
// reader waits for a listing that begins after it has asked. Readers that ask at about the same time share one.
type lister struct {
	engine  *Engine
	running sync.WaitGroup

	listed bool // a listing has succeeded; only work uses it

	listMu sync.Mutex
	busy   bool
	next   *listing // that has not begun; nil: nobody waits
}

type listing struct {
	done chan struct{}
	list map[string]dated
}

func newLister(e *Engine) *lister { return &lister{engine: e} }

func (l *lister) wait() { l.running.Wait() }

// checkpoint returns what is stored for a partition. It waits until a listing succeeds or ctx ends.
func (l *lister) checkpoint(ctx context.Context, partition string) (dated, error) {
	l.listMu.Lock()
	if l.next == nil {
		l.next = &listing{done: make(chan struct{})}
	}
	mine := l.next
	if !l.busy {
		l.busy = true
		l.running.Go(l.work)
	}
	l.listMu.Unlock()
	select {
	case <-mine.done:
		return mine.list[partition], nil
	case <-ctx.Done():
		return dated{}, context.Cause(ctx)
	}
}

// work lists until nobody waits, or the engine stops.
func (l *lister) work() {
	for {
		l.listMu.Lock()
		current := l.next
		l.next = nil
		if current == nil {
			l.busy = false
			l.listMu.Unlock()
			return
		}
		l.listMu.Unlock()
		if list, ok := l.list(); ok {
			current.list = list
			close(current.done)
		} // or all who wait have ended with fetch
	}
}

// list lists until it succeeds, or the engine stops. A right or a name that was always refused ends the engine after a
// minute: the store may know the partitions' owners, but no reader learns where to begin.
func (l *lister) list() (map[string]dated, bool) {
	o := &l.engine.options
	var refused time.Time
	for attempt := 1; ; attempt++ {
		list, err := l.once()
		if err == nil {
			l.listed = true
			return list, true
		}
		if l.engine.fetch.Err() != nil {
			return nil, false
		}
		switch {
		case l.listed || !sdkerr.IsStorageRefusal(err):
			refused = time.Time{}
		case refused.IsZero():
			refused = time.Now()
		case time.Since(refused) >= refusalPatience:
			l.engine.fail(o.Explain(l.engine.entity, err))
			return nil, false
		}
		log := o.Logger
		if role := sdkerr.StorageRole(err); role != "" {
			log = log.With("role", role)
		}
		const what = "eventhubs: checkpoints can't be listed: trying again"
		if !pause(l.engine.fetch, log, attempt, err, slog.LevelWarn, what) {
			return nil, false
		}
	}
}

// storeTimeout bounds one call of the store. A connection that has gone silent is tried again after that.
const storeTimeout = 20 * time.Second

func (l *lister) once() (map[string]dated, error) {
	o := &l.engine.options
	ctx, cancel := context.WithTimeout(l.engine.fetch, storeTimeout)
	defer cancel()
	var (
		list    []azeventhubs.Checkpoint
		written map[string]time.Time
		err     error
	)
	if s, ok := o.Store.(datedStore); ok {
		list, written, err = s.ListCheckpointTimes(ctx, o.Namespace, o.EventHub, o.ConsumerGroup)
	} else {
		list, err = o.Store.ListCheckpoints(ctx, o.Namespace, o.EventHub, o.ConsumerGroup, nil)
	}
	if err != nil {
		return nil, err
	}
	found := make(map[string]dated, len(list))
	for _, c := range list {
		found[c.PartitionID] = dated{checkpoint: c, written: written[c.PartitionID], ok: true}
	}
	return found, nil
}
