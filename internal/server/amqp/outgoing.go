package amqp

import "encoding/binary"

// Outgoing is one message to the peer. Its parts are sent one after the other, and must not change until the source is
// asked for the next message.
type Outgoing struct {
	Format uint32
	Parts  [2][]byte
	// Written is called when the socket has taken the whole message, unless the connection ends before. It must not block.
	// It may be nil.
	Written func()
}

// Source supplies what a receiving peer reads.
type Source interface {
	// Next fills in the next message, or returns false if there is none now; then it is called again after [Link.Wake].
	// One goroutine at a time calls it. It must not block, and must not call the connection or its links, except for Wake.
	Next(m *Outgoing) bool
}

// pull queues frames of the source's messages, and reports whether there may be more to send.
func (l *Link) pull() (more bool) {
	s := l.session
	for range perTurn {
		if !l.sends() {
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

// drained answers a draining peer once the source has nothing for the rest of its credit: the credit is used up. A peer
// that takes back all credit waits for that answer, too: go-amqp drains with a credit of 0 (creditor.go).
func (l *Link) drained() {
	if !l.drain {
		return
	}
	l.deliveryCount += l.credit
	l.credit = 0
	l.session.sendFlow(l)
	l.drain = false
}

// sendTransfers queues the current message in as many frames as the peer's frame size requires and its window allows.
func (l *Link) sendTransfers() {
	s := l.session
	total := len(l.current.Parts[0]) + len(l.current.Parts[1])
	for l.sending && s.remoteWindow > 0 {
		b, start := beginFrame(s.conn.out, frameAMQP, s.channel)
		b = l.appendTransfer(b)
		moreAt := len(b) - 1 - afterMore
		n := min(total-l.sent, int(s.conn.outMax)-(len(b)-start))
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
	waits := 0
	if l.sending {
		waits = total
	} else {
		if l.current.Written != nil {
			s.conn.written = append(s.conn.written, l.current.Written)
		}
		l.current = Outgoing{} // release its memory: the next message may come much later
	}
	if waits != l.stalled {
		if err := s.conn.account.change(&l.stalled, waits); err != nil {
			s.conn.closeLocked(err)
		}
	}
}

// appendTransfer appends a transfer performative. The field more is false, and the fields after it are null: one byte
// each.
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

// appendBody appends the next n bytes of the current message.
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
