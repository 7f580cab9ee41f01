package eventhubs

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/retry"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
)

// worker reads one partition, for as long as it is ours.
type worker struct {
	*generation
	partition *azeventhubs.ProcessorPartitionClient
	id        string
	hold      context.Context // ends when the partition is lost
	done      *progress
	last      int // how many events were there when it was looked last
	units     []*ReceivedEvent
	now       time.Time // when the clock was read last
	certain   time.Time // when it was certain that the partition is ours
	log       *slog.Logger
}

func newWorker(g *generation, client *azeventhubs.ProcessorPartitionClient, hold context.Context) *worker {
	id := client.PartitionID()
	done := g.progress.of(id, g.lease)
	return &worker{generation: g, partition: client, id: id, hold: hold, done: done, log: done.log}
}

// work handles events until the partition is lost or the generation ends. Then it writes the last checkpoint.
func (w *worker) work() {
	handling, cancel := context.WithCancelCause(w.handlers)
	fetch, stop := context.WithCancel(w.fetch)
	lost := context.AfterFunc(w.hold, func() { cancel(ErrOwnershipLost); stop() })
	defer w.workers.Done()
	defer w.leave() // deferred, as all that follows: a handler may end its goroutine, as testing's FailNow does
	defer cancel(errDone)
	defer stop()
	defer lost()
	w.log.Debug("eventhubs: partition taken")
	for failures := 0; fetch.Err() == nil; {
		events, err := w.next(fetch)
		if err == nil {
			failures = 0
			if !w.handleAll(fetch, handling, events) {
				return
			}
			continue
		}
		failures++
		if !w.goOn(fetch, err, failures) {
			return
		}
	}
}

// leave writes the last checkpoint, unless the partition was lost, and closes the link or leaves that to drain.
func (w *worker) leave() {
	defer w.setOpen(w.id, false)
	w.done.rest()
	if w.hold.Err() == nil {
		w.saveLast()
	}
	if w.hold.Err() != nil {
		w.done.discard()
	}
	if w.fetch.Err() != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.left = append(w.left, w.partition)
		return
	}
	w.closeClients([]*azeventhubs.ProcessorPartitionClient{w.partition}) // or the Processor never opens it again (processor.go, addPartitionClient)
}

// saveLast writes the last checkpoint. That may take so long that the partition is lost meanwhile, which is no failure: whoever has it reads on from the checkpoint before.
func (w *worker) saveLast() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), min(storeTimeout, w.opts.ExpirationInterval))
	defer cancel()
	switch err := w.done.saveLast(ctx, w.hold); {
	case err == nil:
	case w.hold.Err() != nil:
		w.log.Info("eventhubs: the partition was lost before its last checkpoint was written: events will be read again")
	default:
		w.log.Error("eventhubs: the last checkpoint could not be written: events will be read again", "error", err)
	}
}

// ended is a context that is over: with it the SDK hands over what it has and doesn't wait (partition_client.go, ReceiveEvents).
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

const (
	// busy is how many events at once make it likely that more are there already. A call of ReceiveEvents costs about as much as that many events.
	busy = 10
	// turns is how often other goroutines get their turn before it is looked what is there.
	turns = 3
)

// next waits for an event, and returns it with those that are there already. Asked for many at once, the SDK would wait for all of them.
func (w *worker) next(ctx context.Context) ([]*azeventhubs.ReceivedEventData, error) {
	if w.last >= busy {
		if events := w.prefetched(w.opts.MaxBatch); len(events) > 0 {
			w.last = len(events)
			return events, nil
		}
	}
	events, err := w.partition.ReceiveEvents(ctx, 1, nil)
	if err == nil && w.opts.MaxBatch > 1 {
		events = append(events, w.prefetched(w.opts.MaxBatch-1)...)
	}
	w.last = len(events)
	return events, err
}

// prefetched returns up to n events that are there. If it fails, nothing is there, or the next call that waits says what is wrong.
//
// Events reach the SDK's queue one by one, through three goroutines of go-amqp (conn.go, session.go, receiver.go): those that came over the socket together are there only
// when these goroutines have had their turn. Without it, a batch would be one or two events.
func (w *worker) prefetched(n int) []*azeventhubs.ReceivedEventData {
	for range turns {
		runtime.Gosched()
	}
	events, _ := w.partition.ReceiveEvents(ended, n, nil)
	return events
}

// goOn decides what an error in reading means. It returns false when the worker has to end; otherwise the next read opens the link anew, behind the last event that was read.
func (w *worker) goOn(fetch context.Context, err error, failures int) bool {
	var sdk *azeventhubs.Error
	switch {
	case fetch.Err() != nil, isClosed(err):
		return false
	case errors.As(err, &sdk) && sdk.Code == azeventhubs.ErrorCodeOwnershipLost:
		w.log.Info("eventhubs: another consumer has taken the partition over", "error", err)
		w.lease.Lose(w.id)
		return false
	case sdkerr.IsUnauthorized(err) && failures == 1:
		// A token may have run out while the link was opened anew; with the next one it opens, or is refused again.
	case isFatal(err):
		w.fail(w.target.explain(sdkerr.Receive, w.entity()+"/"+w.id, err))
		return false
	}
	wait := retry.Backoff(failures)
	if retry.Worth(failures) {
		w.log.Warn("eventhubs: reading was interrupted, and is tried again", "failures", failures, "again_in", wait, "error", err)
	}
	return retry.Sleep(fetch, wait)
}

// isClosed reports whether the client was closed under the worker, as the Processor does when it ends. The SDK has no type for it (internal/links.go, checkOpen).
func isClosed(err error) bool { return strings.Contains(err.Error(), "client has been closed by user") }

// handleAll passes events to the handler in units. It returns false when the worker has to end.
func (w *worker) handleAll(fetch, handling context.Context, data []*azeventhubs.ReceivedEventData) bool {
	events := make([]ReceivedEvent, len(data)) // the handler may keep them
	pointers := w.units[:0]                    // but not the slices that it is given
	for i, d := range data {
		events[i] = ReceivedEvent{ReceivedEventData: d, PartitionID: w.id}
		pointers = append(pointers, &events[i])
	}
	w.units = pointers
	defer clear(w.units)
	w.now = time.Now()
	w.done.fetched(len(data))
	for len(pointers) > 0 {
		n := min(w.unit, len(pointers))
		if !w.handleUnit(fetch, handling, pointers[:n:n]) {
			return false
		}
		last := pointers[n-1]
		w.now = w.done.completed(last.SequenceNumber, last.Offset, n)
		pointers = pointers[n:]
	}
	return true
}

// handleUnit calls the handler until it succeeds. It returns false when the worker has to end, and the unit is not processed.
func (w *worker) handleUnit(fetch, handling context.Context, unit []*ReceivedEvent) bool {
	for attempt := 1; fetch.Err() == nil && w.ours(fetch); attempt++ {
		for _, e := range unit {
			e.Attempt = attempt
		}
		w.done.tries(attempt, unit[0].SequenceNumber, w.now)
		err := w.call(handling, unit)
		if err == nil {
			return true
		}
		w.done.fails(err)
		if permanent(err) {
			w.stopped(unit, err)
			return false
		}
		wait := w.opts.Backoff(attempt, err)
		if wait < 0 {
			w.stopped(unit, err)
			return false
		}
		w.log.Warn("eventhubs: the handler failed, and gets the event again", "sequence", unit[0].SequenceNumber, "attempt", attempt, "again_in", wait, "error", err)
		if !retry.Sleep(fetch, wait) {
			return false
		}
		w.now = time.Now()
	}
	return false
}

// ours waits until it is certain that the partition is ours: after a pause of the process it may be somebody else's. It returns false when the worker has to end.
func (w *worker) ours(fetch context.Context) bool {
	if w.now.Sub(w.certain) < w.opts.ExpirationInterval/4 { // Await for each event would cost more
		return true
	}
	if !w.lease.Await(fetch, w.id) {
		return false
	}
	w.now = time.Now()
	w.certain = w.now
	return true
}

// call calls the handler once. A panic becomes an error.
func (w *worker) call(ctx context.Context, unit []*ReceivedEvent) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		e := &panicError{HandlerError{PartitionID: w.id, SequenceNumber: unit[0].SequenceNumber, Panic: recover(), Stack: debug.Stack()}}
		if e.Panic == nil { // runtime.Goexit: nothing but deferred functions runs after this
			e.Panic = "runtime.Goexit was called"
			w.stopped(unit, e)
		}
		err = e
	}()
	err = w.handle(ctx, unit)
	returned = true
	return err
}

// panicError is what a handler's panic is until it is returned: no HandlerError that a handler returns is taken for it.
type panicError struct{ HandlerError }

// permanent reports whether a handler's error ends the call.
func permanent(err error) bool {
	var stop *stopError
	var panicked *panicError
	return errors.As(err, &stop) || errors.As(err, &panicked)
}

// stopped ends the whole call with the handler's error.
func (w *worker) stopped(unit []*ReceivedEvent, err error) {
	var panicked *panicError
	if errors.As(err, &panicked) {
		w.fail(&panicked.HandlerError)
		return
	}
	w.fail(&HandlerError{PartitionID: w.id, SequenceNumber: unit[0].SequenceNumber, Err: err})
}
