package eventhubstest

import (
	"net"
	"os"
	"sync"
	"time"
)

const (
	// maxUnderway bounds the bytes in flight on a delayed connection. Beyond it, Write blocks, as it does on a socket
	// whose buffer is full.
	maxUnderway = 64 << 20
	// flushTimeout is how long Close waits, beyond the delay, for the peer to take what was written before.
	flushTimeout = 100 * time.Millisecond
)

// delayListener delays what the server writes to its connections.
type delayListener struct {
	net.Listener
	delay time.Duration
}

func (l delayListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newDelayConn(nc, l.delay), nil
}

// delayConn is a connection whose peer gets everything later by a fixed time: in order, complete, and as fast as the
// socket takes it.
type delayConn struct {
	net.Conn
	delay  time.Duration
	ended  chan struct{} // closed when the goroutine that writes to the socket has ended
	expire *time.Timer   // wakes at the deadline
	once   sync.Once
	closed error // the result of closing the socket

	queueMu  sync.Mutex
	changed  sync.Cond
	queue    []parcel
	underway int       // bytes not written to the socket yet
	deadline time.Time // of Write; zero: none
	closing  bool
	err      error // the error of writing to the socket
}

// parcel holds the bytes of one Write, and when they are due.
type parcel struct {
	due   time.Time
	bytes []byte
}

// newDelayConn returns a connection over nc. It starts a goroutine, which Close ends.
func newDelayConn(nc net.Conn, delay time.Duration) *delayConn {
	c := &delayConn{Conn: nc, delay: delay, ended: make(chan struct{})}
	c.changed.L = &c.queueMu
	c.expire = time.AfterFunc(time.Hour, c.wake)
	c.expire.Stop()
	go c.deliver()
	return c
}

// wake makes Write check its deadline. It takes the lock because a Write that has checked already may not be waiting
// yet.
func (c *delayConn) wake() {
	c.queueMu.Lock()
	defer c.queueMu.Unlock()
	c.changed.Broadcast()
}

// Write queues b. It blocks only while too much is in flight.
func (c *delayConn) Write(b []byte) (int, error) {
	c.queueMu.Lock()
	defer c.queueMu.Unlock()
	for {
		switch {
		case c.closing:
			return 0, net.ErrClosed
		case c.err != nil:
			return 0, c.err
		case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
			return 0, os.ErrDeadlineExceeded
		case c.underway < maxUnderway:
			c.queue = append(c.queue, parcel{time.Now().Add(c.delay), append([]byte(nil), b...)})
			c.underway += len(b)
			c.changed.Broadcast()
			return len(b), nil
		}
		c.changed.Wait()
	}
}

// deliver writes parcels to the socket when they are due. It returns when everything is written after Close, or when
// the socket fails.
func (c *delayConn) deliver() {
	defer close(c.ended)
	for {
		c.queueMu.Lock()
		for len(c.queue) == 0 && !c.closing {
			c.changed.Wait()
		}
		queue := c.queue
		c.queue = nil
		c.queueMu.Unlock()
		if len(queue) == 0 {
			return
		}
		for _, p := range queue {
			time.Sleep(time.Until(p.due))
			_, err := c.Conn.Write(p.bytes)
			c.queueMu.Lock()
			c.err = err
			c.underway -= len(p.bytes)
			c.changed.Broadcast()
			c.queueMu.Unlock()
			if err != nil {
				c.Conn.Close() // so that Read fails too
				return
			}
		}
	}
}

// Close delivers what was written before, and then closes the socket.
func (c *delayConn) Close() error {
	c.once.Do(func() {
		c.queueMu.Lock()
		c.closing = true
		c.expire.Stop()
		// if the socket has no deadlines, its writes fail, too
		_ = c.Conn.SetWriteDeadline(time.Now().Add(c.delay + flushTimeout))
		c.changed.Broadcast()
		c.queueMu.Unlock()
		<-c.ended
		c.closed = c.Conn.Close()
	})
	return c.closed
}

// SetWriteDeadline sets the deadline of Write. The socket gets a deadline that is later by the delay.
func (c *delayConn) SetWriteDeadline(t time.Time) error {
	c.queueMu.Lock()
	defer c.queueMu.Unlock()
	if c.closing {
		return net.ErrClosed
	}
	c.deadline = t
	c.expire.Stop()
	if t.IsZero() {
		return c.Conn.SetWriteDeadline(t)
	}
	c.expire.Reset(time.Until(t))
	c.changed.Broadcast()
	return c.Conn.SetWriteDeadline(t.Add(c.delay))
}

// SetDeadline sets the deadlines of Read and Write.
func (c *delayConn) SetDeadline(t time.Time) error {
	if err := c.SetWriteDeadline(t); err != nil {
		return err
	}
	return c.SetReadDeadline(t)
}
