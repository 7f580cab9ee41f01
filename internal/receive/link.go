package receive

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/dial"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
)

// link is one link of a reader, and the connection that it has for itself.
type link struct {
	client    *azeventhubs.ConsumerClient
	dialer    *dial.Dialer
	partition *azeventhubs.PartitionClient
	most      int           // events that next returns at the most
	fill      time.Duration // how long next waits for them after the first one

	proven atomic.Bool   // it is open
	lost   atomic.Bool   // it was open, and has ended by itself
	quiet  time.Duration // how long it may be silent before it is to be checked
	last   int           // how many events were there when they were last looked for
}

// ownerLevel is the epoch of every reader, as in the SDKs' processors: of two readers the newer one wins.
var ownerLevel int64

// openLink makes a link that opens when next is first called.
//
// Its client makes one connection, and one link. When either has ended, or its token can't be renewed, the client
// can't dial any more, and the reader makes another one after a pause. The SDK would make none: with its retries off
// it renews the token again and again, and dials again and again, until it succeeds (azeventhubs,
// internal/namespace.go, startNegotiateClaimRenewer). And it would open another link in the call that waits for
// events, with the bound of that call, which is many minutes (internal/links_recover.go, Retry).
func openLink(e *Engine, partition string, at azeventhubs.StartPosition) (*link, error) {
	client, dialer, err := e.options.NewClient()
	if err != nil {
		return nil, err
	}
	p, err := client.NewPartitionClient(partition, &azeventhubs.PartitionClientOptions{
		StartPosition: at, OwnerLevel: &ownerLevel, Prefetch: e.options.Prefetch,
	})
	if err != nil {
		return nil, err
	}
	l := &link{
		client: client, dialer: dialer, partition: p, most: e.options.MaxBatch, fill: e.options.BatchWait, quiet: silence,
	}
	dialer.Watch(l.ends, l.ends)
	return l, nil
}

// ends is told that the connection has ended, or the link, or that the renewal of a token is tried again and again.
func (l *link) ends() {
	if l.proven.Load() { // until then there are sessions for the token and for the link
		l.lost.Store(true)
		l.dialer.Close()
	}
}

// close closes the link and its connection, in good order if that is quick. After closeTimeout, or the end of ctx,
// the socket is dropped, so that nothing waits for the network any more.
func (l *link) close(ctx context.Context) {
	l.proven.Store(false) // it doesn't end by itself from now on
	closing, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	defer l.dialer.Close()
	defer context.AfterFunc(closing, l.dialer.Close)()
	_ = l.partition.Close(closing) // the link is gone either way
	_ = l.client.Close(closing)
}

// errNotOpened is what opening a link fails with that takes too long: connection, token or attach were not answered.
var errNotOpened = fmt.Errorf("the link was not open within %v: the service does not answer", openTimeout)

// Errors of a link that has ended by itself. The SDK can't open another one, and says but that.
var (
	errLost   = errors.New("the connection was lost")
	errClosed = errors.New("the service has closed the link or the connection")
)

// ended is a context that is over: with it the SDK hands over what it has and doesn't wait (partition_client.go,
// ReceiveEvents).
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

const (
	// busy is how many events at once make it likely that more are there already. A call of ReceiveEvents costs about as
	// much as that many events.
	busy = 10
	// turns is how many times to yield before checking what has arrived.
	turns = 3
)

// next waits for an event, and returns it with those that are there already: asked for many at once, the SDK would
// wait for all of them. It returns none, and no error, when the link is open and has been silent for a while.
func (l *link) next(ctx context.Context) ([]*azeventhubs.ReceivedEventData, error) {
	if l.last >= busy {
		if events := l.prefetched(l.most); len(events) > 0 {
			l.last = len(events)
			return l.filled(ctx, events), nil
		}
	}
	bound := l.quiet
	if !l.proven.Load() {
		bound = openTimeout
		defer context.AfterFunc(ctx, l.dialer.Close)()
		ctx = l.dialer.Context() // while the link opens, the SDK sends a token
	}
	waiting, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	events, err := l.partition.ReceiveEvents(waiting, 1, nil)
	switch {
	case err == nil && l.most > 1:
		events = append(events, l.prefetched(l.most-1)...)
	case err != nil && ctx.Err() == nil && waiting.Err() != nil && sdkerr.IsContext(err):
		return nil, l.silent(err)
	case l.lost.Load() && errors.Is(err, dial.ErrClosed):
		if cause := l.dialer.Cause(); cause != nil {
			return nil, fmt.Errorf("%w: %w", errLost, cause)
		}
		return nil, errClosed
	}
	l.last = len(events)
	if len(events) > 0 {
		l.quiet = silence
		events = l.filled(ctx, events)
	}
	return events, err
}

// filled waits for more events, if next has to. When ctx ends, or the link fails, it returns what is there: the next
// call says what is wrong.
func (l *link) filled(ctx context.Context, events []*azeventhubs.ReceivedEventData) []*azeventhubs.ReceivedEventData {
	missing := l.most - len(events)
	if l.fill == 0 || missing == 0 {
		return events
	}
	waiting, cancel := context.WithTimeout(ctx, l.fill)
	defer cancel()
	more, _ := l.partition.ReceiveEvents(waiting, missing, nil)
	return append(events, more...)
}

// silent decides about a link that has brought nothing within its bound: nil if it is open.
func (l *link) silent(err error) error {
	if !sdkerr.FromLink(err) {
		return errNotOpened
	}
	if l.proven.Load() {
		l.quiet = min(2*l.quiet, silenceMost)
	}
	return nil
}

// wasOpen reports whether the link was open when it failed.
func (l *link) wasOpen(err error) bool { return l.proven.Load() || sdkerr.FromLink(err) }

// prefetched returns up to n events that are there. If it fails, nothing is there, or the next call that waits says
// what is wrong.
//
// Events reach the SDK's queue one by one, through three goroutines of go-amqp (conn.go, session.go, receiver.go):
// those that came over the socket together are there only when these goroutines have had their turn. Without it, a
// batch would be one or two events.
func (l *link) prefetched(n int) []*azeventhubs.ReceivedEventData {
	for range turns {
		runtime.Gosched()
	}
	events, _ := l.partition.ReceiveEvents(ended, n, nil)
	return events
}
