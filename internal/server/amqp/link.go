package amqp

import "math"

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
	linkDetached                  // the server has sent a detach frame, and waits for the peer's
	linkGone                      // the link, its session or its connection has ended
)

// Sink receives what a sending peer sends.
type Sink interface {
	// Deliver takes a message. It must lead to exactly one call of Accept, Reject or Drop of d, at once or later, from any
	// goroutine. One goroutine at a time calls Deliver, and the whole connection waits while it runs.
	Deliver(d *Delivery)
}

// LinkOptions say how a link is accepted.
type LinkOptions struct {
	Source     Source // if the peer receives
	Sink       Sink   // if the peer sends
	Credit     uint32 // if the peer sends: messages in flight; 0: Config.Credit
	Properties Map
	Offered    []Symbol
	Closed     func() // called once when the link has ended, unless by Detach; may be nil
}

// Link is a link that the peer has asked for. Its exported fields don't change. Its methods may be called from any
// goroutine.
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

	// The rest is guarded by the connection's connMu.
	state         linkState
	answered      bool // an attach frame was sent
	muted         bool // nothing is sent
	owed          bool // the peer has detached it, and waits for an answer
	ready         bool // the link is in Conn.ready
	deliveryCount uint32
	credit        uint32
	drain         bool
	tag           uint64

	current Outgoing // what is being sent
	sending bool     // current is not sent completely
	sent    int      // bytes of current that are sent
	stalled int      // bytes that the account counts for current while it waits for the peer's window
	curID   uint32

	incoming  *Delivery // what is being received
	unsettled uint32    // deliveries whose outcome is not known yet
	sizeHint  int       // bytes of the last message that came in several frames
	size      int       // bytes that the account counts for the link itself
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
	l.size = linkSize + len(l.Name)
	for _, v := range []any{p.source, p.target, p.desired, p.properties} {
		l.size += sizeOf(v)
	}
	return l
}

// symbols returns the value of a field that holds one symbol or an array of them.
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

// Address returns the address on the server's side: the source of a receiver, or the target of a sender.
func (l *Link) Address() string {
	if l.Receiving {
		return terminusAddress(l.Source)
	}
	return terminusAddress(l.Target)
}

// PeerAddress returns the address on the peer's side: the target of a receiver, or the source of a sender.
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

// Filters returns the filters of the source that a receiver asked for, by name.
func (l *Link) Filters() Map {
	const filterField = 7
	d, _ := l.Source.(Described)
	if fields, _ := d.Value.([]any); len(fields) > filterField {
		m, _ := fields[filterField].(Map)
		return m
	}
	return nil
}

// Conn returns the connection that the link belongs to.
func (l *Link) Conn() *Conn { return l.session.conn }

// Accept attaches the link. If it has ended meanwhile, o.Closed is called.
func (l *Link) Accept(o LinkOptions) {
	c := l.session.conn
	c.connMu.Lock()
	l.opts = o
	if l.state != linkPending || c.closing {
		c.connMu.Unlock()
		l.notifyClosed()
		return
	}
	if !l.sendAttach(l.Source, l.Target) {
		l.detach(Errorf(CondResourceLimitExceeded,
			"the answer to this attach frame is larger than %d bytes, which is the peer's max-frame-size", c.outMax))
		c.connMu.Unlock()
		l.notifyClosed()
		return
	}
	l.state = linkAttached
	if l.Receiving {
		c.makeReady(l)
	} else {
		if l.opts.Credit == 0 {
			l.opts.Credit = c.cfg.Credit
		}
		l.grant()
	}
	c.connMu.Unlock()
}

// Refuse tells the peer that it can't have the link, and why. A link that was muted before Accept can still be refused:
// then LinkOptions.Closed is not called.
func (l *Link) Refuse(reason *Error) {
	c := l.session.conn
	c.connMu.Lock()
	defer c.connMu.Unlock()
	if c.closing || l.state > linkAttached || l.answered {
		return
	}
	l.muted = false
	l.detach(reason)
}

// Mute hides the link from the peer from now on: the peer is not told that it is attached, and gets nothing that is
// sent on it. This lasts until the link is refused, or the peer detaches it.
func (l *Link) Mute() {
	c := l.session.conn
	c.connMu.Lock()
	defer c.connMu.Unlock()
	l.muted = true
}

// Detach ends the link from this side, with a reason. LinkOptions.Closed is not called.
func (l *Link) Detach(reason *Error) {
	c := l.session.conn
	c.connMu.Lock()
	defer c.connMu.Unlock()
	switch {
	case l.state != linkAttached:
	case c.closing: // nothing may follow the close frame
		l.state = linkDetached
	default:
		l.detach(reason)
	}
}

// detach ends the link from this side.
func (l *Link) detach(reason *Error) {
	l.session.conn.flushSettled()
	l.tellDetached(reason)
	l.state = linkDetached
	l.drop()
}

// tellDetached sends the frames that detach the link. If the peer doesn't know that the link is attached, an attach
// frame without source and target comes first: part 2, section 2.6.3 of the specification. With them, go-amqp (link.go)
// would take the link for attached. Without them the frame fits: session.attach has seen to that.
func (l *Link) tellDetached(reason *Error) {
	if !l.answered {
		l.opts = LinkOptions{Closed: l.opts.Closed}
		l.sendAttach(nil, nil)
	}
	l.sendDetach(reason)
}

// drop discards what is being sent and received.
func (l *Link) drop() {
	l.current, l.sending = Outgoing{}, false
	_ = l.session.conn.account.change(&l.stalled, 0)
	l.dropIncoming()
}

func (l *Link) notifyClosed() {
	if l.opts.Closed != nil {
		l.opts.Closed()
	}
}

// sendAttach sends an attach frame if the peer takes frames of its size, and reports whether it does.
func (l *Link) sendAttach(source, target any) bool {
	if l.muted {
		return true
	}
	l.answered = l.session.frame(descAttach, 14, func(b []byte) []byte {
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
	return l.answered
}

// maxMessageSize is the value of the attach frame. For messages to the peer there is no limit: they have more
// annotations than when they were sent, and go-amqp (receiver.go) refuses a message that is larger than this.
func (l *Link) maxMessageSize() uint64 {
	if l.Receiving {
		return math.MaxUint64
	}
	return l.session.conn.cfg.MaxMessageSize
}

// appendEchoed appends a value that was decoded from the peer or made here, or null if it can't be encoded.
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
	if l.muted {
		return
	}
	l.session.frame(descDetach, 3, func(b []byte) []byte {
		b = appendUint(b, l.handle)
		b = append(b, codeTrue) // closed
		return l.session.conn.fitting(reason).append(b)
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

// remaining returns what is left of an allowance. The peer gave it when its own count was at given; the count here is
// now at now. Counts are serial numbers: they wrap around.
func remaining(given, allowance, now uint32) uint32 {
	left := int64(allowance) - int64(int32(now-given))
	return uint32(min(max(left, 0), 1<<32-1))
}
