package amqp

// Delivery is a message that a peer has sent. Exactly one of Accept, Reject and Drop must be called, once.
type Delivery struct {
	// Format is the message-format of the transfer.
	Format uint32
	// Payload is the encoded message. It belongs to the receiver of the Delivery.
	Payload []byte

	link    *Link
	id      uint32
	settled bool   // the peer wants no answer
	size    uint64 // bytes of the message so far
	counted int    // bytes that the connection's account counts for the incomplete message
}

// transfer takes one frame of a message. It returns the message once it is complete, or why the link must end
// (refused), or why the connection must (err).
func (l *Link) transfer(p transferFrame, payload []byte) (d *Delivery, refused *Error, err error) {
	if l.state != linkAttached { // the peer may not know yet that the link is detached
		return nil, nil, nil
	}
	if l.incoming == nil {
		if refused := l.first(p); refused != nil {
			return nil, refused, nil
		}
	}
	d = l.incoming
	if p.hasDeliveryID && p.deliveryID != d.id {
		return nil, Errorf(CondInvalidField, "a transfer of delivery %d inside delivery %d", p.deliveryID, d.id), nil
	}
	if p.aborted {
		l.dropIncoming()
		l.grant()
		return nil, nil, nil
	}
	d.settled = d.settled || p.settled
	if err := d.gather(payload, p.more); err != nil {
		return nil, nil, err
	}
	if p.more {
		return nil, nil, nil
	}
	l.dropIncoming()
	if d.tooBig() {
		l.refuseTooBig(d)
		return nil, nil, nil
	}
	if len(d.Payload) > len(payload) {
		l.sizeHint = len(d.Payload)
	}
	l.unsettled++
	return d, nil, nil
}

// first begins a message, or returns why there can't be one.
func (l *Link) first(p transferFrame) *Error {
	if l.credit == 0 {
		return Errorf(CondTransferLimitExceeded, "a message was sent without credit")
	}
	if !p.hasDeliveryID {
		return Errorf(CondInvalidField, "the first transfer of a message has no delivery-id")
	}
	l.credit--
	l.deliveryCount++
	l.incoming = &Delivery{link: l, id: p.deliveryID, Format: p.messageFormat}
	return nil
}

// gather adds the payload of one frame to the message. It counts what the connection holds while more is to come.
func (d *Delivery) gather(payload []byte, more bool) error {
	c := d.link.session.conn
	d.size += uint64(len(payload))
	if d.tooBig() {
		d.Payload = nil
	} else {
		if more && d.Payload == nil {
			d.Payload = make([]byte, 0, d.link.room(2*len(payload)))
		}
		d.Payload = append(d.Payload, payload...)
	}
	if !more || cap(d.Payload) == d.counted {
		return nil
	}
	return asFailure(c.account.change(&d.counted, cap(d.Payload)))
}

// dropIncoming discards the message that is being received.
func (l *Link) dropIncoming() {
	if l.incoming != nil && l.incoming.counted > 0 {
		l.session.conn.account.give(l.incoming.counted)
	}
	l.incoming = nil
}

func (d *Delivery) tooBig() bool { return d.size > d.link.session.conn.cfg.MaxMessageSize }

// refuseTooBig rejects a message in the words of the service. The link stays attached: JavaScript's client waits for
// the outcome even if its link is gone.
func (l *Link) refuseTooBig(d *Delivery) {
	if !d.settled {
		l.session.sendDisposition(true, d.id, d.id, descRejected, Errorf(CondMessageSizeExceeded,
			"The received message (delivery-id:%d, size:%d bytes) exceeds the limit (%d bytes) currently allowed on the link.",
			d.id, d.size, l.session.conn.cfg.MaxMessageSize))
	}
	l.grant()
}

// room returns how many bytes to allocate when a message comes in several frames: at least n. It expects the size of
// the previous such message and an eighth more, so that most messages are gathered without another copy.
func (l *Link) room(n int) int {
	guess := uint64(max(l.sizeHint+l.sizeHint/8, n))
	return int(min(guess, max(l.session.conn.cfg.MaxMessageSize, uint64(n))))
}

// grant gives a sending peer new credit once half of it is used up.
func (l *Link) grant() {
	if l.state != linkAttached || l.Receiving {
		return
	}
	free := l.opts.Credit - min(l.opts.Credit, l.unsettled)
	if free <= l.credit || free-l.credit < l.opts.Credit-l.opts.Credit/2 {
		return
	}
	l.credit = free
	l.session.sendFlow(l)
}

// Link returns the link that the message came on.
func (d *Delivery) Link() *Link { return d.link }

// Accept tells the peer that its message was accepted.
func (d *Delivery) Accept() { d.settle(func(s *session) { s.accept(d.id) }) }

// Reject tells the peer that its message was refused, and why.
func (d *Delivery) Reject(reason *Error) {
	d.settle(func(s *session) { s.sendDisposition(true, d.id, d.id, descRejected, s.conn.fitting(reason)) })
}

// Drop never answers, as if the answer were lost.
func (d *Delivery) Drop() { d.settle(nil) }

func (d *Delivery) settle(answer func(*session)) {
	s := d.link.session
	s.conn.connMu.Lock()
	defer s.conn.connMu.Unlock()
	d.link.unsettled--
	if s.ended || s.conn.closing || d.link.state != linkAttached {
		return
	}
	if answer != nil && !d.settled {
		answer(s)
	}
	d.link.grant()
}
