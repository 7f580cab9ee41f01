package connection

import (
	"context"
	"errors"

	"github.com/go-eventhubs/eventhubs/internal/dial"
)

// client is a client of the SDK and who uses it. It goes through these states:
//
//	opening → unproven → proven → retired → closed
//
// An unproven client takes one call at a time. The first success proves it. A retired client takes no new calls, and is
// closed when its last user has left. A client that is given up is retired, and its users are thrown out.
type client[C any] struct {
	ctx context.Context // ends when the client is given up
	end context.CancelCauseFunc

	opened chan struct{} // closed when it is no longer opening
	first  chan struct{} // holds an element while a call that may prove it is in it
	proven chan struct{} // closed when it is proven
	places chan struct{} // holds an element for each call in it
	gone   chan struct{} // closed when it is retired

	// The Shared's clientsMu guards the following, and who closes the channels above. sdk and dialer don't change once
	// opened is closed.
	sdk     C
	dialer  *dial.Dialer // nil: the SDK's client was not made yet, or cannot be made
	users   int          // calls in it, and the goroutine that opens it
	openErr error        // why it could not be opened; does not change after opened is closed
	given   bool         // it was given up
	late    bool         // because CallTimeout had passed
}

// newClient returns a client that is opening, for so many calls at once.
func newClient[C any](atOnce int) *client[C] {
	c := &client[C]{
		opened: make(chan struct{}), first: make(chan struct{}, 1), proven: make(chan struct{}),
		places: make(chan struct{}, atOnce), gone: make(chan struct{}), users: 1,
	}
	c.ctx, c.end = context.WithCancelCause(context.Background())
	return c
}

// errRetired tells a caller to try the next client.
var errRetired = errors.New("the client is retired")

// awaitOpen waits until the client is no longer opening.
func (c *client[C]) awaitOpen(ctx context.Context) error {
	select {
	case <-c.opened:
		return c.openErr
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// enter waits until a call may use the client, until leave is called.
func (s *Shared[C]) enter(ctx context.Context, c *client[C]) (leave func(), err error) {
	if err := c.awaitOpen(ctx); err != nil {
		return nil, err
	}
	isFirst := false
	select {
	case <-c.proven:
	case c.first <- struct{}{}:
		isFirst = true
	case <-c.gone: // join says whether the Shared is closed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	hasPlace := false
	select {
	case c.places <- struct{}{}:
		hasPlace = true
	case <-c.gone:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err == nil {
		err = s.join(c)
	}
	giveBack := func() {
		if hasPlace {
			<-c.places
		}
		if isFirst {
			<-c.first
		}
	}
	if err != nil {
		giveBack()
		return nil, err
	}
	return func() { giveBack(); s.leave(c) }, nil
}

// join counts a call as a user. When the first call in a client has waited for CallTimeout in vain, so have those that
// wait for it: otherwise they would wait that long one after the other.
func (s *Shared[C]) join(c *client[C]) error {
	s.clientsMu.Lock()
	defer s.clientsMu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case c.late && !isClosed(c.proven):
		return ErrLost
	case isClosed(c.gone):
		return errRetired
	}
	c.users++
	return nil
}

// leave ends the use of a client. The last user closes a retired client.
func (s *Shared[C]) leave(c *client[C]) {
	s.clientsMu.Lock()
	defer s.clientsMu.Unlock()
	c.users--
	if c.users == 0 && isClosed(c.gone) {
		go s.close(c)
	}
}

// equip gives a client that is opening its client of the SDK.
func (s *Shared[C]) equip(c *client[C], sdk C, dialer *dial.Dialer) {
	s.clientsMu.Lock()
	c.sdk, c.dialer = sdk, dialer
	given := c.given
	s.clientsMu.Unlock()
	if given {
		dialer.Close()
	}
}

// succeed notes that a client is open, unless that took too long.
func (s *Shared[C]) succeed(c *client[C]) {
	s.clientsMu.Lock()
	defer s.clientsMu.Unlock()
	if !isClosed(c.opened) {
		close(c.opened)
	}
}

// fail notes why a client can't be opened, and gives it up.
func (s *Shared[C]) fail(c *client[C], err error) {
	s.clientsMu.Lock()
	s.retire(c) // first, so that a caller who comes again gets another client
	if !isClosed(c.opened) {
		c.openErr = err
		close(c.opened)
	}
	s.clientsMu.Unlock()
	s.giveUp(c, err)
}

// setLate notes that a call has waited in vain for CallTimeout.
func (s *Shared[C]) setLate(c *client[C]) {
	s.clientsMu.Lock()
	defer s.clientsMu.Unlock()
	c.late = true
}

// prove notes that a call has succeeded.
func (s *Shared[C]) prove(c *client[C]) {
	if isClosed(c.proven) {
		return
	}
	s.clientsMu.Lock()
	defer s.clientsMu.Unlock()
	if !isClosed(c.proven) {
		close(c.proven)
	}
}

// ended is called by the Dialer when the connection has ended or is about to lose a link. The calls in the client are
// about to fail, and the SDK is about to recover. While the client is unproven there is at most one call, and the SDK
// may recover.
func (s *Shared[C]) ended(c *client[C]) {
	s.clientsMu.Lock()
	if !isClosed(c.proven) {
		s.clientsMu.Unlock()
		return
	}
	several := c.users > 1
	s.retire(c)
	s.clientsMu.Unlock()
	if several {
		s.giveUp(c, ErrLost)
	}
}

// retire stops a client from taking calls. The caller holds clientsMu.
func (s *Shared[C]) retire(c *client[C]) {
	if isClosed(c.gone) {
		return
	}
	close(c.gone)
	if s.current == c {
		s.current = nil
	}
	if c.users == 0 {
		go s.close(c)
	}
}

// giveUp retires a client and throws its users out: its socket is dropped, and it can no longer dial. So nothing in it
// waits for the network.
func (s *Shared[C]) giveUp(c *client[C], why error) {
	c.end(why) // first: equip may close the dialer as soon as the client is given up
	s.clientsMu.Lock()
	first, dialer := !c.given, c.dialer
	c.given = true
	s.retire(c)
	s.clientsMu.Unlock()
	if first && dialer != nil {
		dialer.Close()
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
