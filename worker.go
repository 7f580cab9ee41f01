package eventhubs

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// worker reads one partition, for as long as it is ours.
type worker struct {
	*receiving
	partition *azeventhubs.ProcessorPartitionClient
	id        string
	done      *progress
	log       *slog.Logger
}

func newWorker(r *receiving, client *azeventhubs.ProcessorPartitionClient) *worker {
	id := client.PartitionID()
	return &worker{
		receiving: r, partition: client, id: id, done: r.progress.of(id),
		log: r.cfg.Logger.With("event_hub", r.cfg.EventHub, "group", r.opts.Group, "partition", id),
	}
}

// work handles events until the partition is lost or the call ends. Then it writes the last checkpoint.
func (w *worker) work() {
	ctx, cancel := context.WithCancelCause(w.handlers)
	defer w.workers.Done()
	defer w.leave() // deferred: a handler may end its goroutine, as testing's FailNow does
	defer cancel(errDone)
	w.log.Debug("eventhubs: partition taken")
	for w.fetch.Err() == nil {
		events, err := w.next()
		if err != nil {
			w.lost(err)
			return
		}
		if !w.handleAll(ctx, events) {
			return
		}
	}
}

// leave writes the last checkpoint, and closes the link or leaves it to drain.
func (w *worker) leave() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.fetch), lastCheckpointTimeout)
	defer cancel()
	if err := w.done.save(ctx); err != nil {
		w.log.Error("eventhubs: the last checkpoint could not be written: events will be read again", "error", err)
	}
	if w.fetch.Err() != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.clients = append(w.clients, w.partition)
		return
	}
	_ = w.partition.Close(ctx) // or the Processor never opens the partition again (processor.go, addPartitionClient)
}

// ended is a context that is over: with it the SDK hands over what it has and doesn't wait (partition_client.go, ReceiveEvents).
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// next waits for an event, and returns it with those that are there already. Asked for many at once, the SDK would wait for all of them.
func (w *worker) next() ([]*azeventhubs.ReceivedEventData, error) {
	events, err := w.partition.ReceiveEvents(w.fetch, 1, nil)
	if err != nil || w.opts.MaxBatch == 1 {
		return events, err
	}
	more, _ := w.partition.ReceiveEvents(ended, w.opts.MaxBatch-1, nil) // if it fails, nothing more is there, or the next call says what is wrong
	return append(events, more...), nil
}

// lost is called when the partition can't be read on.
func (w *worker) lost(err error) {
	var sdk *azeventhubs.Error
	switch {
	case w.fetch.Err() != nil:
	case errors.As(err, &sdk) && sdk.Code == azeventhubs.ErrorCodeOwnershipLost:
		w.done.discard()
		w.log.Debug("eventhubs: another consumer has taken the partition over")
	default:
		w.log.Warn("eventhubs: reading was interrupted, and is tried again", "error", err)
	}
}

// handleAll passes events to the handler in units. It returns false when the worker has to end.
func (w *worker) handleAll(ctx context.Context, data []*azeventhubs.ReceivedEventData) bool {
	events := make([]ReceivedEvent, len(data))
	pointers := make([]*ReceivedEvent, len(data))
	for i, d := range data {
		events[i] = ReceivedEvent{ReceivedEventData: d, PartitionID: w.id}
		pointers[i] = &events[i]
	}
	for len(pointers) > 0 {
		n := min(w.unit, len(pointers))
		if !w.handleUnit(ctx, pointers[:n]) {
			return false
		}
		last := pointers[n-1]
		w.done.completed(last.SequenceNumber, last.Offset, n)
		pointers = pointers[n:]
	}
	return true
}

// handleUnit calls the handler until it succeeds. It returns false when the worker has to end, and the unit is not processed.
func (w *worker) handleUnit(ctx context.Context, unit []*ReceivedEvent) bool {
	for attempt := 1; w.fetch.Err() == nil; attempt++ {
		for _, e := range unit {
			e.Attempt = attempt
		}
		err := w.call(ctx, unit)
		if err == nil {
			return true
		}
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
		if !sleep(w.fetch, wait) {
			return false
		}
	}
	return false
}

// call calls the handler once. A panic becomes a HandlerError.
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
