package receive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/balance"
	"github.com/go-eventhubs/eventhubs/internal/dial"
	"github.com/go-eventhubs/eventhubs/internal/retry"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
)

const (
	// openTimeout bounds the opening of a link: connection, token, session and attach.
	openTimeout = 30 * time.Second
	// silence is how long an open link may bring nothing before it is checked end to end, and silenceMost the longest time
	// between two checks.
	silence, silenceMost = time.Minute, 8 * time.Minute
	// finishTimeout bounds the last checkpoint and the release of a partition, together.
	finishTimeout = 5 * time.Second
	// saveTimeout is how much of that the last checkpoint may take, so that the partition is released whatever becomes of
	// it, and lastTry how long one try of it may.
	saveTimeout, lastTry = 3 * time.Second, 1500 * time.Millisecond
	// closeTimeout bounds the closing of a link in good order. It runs beside the last checkpoint.
	closeTimeout = 2 * time.Second
	// refusalPatience is how long a right or a name that has worked before may be refused before it is an error.
	refusalPatience = time.Minute
)

// Handler gets events of one partition: Fill hands over what was read, and Handle is called with consecutive parts of
// it, again while it fails. Key tells the key of one of them: "" is none. They are not called concurrently. With
// Concurrency, each event that is held has a Handler of its own.
type Handler interface {
	Fill(partition string, events []*azeventhubs.ReceivedEventData)
	Handle(ctx context.Context, from, to, attempt int) error
	Key(i int) string
}

// Options describe an Engine. All are set, but for those that say what their zero value means.
type Options struct {
	NewClient func() (*azeventhubs.ConsumerClient, *dial.Dialer, error) // for one reader
	Questions *Questions
	Store     azeventhubs.CheckpointStore

	Namespace, EventHub, ConsumerGroup, InstanceID string

	Start                      azeventhubs.StartPositions
	MaxBatch, Unit             int           // events that are read, and handled, at once at the most
	Prefetch                   int32         // as azeventhubs.PartitionClientOptions
	BatchWait                  time.Duration // how long MaxBatch events are waited for, after the first one; 0: not at all
	Concurrency                int           // handlers of a partition that run at once, with Unit 1
	MaxAhead                   int           // events of a partition that are held, with Concurrency above 1
	CheckpointInterval         time.Duration
	CheckpointCount            int // 0: no limit
	DrainTimeout               time.Duration
	Strategy                   azeventhubs.ProcessorStrategy
	UpdateInterval, Expiration time.Duration
	StallAfter                 time.Duration
	LagInterval                time.Duration // 0: the service isn't asked
	Backoff                    func(attempt int, err error) time.Duration
	Unreadable                 func(partition string, sequence int64, err error) error // nil: never skips
	NewHandler                 func() Handler
	// Opened and Closed are called before the first event and after the last one. Nil: nothing is.
	Opened func(ctx context.Context, partition string) error
	Closed func(ctx context.Context, partition string, reason error)

	Permanent            func(error) bool // whether a handler's error ends the Engine
	ErrLost, ErrDraining error            // causes of the end of a handler's context
	Explain              func(on string, err error) error
	Logger               *slog.Logger
}

// Failure is what a handler has ended the Engine with.
type Failure struct {
	Partition string
	Sequence  int64  // of the first event that the handler was called with; noEvent: it was Opened, or Closed
	Err       error  // what the handler has returned; nil after a panic
	Panic     any    // what it has panicked with
	Stack     []byte // where
}

func (f *Failure) Error() string {
	if f.Err != nil {
		return f.Err.Error()
	}
	return fmt.Sprintf("panicked: %v", f.Panic)
}

func (f *Failure) Unwrap() error { return f.Err }

// Engine is one call of Receive.
type Engine struct {
	options Options
	entity  string
	loop    *balance.Loop
	lister  *lister
	saver   *checkpointer

	caller   context.Context // of Run; what outlives its end takes its values
	fetch    context.Context // ends when nothing more is to be fetched
	stop     context.CancelFunc
	handling context.Context // what handlers' contexts come from; ends when they have run out of time
	expire   context.CancelCauseFunc
	finish   context.Context // ends when nothing more is waited for
	abort    context.CancelFunc
	readers  sync.WaitGroup
	lagDue   chan struct{} // holds a token when a partition was taken

	stateMu sync.Mutex
	failed  error              // the first reason to end that is not the caller's
	worked  bool               // a link was open: names and rights were right
	created time.Time          // when the event hub was made; zero: not known
	reading map[string]*reader // by partition, the latest; it may have ended
	left    time.Time          // when the last reader began to leave

	duplicates int // how often a link was taken by our own name
}

// New returns an Engine whose Run may be called once. ctx is that of Run.
func New(ctx context.Context, o Options) *Engine {
	e := &Engine{
		options: o, entity: o.EventHub + "/" + o.ConsumerGroup, caller: ctx,
		reading: map[string]*reader{}, lagDue: make(chan struct{}, 1),
	}
	apart := context.WithoutCancel(ctx)
	e.fetch, e.stop = context.WithCancel(ctx)
	e.handling, e.expire = context.WithCancelCause(apart)
	e.finish, e.abort = context.WithCancel(apart)
	e.saver = newCheckpointer(e)
	e.lister = newLister(e)
	e.readers.Add(1) // for the loop, which may take a partition until it is drained
	return e
}

// errEnded is the cause when things end in good order.
var errEnded = errors.New("ended")

// Stop ends Run as the end of its context does.
func (e *Engine) Stop() { e.stop() }

// Abort ends Run without waiting for more than the handlers that run: their contexts end at once, and nothing more is
// written.
func (e *Engine) Abort() {
	e.stop()
	e.expire(e.options.ErrDraining)
	e.abort()
}

// Run receives until its context ends or Stop is called, and returns nil then. It returns an error when a handler ends
// it, a *Failure, or when it can't work.
func (e *Engine) Run() error {
	defer e.abort()
	defer e.expire(errEnded)
	defer e.stop()
	ids, err := e.askFirst()
	if err != nil {
		return err
	}
	if e.fetch.Err() != nil {
		return nil
	}
	loop := balance.New(balance.Options{
		Store: e.options.Store, Strategy: e.options.Strategy,
		Group: azeventhubs.Ownership{
			FullyQualifiedNamespace: e.options.Namespace, EventHubName: e.options.EventHub,
			ConsumerGroup: e.options.ConsumerGroup, OwnerID: e.options.InstanceID,
		},
		UpdateInterval: e.options.UpdateInterval, Expiration: e.options.Expiration, DrainTimeout: e.options.DrainTimeout,
		Partitions: ids, AskPartitions: e.askPartitions, Refused: sdkerr.IsStorageRefusal, Taken: e.take,
		Role: sdkerr.StorageRole, Logger: e.options.Logger,
	})
	e.locked(func() { e.loop = loop })
	e.run(loop)
	return e.failure()
}

// run is Run once the partitions are known.
func (e *Engine) run(loop *balance.Loop) {
	balancing, stopBalancing := context.WithCancel(context.WithoutCancel(e.caller))
	var beside sync.WaitGroup
	defer beside.Wait()
	defer stopBalancing()
	beside.Go(func() {
		if err := loop.Run(balancing); err != nil {
			e.fail(e.options.Explain(e.entity, err))
		}
	})
	watching, stopWatching := context.WithCancel(balancing)
	defer stopWatching()
	beside.Go(func() { e.saver.run(watching) })
	beside.Go(func() { e.watchStalls(watching) })
	if e.options.LagInterval > 0 {
		beside.Go(func() { e.watchLag(watching) })
	}
	<-e.fetch.Done()
	e.leaves()
	loop.Drain()
	e.readers.Done() // see New: nothing is taken any more
	late := time.AfterFunc(max(e.options.DrainTimeout, 0), func() { e.expire(e.options.ErrDraining) })
	defer late.Stop()
	e.readers.Wait()
	e.lister.wait()
	finishing, cancel := context.WithDeadline(e.finish, e.leftAt().Add(finishTimeout))
	defer cancel()
	defer context.AfterFunc(finishing, loop.Hurry)()
	stopWatching()
	stopBalancing()
	beside.Wait()
}

// leaves notes that a reader begins to leave, since its handler has returned; or that all have to.
func (e *Engine) leaves() { e.locked(func() { e.left = time.Now() }) }

// leftAt is when the last reader began to leave. From then on finishTimeout counts, for the loop too.
func (e *Engine) leftAt() (at time.Time) {
	e.locked(func() { at = e.left })
	return at
}

// take starts a reader for a claim. It is called by the loop.
func (e *Engine) take(c *balance.Claim) {
	e.stateMu.Lock()
	defer e.stateMu.Unlock()
	before := e.reading[c.PartitionID()]
	r := newReader(e, c, before)
	e.reading[c.PartitionID()] = r
	e.readers.Go(r.run) // after the end of fetch too: it releases the claim
	token(e.lagDue)
}

// duplicate warns, at growing intervals, that another reader has our name.
func (e *Engine) duplicate(log *slog.Logger, name string) {
	var n int
	e.locked(func() { e.duplicates++; n = e.duplicates })
	if retry.Worth(n) {
		log.Warn("eventhubs: another consumer with the same InstanceID has taken the partition: "+
			"give each running consumer its own, or none", "instance_id", name, "times", n)
	}
}

// locked calls a function under the lock.
func (e *Engine) locked(f func()) {
	e.stateMu.Lock()
	defer e.stateMu.Unlock()
	f()
}

// failure is what has ended the Engine; nil: nothing has, or the caller.
func (e *Engine) failure() (err error) {
	e.locked(func() { err = e.failed })
	return err
}

// fail ends the Engine with an error. The first one counts.
func (e *Engine) fail(err error) {
	e.stateMu.Lock()
	defer e.stateMu.Unlock()
	if e.failed == nil {
		e.failed = err
	}
	e.stop()
}

// askFirst asks for the partitions until the service answers, fetch ends, or the answer is a permanent failure.
// What can't be reached is an error too: the SDK has tried several times by then.
func (e *Engine) askFirst() ([]string, error) {
	for attempt := 1; ; attempt++ {
		ids, err := e.askPartitions(e.fetch)
		switch {
		case err == nil:
			return ids, nil
		case e.fetch.Err() != nil:
			return nil, nil //nolint:nilerr // Run was told to end
		case !sdkerr.IsBusy(err) && !isUnanswered(err):
			return nil, e.options.Explain(e.entity, err)
		}
		const what = "eventhubs: the service does not say which partitions there are: asking again"
		if !pause(e.fetch, e.options.Logger, attempt, err, slog.LevelWarn, what) {
			return nil, nil
		}
	}
}

// pause logs at growing intervals that something is tried again, and waits. It returns false if ctx ends.
func pause(
	ctx context.Context, log *slog.Logger, attempt int, err error, level slog.Level, what string, attrs ...any,
) bool {
	wait := retry.Backoff(attempt)
	if retry.Worth(attempt) {
		attrs = append(attrs, "failures", attempt, "again_in", retry.Text(wait), "error", err)
		log.Log(ctx, level, what, attrs...)
	}
	return retry.Sleep(ctx, wait)
}

// askPartitions asks which partitions there are.
func (e *Engine) askPartitions(ctx context.Context) ([]string, error) {
	p, err := e.options.Questions.Hub(ctx)
	if err != nil {
		return nil, err
	}
	e.locked(func() { e.created = p.CreatedOn })
	return p.PartitionIDs, nil
}

// hasWorked reports whether a link was open, so that names and rights were right.
func (e *Engine) hasWorked() (has bool) {
	e.locked(func() { has = e.worked })
	return has
}

func (e *Engine) setWorked() { e.locked(func() { e.worked = true }) }

// running is the loop, once the service has said which partitions there are. Nil: it has not.
func (e *Engine) running() (loop *balance.Loop) {
	e.locked(func() { loop = e.loop })
	return loop
}

// readersNow returns the readers of the partitions that are held now.
func (e *Engine) readersNow() (now []*reader) {
	loop := e.running()
	if loop == nil {
		return nil
	}
	claims := loop.Claims()
	e.stateMu.Lock()
	defer e.stateMu.Unlock()
	for _, c := range claims {
		if r := e.reading[c.PartitionID()]; r != nil && r.claim == c {
			now = append(now, r)
		}
	}
	return now
}
