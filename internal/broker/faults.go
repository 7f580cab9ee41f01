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
	OnConnect    Operation = "connect"    // a new connection
	OnToken      Operation = "token"      // a token put on $cbs
	OnManagement Operation = "management" // a read of $management
	OnAttach     Operation = "attach"     // a link that is opened to send or to receive
	OnPublish    Operation = "publish"    // a message that arrives, with one event or a batch
	OnReceive    Operation = "receive"    // an event about to be delivered
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

// answered reports whether a peer waits for the outcome of an operation, which can be lost then.
func (op Operation) answered() bool { return op == OnPublish || op == OnToken || op == OnManagement }

// fails reports whether the fault does more than take time.
func (f Fault) fails() bool { return f.Condition != "" || f.DropConnection || f.After }

// onConnection reports whether the fault's condition closes the connection.
func (f Fault) onConnection() bool { return strings.HasPrefix(f.Condition, "amqp:connection:") }

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
	f.After = f.After && f.On.answered()
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

// later runs f after a delay, unless the connection ends before, and at once when there is no delay, so that an ordinary
// answer costs no goroutine.
func (p *peer) later(delay time.Duration, f func()) {
	if delay <= 0 {
		f()
		return
	}
	p.async(delay, f)
}

// async runs f after a delay without the locks of its caller, unless the connection ends before. It is called on behalf of a
// connection that is served, so the broker's Close waits for it.
func (p *peer) async(delay time.Duration, f func()) {
	p.broker.served.Go(func() {
		if p.wait(delay) {
			f()
		}
	})
}

// wait reports whether the connection is still there after a delay.
func (p *peer) wait(delay time.Duration) bool {
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-p.done:
		return false
	case <-t.C:
		return true
	}
}

// connectFault holds a connection up, or has it closed as soon as it is open. It reports whether the connection is served.
func (p *peer) connectFault(f Fault) bool {
	if !p.wait(f.Delay) || f.DropConnection {
		return false
	}
	if f.Condition != "" {
		p.conn.Close(f.err())
	}
	return true
}

// fail does to a link and its connection what a fault asks for.
func (p *peer) fail(f Fault, l *amqp.Link) {
	switch {
	case f.DropConnection:
		p.drop()
	case f.onConnection():
		p.conn.Close(f.err())
	default:
		p.detach(l, f.err())
	}
}

// receiveFault does what a fault asks for once its delay is over: it lets the delivery go on, or fails.
func (r *reader) receiveFault(f Fault) {
	if f.fails() {
		r.peer.fail(f, r.link)
		return
	}
	r.partition.mu.Lock()
	r.hold = released
	r.partition.mu.Unlock()
	r.link.Wake()
}
