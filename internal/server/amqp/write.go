package amqp

import (
	"sync"
	"time"
)

// perTurn is how many deliveries a link may send before it is the next link's turn.
const perTurn = 64

// write sends what is queued and what the outgoing links have, until a close frame is sent or a write fails.
func (c *Conn) write() error {
	var alive <-chan time.Time
	if c.peerIdle > 0 {
		t := time.NewTicker(max(c.peerIdle/4, time.Millisecond))
		defer t.Stop()
		alive = t.C
	}
	var buf []byte
	wrote := false
	for {
		c.connMu.Lock()
		c.collectWoken()
		c.flushSettled()
		closing := c.closing
		if !closing {
			c.pull()
		}
		buf, c.out = c.out, buf[:0]
		written := c.written
		c.written = nil
		c.writing = cap(buf)
		if len(buf) == 0 { // the next frame may come much later
			buf, c.out, c.writing = spare(buf), spare(c.out), 0
		}
		if err := c.countOut(); err != nil {
			c.closeLocked(err)
		}
		c.room.Broadcast()
		c.connMu.Unlock()

		if len(buf) > 0 {
			if err := c.send(buf); err != nil {
				return err
			}
			wrote = true
			for _, f := range written {
				f()
			}
			if cap(buf) > largeBuffer {
				buf = nil
			}
			if !closing {
				continue
			}
		}
		if closing {
			return nil
		}
		select {
		case <-c.kick:
		case <-alive:
			if !wrote {
				b, start := beginFrame(nil, frameAMQP, 0)
				if err := c.send(endFrame(b, start)); err != nil {
					return err
				}
			}
			wrote = false
		}
	}
}

// buffers shares buffers for deliveries between connections: one that has nothing to send holds none.
var buffers sync.Pool

// A connection that has nothing to send keeps a buffer of at most smallBuffer bytes. No buffer of more than largeBuffer
// bytes is kept at all.
const (
	smallBuffer = 4 << 10
	largeBuffer = 4 * writeTarget
)

// spare gives a buffer to other connections, unless it is small or very large. It returns the buffer that the
// connection keeps.
func spare(b []byte) []byte {
	if cap(b) <= smallBuffer {
		return b
	}
	if cap(b) <= largeBuffer {
		buffers.Put(&b)
	}
	return nil
}

func (c *Conn) send(b []byte) error {
	c.connMu.Lock()
	timeout := c.cfg.WriteTimeout
	if c.closing {
		timeout = closeTimeout
	}
	err := c.nc.SetWriteDeadline(time.Now().Add(timeout))
	c.connMu.Unlock()
	if err != nil {
		return err
	}
	return c.writeAll(b)
}

// writerEnds makes the reader end, too. If our close frame was sent, the reader has two seconds to see the peer's; if
// the socket is broken, none.
func (c *Conn) writerEnds(err error) {
	c.connMu.Lock()
	c.writerEnded = true
	c.room.Broadcast()
	c.connMu.Unlock()
	if err != nil {
		c.nc.Close() // without the lock: TLS sends a good-bye, which blocks if nobody reads
		return
	}
	c.in.last(closeTimeout)
}

// Wake tells the connection that the source of an outgoing link has something again. It never blocks, and may be called
// with any lock held.
func (l *Link) Wake() {
	c := l.session.conn
	c.wakeMu.Lock()
	if !l.woken {
		l.woken = true
		c.woken = append(c.woken, l)
	}
	c.wakeMu.Unlock()
	c.signal()
}

func (c *Conn) collectWoken() {
	c.wakeMu.Lock()
	for _, l := range c.woken {
		l.woken = false
		c.makeReady(l)
	}
	clear(c.woken)
	c.woken = c.woken[:0]
	c.wakeMu.Unlock()
}

// sends reports whether the link may send messages.
func (l *Link) sends() bool { return l.state == linkAttached && !l.muted && !l.session.held }

func (c *Conn) makeReady(l *Link) {
	if l.ready || !l.sends() || l.opts.Source == nil {
		return
	}
	l.ready = true
	c.ready = append(c.ready, l)
}

// pull queues deliveries of the ready links in turn, until there is enough for one write or nothing is left to send.
func (c *Conn) pull() {
	if len(c.ready) > 0 && len(c.out) == 0 && cap(c.out) <= smallBuffer {
		if b, ok := buffers.Get().(*[]byte); ok {
			c.out = (*b)[:0]
		}
	}
	for turns := len(c.ready); len(c.ready) > 0 && len(c.out) < writeTarget && !c.closing; {
		l := c.ready[0]
		c.ready = c.ready[1:]
		if l.pull() {
			c.ready = append(c.ready, l)
		} else {
			l.ready = false
		}
		if turns--; turns == 0 { // reuse the front of the slice
			c.ready = append(make([]*Link, 0, len(c.ready)+1), c.ready...)
			turns = len(c.ready)
		}
	}
	if len(c.ready) > 0 {
		c.signal()
	}
}
