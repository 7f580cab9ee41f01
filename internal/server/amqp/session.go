package amqp

import "encoding/binary"

const (
	// windowSize is how many transfer frames a peer may send before it must get a new window.
	windowSize = 5000
	// handleMax is the highest handle in a session.
	handleMax = 1023
	// aroundName is more than the bytes of an attach frame that refuses a link, without the link's name.
	aroundName = 80
)

// session is one session of a connection. The connection's lock guards it.
type session struct {
	conn    *Conn
	channel uint16
	links   map[uint32]*Link // by handle; both sides use the number that the peer chose
	ended   bool             // one side has sent an end frame, and the other has yet to
	held    bool             // the answer to begin is held back, and so are all later frames
	late    []byte           // the frames held back

	nextIncomingID uint32
	incomingWindow uint32
	nextOutgoingID uint32
	remoteWindow   uint32 // how many more transfer frames the peer takes
	nextDeliveryID uint32

	accepted struct { // accepted deliveries of which the peer has not been told
		any         bool
		first, last uint32
	}
}

func newSession(c *Conn, channel uint16, p beginFrameBody) *session {
	return &session{
		conn: c, channel: channel, links: map[uint32]*Link{},
		nextIncomingID: p.nextOutgoingID, incomingWindow: windowSize, remoteWindow: p.incomingWindow,
	}
}

// frame queues a frame of this session: a performative with n fields, which body appends. It reports whether the peer
// takes frames of that size; if not, nothing is sent. A frame always fits unless it repeats something from the peer or
// from a Handler; errors are shortened to fit.
func (s *session) frame(descriptor byte, n int, body func([]byte) []byte) bool {
	c, out := s.conn, &s.conn.out
	if s.held {
		out = &s.late
	}
	b, start := beginFrame(*out, frameAMQP, s.channel)
	b = endFrame(appendList(b, descriptor, n, body), start)
	if len(b)-start > int(c.outMax) {
		*out = b[:start]
		return false
	}
	*out = b
	c.signal()
	return true
}

func (s *session) sendBegin() {
	s.frame(descBegin, 5, func(b []byte) []byte {
		b = binary.BigEndian.AppendUint16(append(b, codeUshort), s.channel)
		b = appendUint(b, s.nextOutgoingID)
		b = appendUint(b, s.incomingWindow)
		b = appendUint(b, windowSize)
		return appendUint(b, handleMax)
	})
}

// end closes the session from this side. The peer's own end frame removes it.
func (s *session) end(reason *Error) []*Link {
	s.conn.flushSettled()
	s.frame(descEnd, 1, s.conn.fitting(reason).append)
	s.ended = true
	return s.endLinks()
}

// endLinks removes the links, and returns those whose owners must be told.
func (s *session) endLinks() (gone []*Link) {
	for _, l := range s.links {
		if l.state == linkAttached {
			gone = append(gone, l)
		}
		s.gone(l)
	}
	s.links = map[uint32]*Link{}
	return gone
}

// gone is called when a link leaves the session's map.
func (s *session) gone(l *Link) {
	l.drop()
	l.state = linkGone
	s.conn.links--
	s.conn.account.give(l.size)
}

// remove removes the session once both sides have ended it.
func (s *session) remove() {
	delete(s.conn.sessions, s.channel)
	s.conn.account.give(sessionSize)
}

// handle acts on a frame of this session. payload is what comes after the performative.
func (s *session) handle(descriptor uint64, body fields, payload []byte) (after effects, err error) {
	if s.ended {
		if descriptor == descEnd {
			s.remove()
		}
		return after, nil
	}
	if len(s.late) > outLimit {
		return after, Errorf(CondResourceLimitExceeded,
			"more than %d bytes of answers wait for the session to begin", outLimit)
	}
	switch descriptor {
	case descAttach:
		return s.attach(body)
	case descFlow:
		return s.flow(body)
	case descTransfer:
		return s.transfer(body, payload)
	case descDisposition:
		return after, s.disposition(body)
	case descDetach:
		return s.detach(body)
	case descEnd:
		if after.held = s.conn.hold(&Request{Step: StepEnd, session: s}); after.held != nil {
			return after, nil
		}
		after.gone = s.leave()
		after.answer = func() { s.farewell(nil) }
		return after, nil
	}
	return after, Errorf(CondNotImplemented, "frame 0x%02x is unknown", descriptor)
}

func (s *session) attach(body fields) (after effects, err error) {
	var p attachFrame
	if err := p.decode(body); err != nil {
		return after, decodeError("attach", err)
	}
	switch {
	case p.handle > handleMax:
		after.gone = s.end(Errorf(CondNotAllowed, "handle %d; the handle-max here is %d", p.handle, handleMax))
	case s.links[p.handle] != nil:
		after.gone = s.end(Errorf(CondHandleInUse, "handle %d of link %q is in use", p.handle, p.name))
	case s.conn.links >= s.conn.limits.Links: // a refused link would have to be held until the peer detaches it
		after.gone = s.end(Errorf(CondResourceLimitExceeded, "more than %d links on this connection", s.conn.limits.Links))
	case len(p.name) > int(s.conn.outMax)-aroundName: // it could not even be refused
		after.gone = s.end(Errorf(CondNotAllowed, "the link's name of %d bytes doesn't fit frames of %d bytes, which is "+
			"the peer's max-frame-size",
			len(p.name), s.conn.outMax))
	default:
		l := newLink(s, p)
		if err := s.conn.account.take(l.size); err != nil {
			return after, err
		}
		s.links[p.handle] = l
		s.conn.links++
		after.attach = l
	}
	return after, nil
}

func (s *session) detach(body fields) (after effects, err error) {
	var p detachFrame
	if err := p.decode(body); err != nil {
		return after, decodeError("detach", err)
	}
	l := s.links[p.handle]
	if l == nil {
		after.gone = s.end(Errorf(CondUnattachedHandle, "detach of handle %d, which has no link", p.handle))
		return after, nil
	}
	if l.state <= linkAttached {
		after.held = s.conn.hold(&Request{Step: StepDetach, Link: l, session: s})
	}
	if after.held == nil {
		after.gone = s.letGo(l)
		after.answer = func() { l.farewell(nil) }
	}
	return after, nil
}

// letGo ends a link that the peer has detached. It returns the link if its owner must be told. The owner is told before
// the answer is sent, because it may have room for one link only.
func (s *session) letGo(l *Link) (gone []*Link) {
	if l.state == linkAttached {
		gone = []*Link{l}
	}
	l.owed = l.state <= linkAttached || l.muted // the peer doesn't know of a detach while muted
	s.conn.flushSettled()
	delete(s.links, l.handle)
	s.gone(l)
	return gone
}

// farewell answers the detach of a link that letGo has ended, unless the server detached it first.
func (l *Link) farewell(reason *Error) {
	c := l.session.conn
	c.connMu.Lock()
	defer c.connMu.Unlock()
	if l.owed && !l.session.ended && !c.closing {
		l.muted, l.owed = false, false
		l.tellDetached(reason)
	}
}

// leave ends a session that the peer has ended. It returns the links whose owners must be told before farewell answers.
func (s *session) leave() (gone []*Link) {
	s.conn.flushSettled()
	s.ended = true
	return s.endLinks()
}

// farewell answers the end of a session after leave.
func (s *session) farewell(reason *Error) {
	c := s.conn
	c.connMu.Lock()
	defer c.connMu.Unlock()
	if !c.closing {
		s.frame(descEnd, 1, c.fitting(reason).append)
	}
	s.remove()
}

func (s *session) flow(body fields) (after effects, err error) {
	var p flowFrame
	if err := p.decode(body); err != nil {
		return after, decodeError("flow", err)
	}
	next := p.nextIncomingID
	if !p.hasNextIncomingID { // the peer has not seen our begin frame yet, in which ids start at 0
		next = 0
	}
	s.remoteWindow = remaining(next, p.incomingWindow, s.nextOutgoingID)
	for _, l := range s.links {
		s.conn.makeReady(l)
	}
	s.conn.signal()
	if !p.hasHandle {
		if p.echo {
			s.sendFlow(nil)
		}
		return after, nil
	}
	l := s.links[p.handle]
	if l == nil {
		after.gone = s.end(Errorf(CondUnattachedHandle, "flow for handle %d, which has no link", p.handle))
		return after, nil
	}
	l.flow(p)
	return after, nil
}

// sendFlow tells the peer the session's windows and, if a link is given, its credit.
func (s *session) sendFlow(l *Link) {
	if l != nil && l.muted {
		return
	}
	n := 4
	if l != nil {
		n = 9
	}
	s.incomingWindow = windowSize
	s.frame(descFlow, n, func(b []byte) []byte {
		b = appendUint(b, s.nextIncomingID)
		b = appendUint(b, s.incomingWindow)
		b = appendUint(b, s.nextOutgoingID)
		b = appendUint(b, windowSize)
		if l == nil {
			return b
		}
		b = appendUint(b, l.handle)
		b = appendUint(b, l.deliveryCount)
		b = appendUint(b, l.credit)
		b = append(b, codeNull) // available
		return appendBool(b, l.drain)
	})
}

func (s *session) transfer(body fields, payload []byte) (after effects, err error) {
	var p transferFrame
	if err := p.decode(body); err != nil {
		return after, decodeError("transfer", err)
	}
	s.nextIncomingID++
	// The window never gets to 0, because only the credit of its links is meant to hold a peer up.
	if s.incomingWindow--; s.incomingWindow < windowSize/2 {
		s.sendFlow(nil)
	}
	l := s.links[p.handle]
	if l == nil || l.Receiving {
		after.gone = s.end(Errorf(CondUnattachedHandle, "transfer on handle %d, which has no link to send on", p.handle))
		return after, nil
	}
	var refused *Error
	if after.deliver, refused, err = l.transfer(p, payload); refused != nil {
		after.gone = []*Link{l}
		l.detach(refused)
	}
	return after, err
}

// disposition handles the outcomes of what was sent. Only a receiver that settles second waits for an answer.
func (s *session) disposition(body fields) error {
	var p dispositionFrame
	if err := p.decode(body); err != nil {
		return decodeError("disposition", err)
	}
	if p.peerReceives && !p.settled {
		s.sendDisposition(false, p.first, p.last, descAccepted, nil)
	}
	return nil
}

// sendDisposition settles deliveries first to last with an outcome.
func (s *session) sendDisposition(receiver bool, first, last uint32, outcome byte, reason *Error) {
	s.frame(descDisposition, 5, func(b []byte) []byte {
		b = appendBool(b, receiver)
		b = appendUint(b, first)
		b = appendUint(b, last)
		b = append(b, codeTrue)
		if outcome == descRejected {
			return appendList(b, outcome, 1, reason.append)
		}
		return append(b, codeDescribed, codeSmallUlong, outcome, codeList0)
	})
}

// accept records that a delivery is accepted. One frame tells the peer about consecutive deliveries.
func (s *session) accept(id uint32) {
	a := &s.accepted
	if a.any && id == a.last+1 {
		a.last = id
		return
	}
	if a.any {
		s.flushAccepted()
	} else {
		s.conn.settling = append(s.conn.settling, s)
	}
	a.any, a.first, a.last = true, id, id
	s.conn.signal()
}

func (s *session) flushAccepted() {
	if s.accepted.any && !s.ended {
		s.sendDisposition(true, s.accepted.first, s.accepted.last, descAccepted, nil)
	}
	s.accepted.any = false
}

// flushSettled queues the dispositions that were held back to be sent together.
func (c *Conn) flushSettled() {
	for _, s := range c.settling {
		s.flushAccepted()
	}
	clear(c.settling)
	c.settling = c.settling[:0]
}
