package memnet

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Conn is one side of a connection. It is a net.Conn, with the methods of a *net.TCPConn that servers use.
// Its methods are safe for concurrent use.
type Conn struct {
	in, out       *stream // in is the other side's out, and out its in
	local, remote *net.TCPAddr
	closed        func(*Conn) // called once, by Close; may be nil
}

// newPair returns the side that dialled and the side that was accepted. What the accepted side sends arrives later by
// delay.
func newPair(local, remote *net.TCPAddr, delay time.Duration) (near, far *Conn) {
	out, in := newStream(0, delay), newStream(delay, 0)
	return &Conn{in: in, out: out, local: local, remote: remote}, &Conn{in: out, out: in, local: remote, remote: local}
}

// LocalAddr returns a *net.TCPAddr.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns a *net.TCPAddr.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// Read returns what has arrived, or waits for it.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	return n, c.opError("read", err)
}

// Write waits until the buffer has taken all of b. The buffer holds 1 MiB.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.out.write(b)
	if err != nil {
		return n, c.opError("write", err)
	}
	return n, nil
}

// Close ends the connection in an orderly way: the peer reads what was written before, and then io.EOF. If the peer
// writes after that, it gets EPIPE.
func (c *Conn) Close() error {
	first := c.in.closeReader()
	c.out.closeWriter()
	if !first {
		return c.opError("close", net.ErrClosed)
	}
	if c.closed != nil {
		c.closed(c)
	}
	return nil
}

// CloseWrite makes the peer read io.EOF after what was written before. The other direction stays open.
func (c *Conn) CloseWrite() error {
	if err := c.out.finish(); err != nil {
		return c.opError("close", err)
	}
	return nil
}

// Cut breaks the connection: what is in flight is lost, and both sides get ECONNRESET at once. If the connection has
// gone silent, the peer doesn't notice.
func (c *Conn) Cut() {
	c.in.cut(&c.in.reader)
	c.out.cut(&c.out.writer)
}

// Silence loses the connection's state, as a NAT does: nothing arrives any more on either side. What is written is lost
// without an error, reads wait for their deadlines, and neither side notices when the other one closes.
func (c *Conn) Silence() {
	c.in.silence()
	c.out.silence()
}

// SetDeadline sets the deadlines of Read and Write, also for calls in progress. The zero time means none.
func (c *Conn) SetDeadline(t time.Time) error {
	err := c.in.setReadDeadline(t)
	if err == nil {
		err = c.out.setWriteDeadline(t)
	}
	return c.setError(err)
}

// SetReadDeadline sets the deadline of Read.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setError(c.in.setReadDeadline(t)) }

// SetWriteDeadline sets the deadline of Write.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setError(c.out.setWriteDeadline(t)) }

func (c *Conn) setError(err error) error {
	if err != nil {
		return &net.OpError{Op: "set", Net: "tcp", Addr: c.local, Err: err}
	}
	return nil
}

// opError wraps an error as package net does.
func (c *Conn) opError(op string, err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = sysErr(op, errno)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// sysErr returns the error of a system call.
func sysErr(call string, errno syscall.Errno) error { return os.NewSyscallError(call, errno) }
