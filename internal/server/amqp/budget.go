package amqp

import (
	"sync"
	"sync/atomic"
)

// Limits are what one peer may have at once. A field of 0 means no limit beyond those of [Config].
type Limits struct {
	Sessions int
	Links    int
	Bytes    int64 // what the server holds for it: see [Budget]
}

// Budget bounds the bytes that all connections together make a server hold: incomplete messages, unsent data, buffers,
// and the memory of links, sessions and answers. A message that fits one frame takes nothing from it. It is safe for
// concurrent use.
type Budget struct {
	max  int64
	held atomic.Int64
}

// NewBudget returns a budget of max bytes.
func NewBudget(max int64) *Budget { return &Budget{max: max} }

// Held returns how many bytes are taken now.
func (b *Budget) Held() int64 { return b.held.Load() }

const (
	// share is what a connection gets even if others have used up the budget, so that they can't keep out a peer that
	// needs little.
	share = 128 << 10
	// sessionSize and linkSize are roughly what a session and a link take here and at the Handler, without what the peer
	// gave them.
	sessionSize = 512
	linkSize    = 1 << 10
)

// account counts what one connection has taken of its limit and of the budget that it shares.
type account struct {
	budget *Budget // nil: the connection shares none

	heldMu sync.Mutex
	max    int64
	held   int64
	ended  bool
}

// take counts n more bytes, or returns why the peer can't have them.
func (a *account) take(n int) *Error {
	a.heldMu.Lock()
	defer a.heldMu.Unlock()
	if n <= 0 || a.ended {
		return nil
	}
	held := a.held + int64(n)
	if held > a.max {
		return Errorf(CondResourceLimitExceeded, "more than %d bytes are held for this connection", a.max)
	}
	if b := a.budget; b != nil && b.held.Add(int64(n)) > b.max && held > share {
		b.held.Add(-int64(n))
		return Errorf(CondResourceLimitExceeded, "more than %d bytes are held for all connections", b.max)
	}
	a.held = held
	return nil
}

// give counts n bytes as free again.
func (a *account) give(n int) {
	a.heldMu.Lock()
	defer a.heldMu.Unlock()
	if n > 0 && !a.ended {
		a.giveLocked(int64(n))
	}
}

func (a *account) giveLocked(n int64) {
	a.held -= n
	if a.budget != nil {
		a.budget.held.Add(-n)
	}
}

// change takes or gives the difference between what was counted for something and what it takes now.
func (a *account) change(counted *int, now int) *Error {
	if err := a.take(now - *counted); err != nil {
		return err
	}
	a.give(*counted - now)
	*counted = now
	return nil
}

func (a *account) setMax(max int64) {
	a.heldMu.Lock()
	defer a.heldMu.Unlock()
	a.max = max
}

// end gives everything back. Bytes that are taken or given later don't count.
func (a *account) end() {
	a.heldMu.Lock()
	defer a.heldMu.Unlock()
	a.giveLocked(a.held)
	a.ended = true
}

// Take counts n bytes that a Handler holds for this peer, or returns why the peer can't have them. The caller must then
// close the connection. Like Give, it may be called with any lock held.
func (c *Conn) Take(n int) *Error { return c.account.take(n) }

// Give counts n bytes that were taken as free again.
func (c *Conn) Give(n int) { c.account.give(n) }

// Trust lifts the limits of Config.Untrusted, which hold for a peer that has not shown who it is.
func (c *Conn) Trust() {
	c.connMu.Lock()
	defer c.connMu.Unlock()
	c.limits = c.cfg.trusted()
	c.account.setMax(c.limits.Bytes)
}

// trusted returns the limits after Trust.
func (c *Config) trusted() Limits {
	return Limits{int(c.MaxSessions), c.MaxLinks, c.MaxHeld}
}

// untrusted returns the limits before Trust.
func (c *Config) untrusted() Limits {
	l := c.trusted()
	if c.Untrusted.Sessions > 0 {
		l.Sessions = min(l.Sessions, c.Untrusted.Sessions)
	}
	if c.Untrusted.Links > 0 {
		l.Links = min(l.Links, c.Untrusted.Links)
	}
	if c.Untrusted.Bytes > 0 {
		l.Bytes = min(l.Bytes, c.Untrusted.Bytes)
	}
	return l
}

// countOut counts the buffers of unsent frames. The connection's lock is held.
func (c *Conn) countOut() *Error {
	if now := cap(c.out) + c.writing; now != c.outCounted {
		return c.account.change(&c.outCounted, now)
	}
	return nil
}

// sizeOf returns roughly how many bytes a decoded value takes in memory.
func sizeOf(v any) int {
	const value = 16 // bytes of an interface
	n := value
	switch v := v.(type) {
	case string:
		n += value + len(v)
	case Symbol:
		n += value + len(v)
	case []byte:
		n += 3*value/2 + len(v)
	case Decimal:
		n += 3*value/2 + len(v)
	case Described:
		n += sizeOf(v.Descriptor) + sizeOf(v.Value)
	case []any:
		n += sizeOfEach(v)
	case Array:
		n += sizeOfEach(v)
	case Map:
		for _, p := range v {
			n += sizeOf(p.Key) + sizeOf(p.Value)
		}
		n += 3 * value / 2
	case nil:
	default:
		n += value
	}
	return n
}

func sizeOfEach(values []any) int {
	n := 24
	for _, v := range values {
		n += sizeOf(v)
	}
	return n
}
