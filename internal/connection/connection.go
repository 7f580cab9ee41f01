// Package connection lets many goroutines share one client of the SDK without contention on the SDK's locks.
//
// The SDK holds mutexes over the network while it opens a link, replaces one or makes a new connection (azeventhubs,
// internal/links.go and internal/namespace.go). One call that waits for an answer then blocks every other call of that
// client, whatever their contexts say. So a Shared makes sure that no two calls are in a client while it may take these
// locks:
//
//   - One goroutine opens a client. The others wait for it on a channel, each with its own context.
//   - Until a first call has succeeded, one call at a time is in the client, and the SDK recovers by itself, so that
//     the call returns the reason of a failure. After that, calls run concurrently.
//   - When the connection or the link ends while several calls are in the client, the client is given up before the SDK
//     starts to recover: its socket is dropped, and it can no longer dial. So the calls in it fail. The next caller
//     makes a new client.
//
// What ends a call early is the loss of its connection, not the end of a context, which may make the SDK hang for good:
// see dial's Dialer.Context.
package connection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/dial"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
)

const (
	// openTimeout bounds opening a client: a connection, a token and a link. Dialling and credentials have bounds of their
	// own (packages dial and signin), but the SDK waits for each answer of the service without a bound.
	openTimeout = 30 * time.Second
	// closeTimeout bounds closing a client whose peer does not answer.
	closeTimeout = 5 * time.Second
)

// Errors of Shared that are not the SDK's.
var (
	// ErrClosed is the error of calls of a closed Shared.
	ErrClosed = errors.New("the client is closed")
	// ErrLost is the error of a call whose client was given up because of another call. The outcome of the call is
	// unknown.
	ErrLost = errors.New("the connection was lost while other calls used it")
	// ErrNoAnswer is the error of a call, or of opening a client, when the service does not answer.
	ErrNoAnswer = errors.New("the service has not answered in time")
)

// Options say how a Shared makes and uses its clients. C is *azeventhubs.ProducerClient or *azeventhubs.ConsumerClient.
type Options[C any] struct {
	// New makes a client, and says which Dialer makes its connections. It must not connect.
	New func() (C, *dial.Dialer, error)
	// Open connects the client and opens the link that its calls use, so that the calls do not have to. Its context
	// ends after the client was given up.
	Open func(ctx context.Context, client C) error
	// Close closes a client, even if it was never open or its connection is lost. Nothing else uses the client by then.
	Close func(ctx context.Context, client C, dialer *dial.Dialer) error
	// Broken reports whether a call's error means that its client must be given up. Nil means that none does.
	Broken func(err error) bool
	// AtOnce is how many calls may run at once in one client, after a first call has succeeded. 0 means one.
	AtOnce int
	// CallTimeout bounds how long a call is in the client. After that the client is given up. 0 means no bound.
	CallTimeout time.Duration
	// OpenTimeout and CloseTimeout replace the package's bounds of 30 and 5 seconds if they are positive.
	OpenTimeout, CloseTimeout time.Duration
}

// Shared has one client of the SDK at a time, which it makes when it is first used, and replaces when it is given up.
// It is safe for concurrent use.
type Shared[C any] struct {
	options Options[C]
	// hurry ends when Close's context does: what is still being closed then is cut off.
	hurry   context.Context
	hurryUp context.CancelFunc
	drained chan struct{} // closed when the Shared is closed and no client is left

	clientsMu sync.Mutex
	current   *client[C] // nil: none
	clients   map[*client[C]]struct{}
	closed    bool
}

// New returns a Shared that has no client yet.
func New[C any](o Options[C]) *Shared[C] {
	if o.OpenTimeout <= 0 {
		o.OpenTimeout = openTimeout
	}
	if o.CloseTimeout <= 0 {
		o.CloseTimeout = closeTimeout
	}
	o.AtOnce = max(o.AtOnce, 1)
	s := &Shared[C]{options: o, drained: make(chan struct{}), clients: map[*client[C]]struct{}{}}
	s.hurry, s.hurryUp = context.WithCancel(context.Background())
	return s
}

// Do runs use with an open client.
//
// It waits for a client to open, at most for OpenTimeout, and for its turn. If a client cannot be opened, all who wait
// for it get the reason. use gets a context that ends after the client was given up. If ctx ends, or CallTimeout
// passes, while the call is in the client, the client is given up.
//
// The error is that of use, ErrClosed, ErrLost, ErrNoAnswer, ctx's cause, or the reason why no client could be opened.
func (s *Shared[C]) Do(ctx context.Context, use func(ctx context.Context, client C) error) error {
	for {
		c, err := s.client()
		if err != nil {
			return err
		}
		leave, err := s.enter(ctx, c)
		if errors.Is(err, errRetired) {
			continue // after a success of another call in it, so this ends
		}
		if err != nil {
			return err
		}
		defer leave()
		return s.call(ctx, c, use)
	}
}

// Open waits for a client to be open, as Do does.
func (s *Shared[C]) Open(ctx context.Context) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	return c.awaitOpen(ctx)
}

// call runs use in a client.
func (s *Shared[C]) call(ctx context.Context, c *client[C], use func(context.Context, C) error) error {
	// A child of the client's context, which knows why the client was given up.
	calling, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	throwOut := func(why error) {
		cancel(why)
		s.giveUp(c, ErrLost)
	}
	defer context.AfterFunc(ctx, func() { throwOut(context.Cause(ctx)) })()
	if bound := s.options.CallTimeout; bound > 0 {
		defer time.AfterFunc(bound, func() { s.setLate(c); throwOut(noAnswer(bound)) }).Stop()
	}
	err := use(c.dialer.Context(), c.sdk)
	switch {
	case err == nil:
		s.prove(c)
	case calling.Err() != nil && cutOff(err):
		err = context.Cause(calling)
		if why := c.dialer.Cause(); why != nil && errors.Is(err, ErrLost) {
			err = fmt.Errorf("%w: %w", err, why)
		}
	}
	if err != nil && s.options.Broken != nil && s.options.Broken(err) {
		s.giveUp(c, ErrLost)
	}
	return err
}

// cutOff reports whether an error may be what the SDK returns because its client was given up.
func cutOff(err error) bool {
	return sdkerr.IsLost(err) || sdkerr.IsContext(err) || errors.Is(err, dial.ErrClosed)
}

func noAnswer(bound time.Duration) error { return fmt.Errorf("%w: %v", ErrNoAnswer, bound) }

// Close gives up the client. Calls in it fail with ErrClosed, and so do later ones. It returns when everything is
// closed, at most CloseTimeout after the last call has left, or with ctx's cause when ctx ends. The rest is then cut
// off and ends by itself, at the latest when a credential that the SDK waits for has answered (package signin bounds
// that). It may be called more than once.
func (s *Shared[C]) Close(ctx context.Context) error {
	s.clientsMu.Lock()
	s.closed = true
	var inUse []*client[C]
	for c := range s.clients {
		if c.users > 0 {
			inUse = append(inUse, c)
		}
	}
	if s.current != nil {
		s.retire(s.current)
	}
	s.drain()
	s.clientsMu.Unlock()
	for _, c := range inUse {
		s.giveUp(c, ErrClosed)
	}
	select {
	case <-s.drained:
		return nil
	default:
	}
	select {
	case <-s.drained:
		return nil
	case <-ctx.Done():
		s.hurryUp()
		return context.Cause(ctx)
	}
}

// client returns the current client. If there is none, it starts to make one.
func (s *Shared[C]) client() (*client[C], error) {
	s.clientsMu.Lock()
	defer s.clientsMu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if s.current == nil {
		s.current = newClient[C](s.options.AtOnce)
		s.clients[s.current] = struct{}{}
		go s.open(s.current)
	}
	return s.current, nil
}

// open makes a client and opens it.
func (s *Shared[C]) open(c *client[C]) {
	defer s.leave(c)
	sdk, dialer, err := s.options.New()
	if err != nil {
		s.fail(c, err)
		return
	}
	ended := func() { s.ended(c) }
	dialer.Watch(ended, ended)
	s.equip(c, sdk, dialer)
	opening, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	tooSlow := fmt.Errorf("open a connection: %w", noAnswer(s.options.OpenTimeout))
	defer time.AfterFunc(s.options.OpenTimeout, func() { cancel(tooSlow) }).Stop()
	// Who waits for the client doesn't wait for Open to end: the SDK may be waiting for a credential.
	defer context.AfterFunc(opening, func() { s.fail(c, context.Cause(opening)) })()
	err = s.options.Open(dialer.Context(), sdk)
	switch {
	case err == nil:
		s.succeed(c)
	case opening.Err() != nil && cutOff(err):
		s.fail(c, context.Cause(opening))
	default:
		s.fail(c, err)
	}
}

// close closes a client that nobody uses any more.
func (s *Shared[C]) close(c *client[C]) {
	if c.dialer != nil {
		ctx, cancel := context.WithTimeout(s.hurry, s.options.CloseTimeout)
		_ = s.options.Close(ctx, c.sdk, c.dialer) // what can't be closed in good order is dropped
		cancel()
		c.dialer.Close()
	}
	c.end(ErrClosed)
	s.clientsMu.Lock()
	defer s.clientsMu.Unlock()
	delete(s.clients, c)
	s.drain()
}

// drain notes that nothing is left of a closed Shared. The caller holds clientsMu.
func (s *Shared[C]) drain() {
	if !s.closed || len(s.clients) > 0 {
		return
	}
	select {
	case <-s.drained:
	default:
		close(s.drained)
		s.hurryUp()
	}
}
