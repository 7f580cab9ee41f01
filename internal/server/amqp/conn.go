package amqp

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Config holds the limits of a connection. The zero value of a field means the default after its semicolon.
type Config struct {
	ContainerID      string        // the server's name for itself; "server"
	MaxFrameSize     uint32        // bytes of the largest frame taken and sent; 64 KiB
	MaxMessageSize   uint64        // bytes of the largest message taken; 1 MiB
	MaxSessions      uint16        // sessions at once; 5,000
	MaxLinks         int           // links at once, over all sessions; 10,000
	Credit           uint32        // messages without an outcome that a peer may send; 1,000
	IdleTimeout      time.Duration // how long a peer may be silent; 4 minutes
	HandshakeTimeout time.Duration // how long the peer has to send its open frame; 10 s
	WriteTimeout     time.Duration // how long a peer may leave sent bytes unread; 30 s
	MaxHeld          int64         // bytes held for one connection: see Budget; 256 MiB
	Budget           *Budget       // what all connections share; none
	Untrusted        Limits        // lower limits until Conn.Trust is called; none
}

func (c Config) withDefaults() Config {
	setDefault(&c.ContainerID, "server")
	setDefault(&c.MaxFrameSize, 64<<10)
	setDefault(&c.MaxMessageSize, 1<<20)
	setDefault(&c.MaxSessions, 5000)
	setDefault(&c.MaxLinks, 10_000)
	setDefault(&c.Credit, 1000)
	setDefault(&c.IdleTimeout, 4*time.Minute)
	setDefault(&c.HandshakeTimeout, 10*time.Second)
	setDefault(&c.WriteTimeout, 30*time.Second)
	setDefault(&c.MaxHeld, 256<<20)
	c.MaxFrameSize = max(c.MaxFrameSize, minFrameSize)
	return c
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Handler decides what links are for. There is one Handler for each connection.
type Handler interface {
	// Attach is called when the peer asks for a link. It must not block. It must lead to exactly one call of [Link.Accept]
	// or [Link.Refuse], at once or later, from any goroutine.
	Attach(l *Link)
}

const (
	// writeTarget is how many bytes of deliveries are gathered for one write.
	writeTarget = 128 << 10
	// outLimit is how many bytes of answers may wait for a peer that doesn't read. Beyond it, the server reads no more
	// from the peer.
	outLimit = 1 << 20
	// closeTimeout is how long a peer has to take a close frame, and to answer it.
	closeTimeout = 2 * time.Second
)

// Conn is the connection of one peer. Its reader runs in [Conn.Serve], and its writer in a goroutine that Serve waits
// for.
type Conn struct {
	nc      net.Conn
	cfg     Config
	handler Handler
	in      *idleReader
	frames  *frameReader
	account account

	peerIdle    time.Duration
	hostname    string
	containerID string
	properties  Map

	kick    chan struct{} // holds one token while there may be something to write
	aborted chan struct{} // closed by Abort
	abort   sync.Once

	wakeMu sync.Mutex // always locked last, so that Wake can be called with any lock held
	woken  []*Link

	connMu      sync.Mutex
	room        sync.Cond // signalled when the writer has taken out, or has ended
	limits      Limits
	outMax      uint32 // bytes of the largest frame that the peer takes
	out         []byte // frames waiting to be written
	writing     int    // capacity of the buffer that is being written
	outCounted  int    // bytes that the account counts for both buffers
	settling    []*session
	sessions    map[uint16]*session
	links       int
	ready       []*Link // outgoing links that may have something to send
	written     []func()
	closing     bool // a close frame is in out: nothing may follow it
	writerEnded bool
}

// NewConn returns a connection. Its method Serve serves it.
func NewConn(nc net.Conn, cfg Config, h Handler) *Conn {
	c := &Conn{
		nc:       nc,
		cfg:      cfg.withDefaults(),
		handler:  h,
		kick:     make(chan struct{}, 1),
		aborted:  make(chan struct{}),
		sessions: map[uint16]*session{},
		outMax:   minFrameSize,
	}
	c.room.L = &c.connMu
	c.limits = c.cfg.untrusted()
	c.account.max, c.account.budget = c.limits.Bytes, c.cfg.Budget
	c.in = &idleReader{nc: nc}
	c.frames = newFrameReader(c.in, c.cfg.MaxFrameSize)
	c.frames.grown = c.account.take
	return c
}

// Hostname returns the host that the peer named in its open frame.
func (c *Conn) Hostname() string { return c.hostname }

// Properties returns the properties of the peer's open frame, which say which product the peer is.
func (c *Conn) Properties() Map { return c.properties }

// Serve serves the peer until one side closes the connection, the peer breaks the protocol or falls silent, or Abort is
// called. It returns nil after an orderly close.
func (c *Conn) Serve() error {
	defer c.account.end()
	defer c.nc.Close()
	if err := c.handshake(); err != nil {
		return err
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.writerEnds(c.write())
	}()
	err := c.read()
	var reason *Error
	broken := errors.As(err, &reason)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		reason = Errorf(CondResourceLimitExceeded, "the peer was silent for %v", c.cfg.IdleTimeout)
	}
	c.Close(reason)
	<-written
	c.endLinks()
	if broken {
		c.hearOut()
	}
	return err
}

// hearOut reads on until the peer has closed, but not for long. If a socket is closed that has unread bytes, the kernel
// discards what was sent last.
func (c *Conn) hearOut() {
	c.in.last(closeTimeout)
	_, _ = io.Copy(io.Discard, c.in)
}

// Close sends a close frame, with the reason if there is one. The peer has two seconds to take it, and two more to
// answer; then Serve returns in any case.
func (c *Conn) Close(reason *Error) {
	c.connMu.Lock()
	defer c.connMu.Unlock()
	c.closeLocked(reason)
}

func (c *Conn) closeLocked(reason *Error) {
	if c.closing {
		return
	}
	c.flushSettled()
	b, start := beginFrame(c.out, frameAMQP, 0)
	b = appendList(b, descClose, 1, c.fitting(reason).append)
	c.out = endFrame(b, start)
	c.closing = true
	_ = c.nc.SetWriteDeadline(time.Now().Add(closeTimeout)) // also for the write in progress
	c.signal()
}

// Abort closes the socket without a word, as a broken network does.
func (c *Conn) Abort() {
	c.abort.Do(func() { close(c.aborted) })
	c.nc.Close()
}

func (c *Conn) signal() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// endLinks tells the owners of all links that their links have ended.
func (c *Conn) endLinks() {
	c.connMu.Lock()
	var gone []*Link
	for _, s := range c.sessions {
		gone = append(gone, s.endLinks()...)
	}
	c.connMu.Unlock()
	notifyAll(gone)
}

// read handles frames until the connection ends. It returns nil after an orderly close by the peer.
func (c *Conn) read() error {
	for {
		f, err := c.frames.next()
		if err != nil {
			return err
		}
		c.in.alive = true
		if f.kind != frameAMQP {
			return Errorf(CondFramingError, "frame of type %d after the connection was opened", f.kind)
		}
		if len(f.body) == 0 {
			continue // a sign of life
		}
		if closed, err := c.handle(f); err != nil || closed {
			return err
		}
	}
}

// handle acts on one frame.
func (c *Conn) handle(f frame) (closed bool, err error) {
	r := reader{f.body}
	descriptor, body, err := readComposite(&r)
	if err != nil {
		return false, decodeError("frame", err)
	}
	c.connMu.Lock()
	for len(c.out) > outLimit && !c.writerEnded {
		c.room.Wait()
	}
	if c.closing {
		c.connMu.Unlock()
		return descriptor == descClose, nil
	}
	var after effects
	switch descriptor {
	case descClose:
		after.held = c.hold(&Request{Step: StepClose})
		closed = after.held == nil
	case descBegin:
		after, err = c.begin(f.channel, body)
	default:
		s := c.sessions[f.channel]
		if s == nil {
			err = Errorf(CondNotAllowed, "frame 0x%02x on channel %d, where no session was begun", descriptor, f.channel)
			break
		}
		after, err = s.handle(descriptor, body, r.buf)
	}
	if err == nil {
		err = asFailure(c.countOut())
	}
	c.connMu.Unlock()
	after.run(c.handler)
	return closed, err
}

// effects are what a frame leads to outside this package. They happen after the connection's lock is released, so that
// a Handler, a Sink and LinkOptions.Closed may call back.
type effects struct {
	attach  *Link
	deliver *Delivery
	gone    []*Link
	answer  func() // answers the frame that ended the links in gone
	held    func() // has the Gate decide on a request
}

func (e *effects) run(h Handler) {
	if e.attach != nil {
		h.Attach(e.attach)
	}
	if e.deliver != nil {
		e.deliver.link.opts.Sink.Deliver(e.deliver)
	}
	notifyAll(e.gone)
	if e.answer != nil {
		e.answer()
	}
	if e.held != nil {
		e.held()
	}
}

func (c *Conn) begin(channel uint16, body fields) (after effects, err error) {
	var p beginFrameBody
	if err := p.decode(body); err != nil {
		return after, decodeError("begin", err)
	}
	if channel >= c.cfg.MaxSessions {
		return after, Errorf(CondNotAllowed, "begin on channel %d; the channel-max here is %d", channel, c.cfg.MaxSessions-1)
	}
	if c.sessions[channel] != nil {
		return after, Errorf(CondNotAllowed, "begin on channel %d, which is in use", channel)
	}
	if len(c.sessions) >= c.limits.Sessions {
		return after, Errorf(CondResourceLimitExceeded, "more than %d sessions on this connection", c.limits.Sessions)
	}
	if err := c.account.take(sessionSize); err != nil {
		return after, err
	}
	s := newSession(c, channel, p)
	c.sessions[channel] = s
	after.held = c.hold(&Request{Step: StepBegin, session: s})
	s.held = after.held != nil
	s.sendBegin()
	return after, nil
}

// asFailure keeps a nil *Error from becoming an error that is not nil.
func asFailure(e *Error) error {
	if e == nil {
		return nil
	}
	return e
}

func decodeError(what string, err error) *Error {
	return Errorf(CondDecodeError, "%s: %v", what, err)
}
