package amqp

import (
	"errors"
	"io"
	"net"
	"time"
)

// Step is something that a peer asks for, other than links and messages.
type Step int

// The steps that a [Gate] decides on.
const (
	StepSASL   Step = iota // signing in: every SASL mechanism is accepted
	StepOpen               // opening the connection
	StepBegin              // beginning a session
	StepDetach             // detaching a link
	StepEnd                // ending a session
	StepClose              // closing the connection
)

// Gate is a [Handler] that also decides on steps: when they are taken, and whether.
type Gate interface {
	// Hold returns nil to let a step be taken at once, as without a Gate. Otherwise the peer gets no answer yet, and the
	// returned function is called, without locks. That function must not block. It must lead to exactly one call of a
	// method of r, at once or later, from any goroutine. Hold itself is called with locks held: it must neither block nor
	// call the connection.
	Hold(r *Request) func()
}

// Request is a step on which a Gate decides.
type Request struct {
	Step Step
	Link *Link // the link that the peer detaches, in StepDetach; otherwise nil

	conn    *Conn
	session *session
	decided chan decision // for the handshake, which waits for it; has room for one; otherwise nil
}

// decision is a Gate's decision on a request.
type decision struct {
	reason  *Error // why the request is refused; nil: it is not
	ignored bool
}

// errIgnored is the error of a connection whose handshake was never answered, after the peer has given up.
var errIgnored = errors.New("the handshake was not answered")

// hold asks the Gate. The connection's lock may be held.
func (c *Conn) hold(r *Request) func() {
	g, ok := c.handler.(Gate)
	if !ok {
		return nil
	}
	r.conn = c
	return g.Hold(r)
}

// ask asks the Gate about a step of the handshake, and waits for the decision: nothing else happens on the connection
// meanwhile. It returns the reason if the step is refused, and an error if the connection has ended.
func (c *Conn) ask(step Step) (refused *Error, err error) {
	r := &Request{Step: step, decided: make(chan decision, 1)}
	decide := c.hold(r)
	if decide == nil {
		return nil, nil
	}
	if err := c.nc.SetDeadline(time.Time{}); err != nil { // the peer is not at fault if the Gate takes long
		return nil, err
	}
	decide()
	select { // the Gate may take as long as it likes; Abort ends the wait
	case d := <-r.decided:
		if d.ignored {
			_, _ = io.Copy(io.Discard, c.in) // until the peer gives up, or Abort is called
			return nil, errIgnored
		}
		return d.reason, c.nc.SetDeadline(time.Now().Add(c.cfg.HandshakeTimeout))
	case <-c.aborted:
		return nil, net.ErrClosed
	}
}

// Proceed takes the step, and answers.
func (r *Request) Proceed() { r.finish(decision{}) }

// Refuse answers with a reason, which must not be nil. If the peer wants to end something, it ends all the same, and
// the reason is in the answer.
func (r *Request) Refuse(reason *Error) { r.finish(decision{reason: reason}) }

// Ignore never answers. The connection stays open, but its handshake never completes if the step is part of it.
func (r *Request) Ignore() {
	if r.decided != nil {
		r.decided <- decision{ignored: true}
	}
}

// Forget detaches the link on this side alone, without an answer. It is for StepDetach.
func (r *Request) Forget() {
	c := r.conn
	c.connMu.Lock()
	var gone []*Link
	if r.session.links[r.Link.handle] == r.Link { // the link has not ended meanwhile
		gone = r.session.letGo(r.Link)
		r.Link.owed = false
	}
	c.connMu.Unlock()
	notifyAll(gone)
}

func (r *Request) finish(d decision) {
	switch r.Step {
	case StepSASL, StepOpen:
		r.decided <- d
	case StepBegin:
		r.session.proceed(d.reason)
	case StepDetach:
		r.finishDetach(d.reason)
	case StepEnd:
		r.finishEnd(d.reason)
	case StepClose:
		r.conn.Close(d.reason)
	}
}

func (r *Request) finishDetach(reason *Error) {
	c := r.conn
	c.connMu.Lock()
	var gone []*Link
	if r.session.links[r.Link.handle] == r.Link { // the link has not ended meanwhile
		gone = r.session.letGo(r.Link)
	}
	c.connMu.Unlock()
	notifyAll(gone)
	r.Link.farewell(reason)
}

func (r *Request) finishEnd(reason *Error) {
	c, s := r.conn, r.session
	c.connMu.Lock()
	if s.ended { // the server has ended the session meanwhile
		s.remove()
		c.connMu.Unlock()
		return
	}
	gone := s.leave()
	c.connMu.Unlock()
	notifyAll(gone)
	s.farewell(reason)
}

// proceed answers the begin of a session. If there is a reason, it ends the session.
func (s *session) proceed(reason *Error) {
	c := s.conn
	c.connMu.Lock()
	var gone []*Link
	if !c.closing {
		s.release()
		if reason != nil && !s.ended {
			gone = s.end(reason)
		}
	}
	c.connMu.Unlock()
	notifyAll(gone)
}

// release sends the frames that were held back since the session began.
func (s *session) release() {
	s.held = false
	s.conn.out = append(s.conn.out, s.late...)
	s.late = nil
	for _, l := range s.links {
		s.conn.makeReady(l)
	}
	s.conn.signal()
}

func notifyAll(gone []*Link) {
	for _, l := range gone {
		l.notifyClosed()
	}
}
