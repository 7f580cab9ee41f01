package amqp

import (
	"encoding/binary"
	"math"
)

// SettleMode is how a sender settles: 0 unsettled, 1 settled, 2 mixed.
type SettleMode = byte

// Settle modes of a sender.
const (
	SettleModeUnsettled SettleMode = 0
	SettleModeSettled   SettleMode = 1
	SettleModeMixed     SettleMode = 2
)

type linkState byte

const (
	linkPending  linkState = iota // neither accepted nor refused yet
	linkAttached                  // accepted, and both sides may use it
	linkDetached                  // a detach frame was sent; the peer's is waited for
	linkGone                      // the link, its session or its connection has ended
)

// Outgoing is one message on its way to the peer: its parts are sent one behind the other. They must stay as they are until
// the source is asked for the next one.
type Outgoing struct {
	Format uint32
	Parts  [2][]byte
}

// Source is what a receiving peer reads.
type Source interface {
	// Next fills in the next message, or returns false when there is none now; then it is asked again after [Link.Wake].
	// It is called by one goroutine at a time, must not block, and must not call the connection or its links, but for Wake.
	Next(m *Outgoing) bool
}

// Sink takes what a sending peer sends.
type Sink interface {
	// Deliver takes a message, and must end in one call of a method of d, at once or later, from any goroutine.
	// It is called by one goroutine at a time, and holds up the whole connection while it runs.
	Deliver(d *Delivery)
}

// LinkOptions say how a link is accepted.
type LinkOptions struct {
	Source     Source // if the peer receives
	Sink       Sink   // if the peer sends
	Credit     uint32 // if the peer sends: messages in flight; 0: the connection's
	Properties Map
	Offered    []Symbol
	Closed     func() // called once when the link has ended, unless by Detach; may be nil
}

// Link is a link that the peer has asked for. Its exported fields don't change. Its methods may be called from any goroutine.
type Link struct {
	Name                string
	Receiving           bool // the peer receives on it, and the server sends
	Source, Target      any  // a Described, or nil
	SenderSettleMode    SettleMode
	Properties          Map
	DesiredCapabilities []Symbol

	session   *session
	handle    uint32
	rcvSettle byte
	opts      LinkOptions
	woken     bool // guarded by the connection's wakeMu

	// The rest is guarded by the connection's mu.
	state         linkState
	ready         bool // it is in the connection's list of links that may send
	deliveryCount uint32
	credit        uint32
	drain         bool
	tag           uint64

	current Outgoing // what is being sent
	sending bool     // current is not sent to its end
	sent    int      // bytes of current that were sent
	curID   uint32

	incoming  *Delivery // what is being received
	unsettled uint32    // deliveries whose outcome is not known yet
	sizeHint  int       // bytes of the last message that came in several frames
}

func newLink(s *session, p attachFrame) *Link {
	l := &Link{
		Name: p.name, Receiving: p.peerReceives, Source: p.source, Target: p.target,
		SenderSettleMode: p.sndSettle, session: s, handle: p.handle, rcvSettle: p.rcvSettle,
	}
	l.Properties, _ = p.properties.(Map)
	l.DesiredCapabilities = symbols(p.desired)
	if !l.Receiving {
		l.deliveryCount = p.initialDeliveryCount
	}
	return l
}

// symbols reads a field that holds one symbol or several.
func symbols(v any) (out []Symbol) {
	switch v := v.(type) {
	case Symbol:
		return []Symbol{v}
	case Array:
		for _, e := range v {
			if s, ok := e.(Symbol); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

// Address is the address of the side that is not the peer's: what a receiver reads from, or a sender sends to.
func (l *Link) Address() string {
	if l.Receiving {
		return terminusAddress(l.Source)
	}
	return terminusAddress(l.Target)
}

// PeerAddress is the address of the peer's own side: for a receiver, its target.
func (l *Link) PeerAddress() string {
	if l.Receiving {
		return terminusAddress(l.Target)
	}
	return terminusAddress(l.Source)
}

func terminusAddress(v any) string {
	d, _ := v.(Described)
	if fields, _ := d.Value.([]any); len(fields) > 0 {
		s, _ := fields[0].(string)
		return s
	}
	return ""
}

// Filters are the filters of the source that a receiver asked for, by name.
func (l *Link) Filters() Map {
	const filterField = 7
	d, _ := l.Source.(Described)
	if fields, _ := d.Value.([]any); len(fields) > filterField {
		m, _ := fields[filterField].(Map)
		return m
	}
	return nil
}

// Conn is the connection that the link belongs to.
func (l *Link) Conn() *Conn { return l.session.conn }

// Accept attaches the link. If it has ended meanwhile, o.Closed is called.
func (l *Link) Accept(o LinkOptions) {
	c := l.session.conn
	c.mu.Lock()
	l.opts = o
	if l.state != linkPending || c.closing {
		c.mu.Unlock()
		l.notifyClosed()
		return
	}
	l.state = linkAttached
	l.sendAttach(l.Source, l.Target)
	if l.Receiving {
		c.makeReady(l)
	} else {
		if l.opts.Credit == 0 {
			l.opts.Credit = c.cfg.Credit
		}
		l.grant()
	}
	c.mu.Unlock()
}

// Refuse answers that the link can't be had, and why.
func (l *Link) Refuse(reason *Error) {
	c := l.session.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.state == linkPending && !c.closing {
		l.refuse(reason)
	}
}

// refuse attaches without a terminus, and detaches: part 2, section 2.6.3 of the specification. Both are left out,
// or go-amqp (link.go) takes the link for attached.
func (l *Link) refuse(reason *Error) {
	l.sendAttach(nil, nil)
	l.detach(reason)
}

// Detach ends the link from this side, with a reason. LinkOptions.Closed is not called.
func (l *Link) Detach(reason *Error) {
	c := l.session.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case l.state != linkAttached:
	case c.closing: // nothing may be sent any more
		l.state = linkDetached
	default:
		l.detach(reason)
	}
}

func (l *Link) detach(reason *Error) {
	l.session.conn.flushSettled()
	l.sendDetach(reason)
	l.state = linkDetached
	l.current, l.sending, l.incoming = Outgoing{}, false, nil
}

func (l *Link) notifyClosed() {
	if l.opts.Closed != nil {
		l.opts.Closed()
	}
}

func (l *Link) sendAttach(source, target any) {
	l.session.frame(descAttach, 14, func(b []byte) []byte {
		b = appendVariable(b, codeStr8, l.Name)
		b = appendUint(b, l.handle)
		b = appendBool(b, !l.Receiving) // role: true is receiver
		b = append(b, codeUbyte, l.SenderSettleMode, codeUbyte, l.rcvSettle)
		b = appendEchoed(b, source)
		b = appendEchoed(b, target)
		b = append(b, codeNull, codeFalse) // unsettled, incomplete-unsettled
		if l.Receiving {
			b = appendUint(b, l.deliveryCount)
		} else {
			b = append(b, codeNull)
		}
		b = appendUlong(b, l.maxMessageSize())
		b = appendEchoed(b, l.opts.Offered)
		b = append(b, codeNull) // desired-capabilities
		if l.opts.Properties == nil {
			return append(b, codeNull)
		}
		return appendEchoed(b, l.opts.Properties)
	})
}

// maxMessageSize is what the attach frame tells. Nothing bounds what is sent: messages come with more annotations than they
// were taken with, and go-amqp (receiver.go) breaks off a message that is larger than this.
func (l *Link) maxMessageSize() uint64 {
	if l.Receiving {
		return math.MaxUint64
	}
	return l.session.conn.cfg.MaxMessageSize
}

// appendEchoed encodes a value that was decoded from the peer or made here; what can't be encoded is left out.
func appendEchoed(b []byte, v any) []byte {
	if s, ok := v.([]Symbol); ok && s == nil {
		v = nil
	}
	out, err := Append(b, v)
	if err != nil {
		return append(b, codeNull)
	}
	return out
}

func (l *Link) sendDetach(reason *Error) {
	l.session.frame(descDetach, 3, func(b []byte) []byte {
		b = appendUint(b, l.handle)
		b = append(b, codeTrue) // closed
		return reason.append(b)
	})
}

// flow takes the credit that a receiving peer gives, and answers an echo.
func (l *Link) flow(p flowFrame) {
	if l.state > linkAttached {
		return
	}
	if l.Receiving {
		if !p.hasDeliveryCount { // the peer has not seen our attach frame yet, in which the count is 0
			p.deliveryCount = 0
		}
		l.credit = remaining(p.deliveryCount, p.linkCredit, l.deliveryCount)
		l.drain = p.drain
		l.session.conn.makeReady(l)
	}
	if p.echo && !p.drain { // a drain is answered once it is done
		l.session.sendFlow(l)
	}
}

// remaining returns what is left of an allowance that was given when the peer's count was at given, and is at now here.
// Counts are serial numbers: they wrap around.
func remaining(given, allowance, now uint32) uint32 {
	left := int64(allowance) - int64(int32(now-given))
	return uint32(min(max(left, 0), 1<<32-1))
}

// pull queues frames of what the source has, and reports whether it may have more that can be sent.
func (l *Link) pull() (more bool) {
	s := l.session
	for range perTurn {
		if l.state != linkAttached {
			return false
		}
		if !l.sending && l.credit == 0 {
			l.drained()
			return false
		}
		if s.remoteWindow == 0 {
			return false
		}
		if !l.sending {
			if !l.opts.Source.Next(&l.current) {
				l.drained()
				return false
			}
			l.sending, l.sent = true, 0
			l.curID = s.nextDeliveryID
			s.nextDeliveryID++
			l.deliveryCount++
			l.credit--
			l.tag++
		}
		l.sendTransfers()
		if l.sending || len(s.conn.out) >= writeTarget {
			return true
		}
	}
	return true
}

// drained uses up the credit that a draining peer gave and nothing is there for, and says so.
// A peer that takes back all credit waits for that answer too: go-amqp drains with a credit of 0 (creditor.go).
func (l *Link) drained() {
	if !l.drain {
		return
	}
	l.deliveryCount += l.credit
	l.credit = 0
	l.session.sendFlow(l)
	l.drain = false
}

// sendTransfers queues the current message in as many frames as the peer's frame size asks for and its window allows.
func (l *Link) sendTransfers() {
	s := l.session
	total := len(l.current.Parts[0]) + len(l.current.Parts[1])
	for l.sending && s.remoteWindow > 0 {
		b, start := beginFrame(s.conn.out, frameAMQP, s.channel)
		b = l.appendTransfer(b)
		moreAt := len(b) - 1 - afterMore
		n := min(total-l.sent, int(s.conn.maxFrameSize)-(len(b)-start))
		b = l.appendBody(b, n)
		l.sent += n
		if l.sent < total {
			b[moreAt] = codeTrue
		} else {
			l.sending = false
		}
		s.conn.out = endFrame(b, start)
		s.nextOutgoingID++
		s.remoteWindow--
	}
}

// appendTransfer appends a transfer performative. The field more is set to false, and those after it are null: a byte each.
func (l *Link) appendTransfer(b []byte) []byte {
	b = append(b, codeDescribed, codeSmallUlong, descTransfer, codeList8, 0, transferFields)
	start := len(b) - 1
	b = appendUint(b, l.handle)
	b = appendUint(b, l.curID)
	b = binary.BigEndian.AppendUint64(append(b, codeBin8, 8), l.tag)
	b = appendUint(b, l.current.Format)
	b = appendBool(b, l.SenderSettleMode != SettleModeUnsettled)
	b = appendNulls(append(b, codeFalse), afterMore)
	b[start-1] = byte(len(b) - start)
	return b
}

// appendBody appends n bytes of the current message from where it was left.
func (l *Link) appendBody(b []byte, n int) []byte {
	at := l.sent
	for _, part := range l.current.Parts {
		if at >= len(part) {
			at -= len(part)
			continue
		}
		take := min(n, len(part)-at)
		b = append(b, part[at:at+take]...)
		n -= take
		at = 0
	}
	return b
}
