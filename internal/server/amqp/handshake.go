package amqp

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	protocolAMQP = 0
	protocolSASL = 3
)

// idleReader fails a read when the peer has been silent for too long.
type idleReader struct {
	nc net.Conn

	// alive reports that a whole frame has come since the deadline was set. Bytes alone don't extend the deadline, or a
	// peer could keep the connection open with a byte now and then. Only the reading goroutine uses it.
	alive bool

	timeoutMu sync.Mutex
	timeout   time.Duration // 0: the deadline that was set before remains
}

func (r *idleReader) Read(b []byte) (int, error) {
	r.timeoutMu.Lock()
	if r.timeout > 0 && r.alive {
		r.alive = false
		_ = r.nc.SetReadDeadline(time.Now().Add(r.timeout)) // if it fails, so does Read
	}
	r.timeoutMu.Unlock()
	return r.nc.Read(b)
}

func (r *idleReader) start(timeout time.Duration) {
	r.timeoutMu.Lock()
	defer r.timeoutMu.Unlock()
	r.timeout = timeout
}

// last allows reads for d and no longer, however busy the peer is.
func (r *idleReader) last(d time.Duration) {
	r.timeoutMu.Lock()
	defer r.timeoutMu.Unlock()
	r.timeout = 0
	_ = r.nc.SetReadDeadline(time.Now().Add(d))
}

// handshake goes through the protocol headers, SASL and the two open frames, all under one deadline.
func (c *Conn) handshake() error {
	if err := c.nc.SetDeadline(time.Now().Add(c.cfg.HandshakeTimeout)); err != nil {
		return err
	}
	id, err := c.frames.protocolHeader()
	if err == nil && id == protocolSASL {
		if err = c.sasl(); err == nil {
			id, err = c.frames.protocolHeader()
		}
	}
	if err == nil && id != protocolAMQP {
		err = errBadProtocol
	}
	if errors.Is(err, errBadProtocol) {
		if c.writeAll(protocolHeader(protocolAMQP)) == nil { // the specification wants this answer before the close
			c.hearOut()
		}
	}
	if err != nil {
		return err
	}
	if err := c.open(); err != nil {
		return err
	}
	c.in.start(c.cfg.IdleTimeout)
	c.in.alive = true
	return c.nc.SetDeadline(time.Time{})
}

func protocolHeader(id byte) []byte { return []byte{'A', 'M', 'Q', 'P', id, 1, 0, 0} }

func (c *Conn) writeAll(b []byte) error {
	_, err := c.nc.Write(b)
	return err
}

// sasl lets the peer choose any mechanism, and believes it: the tokens on $cbs decide who may do what.
func (c *Conn) sasl() error {
	b, start := beginFrame(protocolHeader(protocolSASL), frameSASL, 0)
	b = appendList(b, descSASLMechanisms, 1, func(b []byte) []byte {
		b, _ = Append(b, []Symbol{"MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"})
		return b
	})
	if err := c.writeAll(endFrame(b, start)); err != nil {
		return err
	}
	f, err := c.frames.next()
	if err != nil {
		return err
	}
	r := reader{f.body}
	descriptor, _, err := readComposite(&r)
	if err != nil || f.kind != frameSASL || descriptor != descSASLInit {
		return Errorf(CondFramingError, "no sasl-init after sasl-mechanisms")
	}
	refused, err := c.ask(StepSASL)
	if err != nil {
		return err
	}
	var code byte // ok
	if refused != nil {
		code = saslCode(refused)
	}
	b, start = beginFrame(nil, frameSASL, 0)
	b = appendList(b, descSASLOutcome, 1, func(b []byte) []byte { return append(b, codeUbyte, code) })
	if err := c.writeAll(endFrame(b, start)); err != nil || refused == nil {
		return err
	}
	c.hearOut()
	return refused
}

// saslCode returns the SASL outcome that stands for a reason: part 5, section 5.3.3.6 of the specification. SASL can't
// carry the reason itself.
func saslCode(reason *Error) byte {
	const auth, sysPerm, sysTemp = 1, 3, 4
	switch reason.Condition {
	case CondUnauthorized:
		return auth
	case "com.microsoft:server-busy", "com.microsoft:timeout":
		return sysTemp
	}
	return sysPerm
}

// open exchanges the protocol header and the open frames of the AMQP layer.
func (c *Conn) open() error {
	if err := c.writeAll(protocolHeader(protocolAMQP)); err != nil {
		return err
	}
	f, err := c.frames.next()
	if err != nil {
		var broken *Error
		if errors.As(err, &broken) {
			c.refuse(broken)
		}
		return err
	}
	p, reason := decodeOpen(f)
	if reason != nil {
		c.refuse(reason)
		return reason
	}
	if err := c.account.take(len(p.hostname) + len(p.containerID) + sizeOf(p.properties)); err != nil {
		c.refuse(err)
		return err
	}
	refused, err := c.ask(StepOpen)
	if err != nil {
		return err
	}
	if refused != nil {
		c.refuse(refused)
		return refused
	}
	c.connMu.Lock()
	c.outMax = min(p.maxFrameSize, c.cfg.MaxFrameSize)
	c.connMu.Unlock()
	c.peerIdle = time.Duration(p.idleTimeout) * time.Millisecond
	c.hostname, c.containerID = p.hostname, p.containerID
	c.properties, _ = p.properties.(Map)
	return c.writeAll(c.appendOpen(nil))
}

func decodeOpen(f frame) (p openFrame, reason *Error) {
	r := reader{f.body}
	descriptor, body, err := readComposite(&r)
	if err == nil && (f.kind != frameAMQP || descriptor != descOpen) {
		return p, Errorf(CondFramingError, "the first frame is not an open frame")
	}
	if err == nil {
		err = p.decode(body)
	}
	if err != nil {
		return p, decodeError("open", err)
	}
	if p.maxFrameSize < minFrameSize {
		return p, Errorf(CondInvalidField, "max-frame-size %d is below %d", p.maxFrameSize, minFrameSize)
	}
	return p, nil
}

// refuse answers an open frame that the server can't accept.
func (c *Conn) refuse(reason *Error) {
	b := c.appendOpen(nil)
	b, start := beginFrame(b, frameAMQP, 0)
	b = appendList(b, descClose, 1, reason.within(minFrameSize).append)
	if c.writeAll(endFrame(b, start)) == nil {
		c.hearOut()
	}
}

func (c *Conn) appendOpen(b []byte) []byte {
	b, start := beginFrame(b, frameAMQP, 0)
	b = appendList(b, descOpen, 5, func(b []byte) []byte {
		b = appendVariable(b, codeStr8, c.cfg.ContainerID)
		b = append(b, codeNull) // hostname
		b = appendUint(b, c.cfg.MaxFrameSize)
		b = binary.BigEndian.AppendUint16(append(b, codeUshort), c.cfg.MaxSessions-1)
		// The specification asks a peer to announce half of what it tolerates.
		return appendUint(b, uint32(c.cfg.IdleTimeout/2/time.Millisecond))
	})
	return endFrame(b, start)
}
