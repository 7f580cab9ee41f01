package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// bufferSize bounds the bytes that are written and not read yet. Beyond it, writes wait.
	bufferSize = 1 << 20
	// delayedSize is the same for a delayed stream, which must not limit the bandwidth.
	delayedSize = 64 << 20
	// keptSize bounds the buffer that a stream keeps while it is empty.
	keptSize = 64 << 10
)

// stream is one direction of a connection: one side writes, and the other reads.
type stream struct {
	delay time.Duration // from a write to its arrival
	back  time.Duration // the delay of the other direction, after which the writer learns that the reader has closed
	size  int           // of the buffer

	bufMu   sync.Mutex // guards what follows
	changed sync.Cond  // for reads and writes that wait

	buf     []byte // unread bytes, from off on
	off     int    // where the unread bytes begin in buf
	arrived int    // how many unread bytes have arrived
	parcels []parcel
	arrival *time.Timer // fires when the first parcel is due; nil: nothing was ever delayed

	reader, writer side
	writing        bool      // a Write is in progress: others wait, so that each is written as a whole
	finished       bool      // the writer will write no more
	ended          bool      // the end has arrived at the reader
	broken         time.Time // when the writer learns that the reader has closed
	silent         bool
}

// side is the state of one of the two sides.
type side struct {
	closed   bool
	reset    bool // by Cut
	deadline time.Time
	expire   *time.Timer // fires at the deadline; nil: there never was one
}

// parcel is what one write sent at once, and when it arrives.
type parcel struct {
	bytes int
	last  bool // nothing follows
	due   time.Time
}

func newStream(delay, back time.Duration) *stream {
	s := &stream{delay: delay, back: back, size: bufferSize}
	if delay > 0 {
		s.size = delayedSize
	}
	s.changed.L = &s.bufMu
	return s
}

// wake makes the waiting calls look at the time. It takes the mutex because a call that has looked already may not be
// waiting yet.
func (s *stream) wake() {
	s.bufMu.Lock()
	defer s.bufMu.Unlock()
	s.changed.Broadcast()
}

// passed reports whether the deadline has passed.
func (e *side) passed() bool { return !e.deadline.IsZero() && !time.Now().Before(e.deadline) }

func (s *stream) read(p []byte) (int, error) {
	s.bufMu.Lock()
	defer s.bufMu.Unlock()
	for {
		switch {
		case s.reader.closed:
			return 0, net.ErrClosed
		case len(p) == 0:
			return 0, nil
		case s.reader.passed():
			return 0, os.ErrDeadlineExceeded
		case s.reader.reset:
			return 0, syscall.ECONNRESET
		case s.arrived > 0:
			return s.takeLocked(p), nil
		case s.ended:
			return 0, io.EOF
		}
		s.changed.Wait() // at most until the deadline, whose timer ends the wait
	}
}

func (s *stream) takeLocked(p []byte) int {
	full := s.unreadLocked() >= s.size
	n := copy(p, s.buf[s.off:s.off+s.arrived])
	s.off += n
	s.arrived -= n
	if s.off == len(s.buf) {
		s.buf, s.off = s.buf[:0], 0
		if cap(s.buf) > keptSize {
			s.buf = nil
		}
	}
	if full {
		s.changed.Broadcast()
	}
	return n
}

func (s *stream) unreadLocked() int { return len(s.buf) - s.off }

func (s *stream) write(p []byte) (n int, err error) {
	s.bufMu.Lock()
	defer s.bufMu.Unlock()
	for s.writing {
		if err := s.refusedLocked(); err != nil {
			return 0, err
		}
		s.changed.Wait() // at most until the deadline, whose timer ends the wait
	}
	s.writing = true
	defer s.writtenLocked()
	for {
		if err := s.refusedLocked(); err != nil {
			return n, err
		}
		k := s.putLocked(p)
		p, n = p[k:], n+k
		if len(p) == 0 {
			return n, nil
		}
		s.changed.Wait() // likewise
	}
}

// refusedLocked returns why nothing can be written, or nil.
func (s *stream) refusedLocked() error {
	switch {
	case s.writer.closed:
		return net.ErrClosed
	case s.writer.passed():
		return os.ErrDeadlineExceeded
	case s.writer.reset:
		return syscall.ECONNRESET
	case s.finished, s.goneLocked() && !time.Now().Before(s.broken):
		return syscall.EPIPE
	}
	return nil
}

// goneLocked reports whether the reader has closed and the writer can learn of it.
func (s *stream) goneLocked() bool { return s.reader.closed && !s.silent }

func (s *stream) writtenLocked() {
	s.writing = false
	s.changed.Broadcast()
}

// putLocked sends as much of p as there is room for, and returns how many bytes that is.
func (s *stream) putLocked(p []byte) int {
	if s.silent || s.reader.closed {
		return len(p)
	}
	n := min(len(p), s.size-s.unreadLocked())
	if n == 0 {
		return 0
	}
	// Make room at the end, unless that copies many bytes to gain few.
	if s.off > 0 && s.off >= len(s.buf)/2 && len(s.buf)+n > cap(s.buf) {
		s.buf = s.buf[:copy(s.buf, s.buf[s.off:])]
		s.off = 0
	}
	s.buf = append(s.buf, p[:n]...)
	s.sendLocked(parcel{bytes: n})
	return n
}

// sendLocked lets a parcel arrive: at once, or after the delay.
func (s *stream) sendLocked(p parcel) {
	if s.delay <= 0 {
		s.arriveLocked(p)
		return
	}
	p.due = time.Now().Add(s.delay)
	s.parcels = append(s.parcels, p)
	switch {
	case s.arrival == nil:
		s.arrival = time.AfterFunc(s.delay, s.arrive)
	case len(s.parcels) == 1:
		s.arrival.Reset(s.delay)
	}
}

// arrive lets all parcels arrive that are due.
func (s *stream) arrive() {
	s.bufMu.Lock()
	defer s.bufMu.Unlock()
	now := time.Now()
	for len(s.parcels) > 0 && !s.parcels[0].due.After(now) {
		s.arriveLocked(s.parcels[0])
		s.parcels = s.parcels[1:]
	}
	if len(s.parcels) > 0 {
		s.arrival.Reset(s.parcels[0].due.Sub(now))
	}
}

func (s *stream) arriveLocked(p parcel) {
	s.arrived += p.bytes
	s.ended = s.ended || p.last
	s.changed.Broadcast()
}

// finish ends the stream: nothing is written after it.
func (s *stream) finish() error {
	s.bufMu.Lock()
	defer s.bufMu.Unlock()
	if s.writer.closed {
		return net.ErrClosed
	}
	s.finishLocked()
	return nil
}

func (s *stream) finishLocked() {
	if s.finished {
		return
	}
	s.finished = true
	if !s.silent {
		s.sendLocked(parcel{last: true})
	}
	s.changed.Broadcast()
}

func (s *stream) closeWriter() {
	s.bufMu.Lock()
	defer s.bufMu.Unlock()
	s.writer.close()
	s.finishLocked()
	s.changed.Broadcast()
}

// closeReader reports whether this is the first call.
func (s *stream) closeReader() bool {
	s.bufMu.Lock()
	defer s.bufMu.Unlock()
	if s.reader.closed {
		return false
	}
	s.reader.close()
	s.broken = time.Now().Add(s.back)
	s.dropLocked()
	s.changed.Broadcast()
	return true
}

func (e *side) close() {
	e.closed = true
	if e.expire != nil {
		e.expire.Stop()
	}
}

// dropLocked discards what nobody will read.
func (s *stream) dropLocked() {
	s.buf, s.off, s.arrived, s.parcels, s.ended = nil, 0, 0, nil, false
	if s.arrival != nil {
		s.arrival.Stop()
	}
}

// cut resets the stream on behalf of the side own. If the stream is silent, the other side does not learn of it.
func (s *stream) cut(own *side) {
	s.bufMu.Lock()
	defer s.bufMu.Unlock()
	own.reset = true
	if !s.silent {
		s.reader.reset, s.writer.reset = true, true
	}
	s.dropLocked()
	s.changed.Broadcast()
}

func (s *stream) silence() {
	s.bufMu.Lock()
	defer s.bufMu.Unlock()
	s.silent = true
	s.dropLocked()
	s.changed.Broadcast() // there is room now for the writes that wait for it
}

func (s *stream) setReadDeadline(t time.Time) error  { return s.setDeadline(&s.reader, t) }
func (s *stream) setWriteDeadline(t time.Time) error { return s.setDeadline(&s.writer, t) }

func (s *stream) setDeadline(e *side, t time.Time) error {
	s.bufMu.Lock()
	defer s.bufMu.Unlock()
	if e.closed {
		return net.ErrClosed
	}
	e.deadline = t
	if e.expire != nil {
		e.expire.Stop()
	}
	if t.IsZero() {
		return nil
	}
	left := time.Until(t)
	switch {
	case left <= 0:
		s.changed.Broadcast()
	case e.expire == nil:
		e.expire = time.AfterFunc(left, s.wake)
	default:
		e.expire.Reset(left)
	}
	return nil
}
