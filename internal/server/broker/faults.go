package broker

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// Operation is the exchange with a client that a fault happens to.
type Operation string

// The exchanges that can go wrong, in the order in which a client comes to them.
const (
	OnConnect             Operation = "connect"
	OnSASL                Operation = "sasl"
	OnOpen                Operation = "open"
	OnBegin               Operation = "begin"
	OnAttach              Operation = "attach"
	OnAttached            Operation = "attached"
	OnToken               Operation = "token"
	OnHubProperties       Operation = "hub-properties"
	OnPartitionProperties Operation = "partition-properties"
	OnManagement          Operation = "management" // both of them, and all other requests to $management
	OnPublish             Operation = "publish"
	OnReceive             Operation = "receive"
	OnDetach              Operation = "detach"
	OnEnd                 Operation = "end"
	OnClose               Operation = "close"
)

// covers reports whether a fault on op happens to another operation, too.
func (op Operation) covers(other Operation) bool {
	return op == other || op == OnManagement && (other == OnHubProperties || other == OnPartitionProperties)
}

// LinkKind says what a link is for.
type LinkKind string

// The kinds of links.
const (
	SenderLink     LinkKind = "sender"
	ReaderLink     LinkKind = "reader"
	TokenLink      LinkKind = "token"      // to or from $cbs
	ManagementLink LinkKind = "management" // to or from $management
)

// carriesEvents reports whether links of the kind carry events.
func (k LinkKind) carriesEvents() bool { return k == SenderLink || k == ReaderLink }

// Fault is something that goes wrong: the inner side of eventhubstest.Fault, which documents the fields.
type Fault struct {
	On                Operation
	Hub, Partition    string
	ConsumerGroup     string
	Link              LinkKind
	Skip, Times       int
	Happened          *atomic.Int64 // nil: no counting
	Delay             time.Duration
	Condition         string
	Description       string
	Hang              bool
	DropConnection    bool
	SilenceConnection bool
	After             bool
}

// fails reports whether the fault does more than delay.
func (f Fault) fails() bool { return f.Condition != "" || f.Hang || f.cuts() || f.After }

// cuts reports whether the fault ends or silences the connection.
func (f Fault) cuts() bool { return f.DropConnection || f.SilenceConnection }

// onConnection reports whether the fault's condition closes the connection.
func (f Fault) onConnection() bool { return strings.HasPrefix(f.Condition, "amqp:connection:") }

// onLink reports whether a condition detaches a link. CondMessageSizeExceeded does not: it is about the message.
func onLink(condition string) bool {
	return strings.HasPrefix(condition, "amqp:link:") && condition != amqp.CondMessageSizeExceeded
}

func (f Fault) err() *amqp.Error {
	d := f.Description
	if d == "" {
		d = "a fault was asked for"
	}
	return amqp.Errorf(f.Condition, "%s", d)
}

// meets reports whether the fault applies to an operation.
func (f Fault) meets(op Operation, on entity) bool {
	if !f.On.covers(op) || !fits(f.Hub, on.hub) || !fits(f.Partition, on.partition) || !fits(f.ConsumerGroup, on.group) {
		return false
	}
	if f.Link == "" && (op == OnAttach || op == OnAttached || op == OnDetach) {
		return on.link.carriesEvents()
	}
	return fits(f.Link, on.link)
}

func fits[T ~string](want, is T) bool { return want == "" || want == is }

// entity is what an operation is on, as far as that is known. Hub and group are in lower case.
type entity struct {
	hub, partition, group string
	link                  LinkKind
}

// entityOf returns what a path names, whether or not it exists: hub, hub/partitions/0,
// hub/consumergroups/g/partitions/0, and $cbs or $management, alone or after a hub.
func entityOf(path string) (e entity) {
	parts := strings.Split(path, "/")
	if !strings.HasPrefix(parts[0], "$") {
		e.hub = parts[0]
	}
	if e.hub != "" {
		e.link = SenderLink
	}
	switch parts[len(parts)-1] {
	case nodeCBS:
		e.link = TokenLink
	case nodeManagement:
		e.link = ManagementLink
	}
	for i := 1; i+1 < len(parts); i += 2 {
		switch parts[i] {
		case "consumergroups":
			e.group, e.link = parts[i+1], ReaderLink
		case "partitions":
			e.partition = parts[i+1]
		}
	}
	return e
}

// faults holds the faults that are declared and not used up.
type faults struct {
	count  atomic.Int32 // the length of list, readable without listMu: usually 0
	listMu sync.Mutex
	list   []*Fault
}

// none reports whether there are no faults now.
func (fs *faults) none() bool { return fs.count.Load() == 0 }

// add declares a fault, and returns a function that removes it.
func (fs *faults) add(f Fault) (remove func()) {
	f.Hub, f.ConsumerGroup = strings.ToLower(f.Hub), strings.ToLower(f.ConsumerGroup)
	fs.listMu.Lock()
	defer fs.listMu.Unlock()
	own := &f
	fs.list = append(fs.list, own)
	fs.count.Add(1)
	return func() {
		fs.listMu.Lock()
		defer fs.listMu.Unlock()
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

// take returns the first fault that fits an operation, and counts it as having happened once.
func (fs *faults) take(op Operation, on entity) (Fault, bool) {
	if fs.none() {
		return Fault{}, false
	}
	fs.listMu.Lock()
	defer fs.listMu.Unlock()
	for _, f := range fs.list {
		if !f.meets(op, on) {
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
		if f.Happened != nil {
			f.Happened.Add(1)
		}
		return happens, true
	}
	return Fault{}, false
}

// AddFault declares a fault, and returns a function that removes it.
func (b *Broker) AddFault(f Fault) (remove func()) { return b.faults.add(f) }
