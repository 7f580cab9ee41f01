package broker

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/amqp"
)

// Operation is what a fault happens to.
type Operation string

// The operations that can go wrong.
const (
	Connect    Operation = "connect"    // a new connection
	Token      Operation = "token"      // a token put on $cbs
	Management Operation = "management" // a read of $management
	Attach     Operation = "attach"     // a link that is opened to send or to receive
	Publish    Operation = "publish"    // a message that arrives, with one event or a batch
	Receive    Operation = "receive"    // an event about to be delivered
)

// Fault is something that goes wrong. See eventhubstest.Fault, which it is the inner side of.
type Fault struct {
	On             Operation
	Hub, Partition string
	ConsumerGroup  string
	Skip, Times    int
	Delay          time.Duration
	Condition      string
	Description    string
	DropConnection bool
	After          bool
}

// fails reports whether the fault does more than take time.
func (f Fault) fails() bool { return f.Condition != "" || f.DropConnection || f.After }

func (f Fault) err() *amqp.Error {
	d := f.Description
	if d == "" {
		d = "a fault was asked for"
	}
	return amqp.Errorf(f.Condition, "%s", d)
}

// entity is what an operation is on, as far as it is known. Hub and group are in lower case.
type entity struct{ hub, partition, group string }

// faults are the faults that are declared and not used up.
type faults struct {
	count atomic.Int32 // of list, to be read without mu: mostly there are none
	mu    sync.Mutex
	list  []*Fault
}

// add declares a fault, and returns what takes it back.
func (fs *faults) add(f Fault) (remove func()) {
	f.Hub, f.ConsumerGroup = strings.ToLower(f.Hub), strings.ToLower(f.ConsumerGroup)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	own := &f
	fs.list = append(fs.list, own)
	fs.count.Add(1)
	return func() {
		fs.mu.Lock()
		defer fs.mu.Unlock()
		fs.drop(own)
	}
}

func (fs *faults) drop(f *Fault) {
	for i, g := range fs.list {
		if g == f {
			fs.list = append(fs.list[:i:i], fs.list[i+1:]...)
			fs.count.Add(-1)
			return
		}
	}
}

// take returns the first fault that fits, and counts it as having happened once.
func (fs *faults) take(op Operation, on entity) (Fault, bool) {
	if fs.count.Load() == 0 {
		return Fault{}, false
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, f := range fs.list {
		if f.On != op || !fits(f.Hub, on.hub) || !fits(f.Partition, on.partition) || !fits(f.ConsumerGroup, on.group) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		happens := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				fs.drop(f)
			}
		}
		return happens, true
	}
	return Fault{}, false
}

func fits(want, is string) bool { return want == "" || want == is }

// AddFault declares a fault, and returns what takes it back.
func (b *Broker) AddFault(f Fault) (remove func()) { return b.faults.add(f) }

// later runs f after a delay, and at once when there is none, so that an ordinary answer costs no goroutine.
func later(delay time.Duration, f func()) {
	if delay <= 0 {
		f()
		return
	}
	time.AfterFunc(delay, f)
}

// connectFault holds a connection up. It reports whether the connection may go on.
func (p *peer) connectFault(f Fault) bool {
	if f.Delay > 0 {
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-p.done:
			return false
		}
	}
	return !f.fails()
}

// fail does to a link and its connection what a fault asks for.
func (p *peer) fail(f Fault, l *amqp.Link) {
	switch {
	case f.DropConnection:
		p.conn.Abort()
	case strings.HasPrefix(f.Condition, "amqp:connection:"):
		p.conn.Close(f.err())
	default:
		l.Detach(f.err())
		p.forget(l)
	}
}

// receiveFault is called with the locks of the reader's connection and partition held, so what it does happens elsewhere.
// It reports whether the delivery may go on.
func (p *peer) receiveFault(r *reader, f Fault) bool {
	if !f.fails() {
		if r.delayed {
			r.delayed = false
			return true
		}
		r.delayed = true
		time.AfterFunc(f.Delay, r.link.Wake)
		return false
	}
	time.AfterFunc(f.Delay, func() { p.fail(f, r.link) })
	return false
}
