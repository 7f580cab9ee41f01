// Package broker is one Event Hubs namespace in memory: hubs, partitions, consumer groups, epochs, and the nodes $cbs
// and $management, spoken over AMQP connections that are handed to it.
package broker

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// Hub describes an event hub.
type Hub struct {
	Name           string
	Partitions     int
	ConsumerGroups []string // beside $Default, which is always there
}

// Right is what a shared access rule allows.
type Right string

// The rights of a rule. Manage includes the other two.
const (
	RightSend   Right = "Send"
	RightListen Right = "Listen"
	RightManage Right = "Manage"
)

// Rule is a shared access policy of the namespace.
type Rule struct {
	Name   string
	Key    string // the text after SharedAccessKey= in a connection string
	Rights []Right
}

func (r Rule) check() error {
	if r.Name == "" || r.Key == "" {
		return fmt.Errorf("shared access rule %q needs a name and a key", r.Name)
	}
	for _, right := range r.Rights {
		if right != RightSend && right != RightListen && right != RightManage {
			return fmt.Errorf(
				"shared access rule %q has the right %q: there are %s, %s and %s", r.Name, right, RightSend, RightListen,
				RightManage,
			)
		}
	}
	return nil
}

// Directory knows the tokens of type jwt, and what those may do whose tokens they are. Its methods are called
// concurrently.
type Directory interface {
	// Check says whose token it is and until when it holds. The error's text goes to the peer.
	Check(token string) (identity string, expires time.Time, err error)
	// Rights are what an identity may do now.
	Rights(identity string) []Right
}

// Options describe a namespace.
type Options struct {
	Hubs  []Hub
	Rules []Rule
	// Directory decides about tokens of type jwt. nil: none are taken.
	Directory Directory
	// RetentionBytes bounds what a partition keeps: the oldest events go first.
	RetentionBytes int64
	// TokenTimeout is how long a connection may take to put its first valid token. 0 means a minute, about what the
	// service gives it.
	TokenTimeout time.Duration
	// HeldBytes bounds what all connections together make the namespace hold beside events, and HeldBytesPerConnection
	// what each does: messages that have not come to their end, what is still to be sent, links. 0 means 512 MiB and 256
	// MiB.
	HeldBytes, HeldBytesPerConnection int64
}

const (
	maxPartitions = 10_000
	defaultGroup  = "$Default"
	// maxConnections bounds what peers can make a namespace hold. The service's limit is 5,000.
	maxConnections = 5000

	defaultTokenTimeout = time.Minute
	defaultHeld         = 512 << 20
	defaultHeldPerConn  = 256 << 20
)

// untrusted are the limits of a connection that has put no valid token yet. SDKs need a session or two and a pair of
// links to do it.
var untrusted = amqp.Limits{Sessions: 100, Links: 200, Bytes: 1 << 20}

// Broker is a namespace. It is safe for concurrent use.
type Broker struct {
	rules     map[string]Rule
	directory Directory
	faults    faults

	hubsMu sync.RWMutex
	hubs   map[string]*hub // by name in lower case

	tokenTimeout time.Duration
	limits       amqp.Config // of all connections

	connections atomic.Int64 // that there have been
	producerIDs atomic.Int64 // the last one that was given out

	peersMu sync.Mutex
	closed  bool
	peers   map[*peer]struct{}
	served  sync.WaitGroup
}

// New checks the options and returns a namespace.
func New(o Options) (*Broker, error) {
	b := &Broker{directory: o.Directory, hubs: map[string]*hub{}, rules: map[string]Rule{}, peers: map[*peer]struct{}{}}
	b.tokenTimeout = cmp.Or(o.TokenTimeout, defaultTokenTimeout)
	b.limits = amqpConfig(o)
	b.producerIDs.Store(time.Now().UnixMilli()) // one from an earlier run must not match by chance
	for _, h := range o.Hubs {
		key := strings.ToLower(h.Name)
		switch {
		case h.Name == "" || strings.ContainsAny(h.Name, "/$;?# "):
			return nil, fmt.Errorf("event hub name %q: it must not be empty or hold a space or one of /$;?#", h.Name)
		case h.Partitions < 1 || h.Partitions > maxPartitions:
			return nil, fmt.Errorf("event hub %q has %d partitions: give it 1 to %d", h.Name, h.Partitions, maxPartitions)
		case b.hubs[key] != nil:
			return nil, fmt.Errorf("event hub %q is there twice", h.Name)
		}
		for _, g := range h.ConsumerGroups {
			if g == "" || strings.Contains(g, "/") {
				return nil, fmt.Errorf("consumer group name %q of event hub %q: it must not be empty or hold '/'", g, h.Name)
			}
		}
		b.hubs[key] = newHub(h, o.RetentionBytes)
	}
	for _, r := range o.Rules {
		if err := r.check(); err != nil {
			return nil, err
		}
		if _, twice := b.rules[r.Name]; twice {
			return nil, fmt.Errorf("shared access rule %q is there twice", r.Name)
		}
		b.rules[r.Name] = r
	}
	return b, nil
}

// Serve speaks with one peer until its connection ends.
func (b *Broker) Serve(nc net.Conn) {
	p := newPeer(b, nc)
	if !b.admit(p) {
		nc.Close()
		return
	}
	defer b.leave(p)
	p.awaitToken(b.tokenTimeout)
	if !p.connect() {
		p.wire.cut()
		return
	}
	// How a peer's connection ends is between it and the amqp package, which has told it what was wrong.
	_ = p.conn.Serve()
	p.end()
	p.wire.linger()
}

func (b *Broker) admit(p *peer) bool {
	b.peersMu.Lock()
	defer b.peersMu.Unlock()
	if b.closed || len(b.peers) >= maxConnections {
		return false
	}
	b.peers[p] = struct{}{}
	b.served.Add(1)
	return true
}

func (b *Broker) leave(p *peer) {
	p.end()
	b.peersMu.Lock()
	delete(b.peers, p)
	b.peersMu.Unlock()
	b.served.Done()
}

// RightsChanged closes the links of those who no longer have the right to them.
func (b *Broker) RightsChanged() {
	for _, p := range b.connected() {
		p.closeUncovered(func(o opened) *amqp.Error { return unauthorized(o.target.path, o.right) })
	}
}

// DropConnections closes the socket of every peer without a word, as a broken network does. New connections are taken.
func (b *Broker) DropConnections() {
	for _, p := range b.connected() {
		p.drop() // without the lock: a connection that is delayed takes its time to close
	}
}

// connected returns the peers that are connected now.
func (b *Broker) connected() []*peer {
	b.peersMu.Lock()
	defer b.peersMu.Unlock()
	return slices.Collect(maps.Keys(b.peers))
}

// closeTimeout is how long peers have to answer when the namespace closes.
const closeTimeout = 500 * time.Millisecond

// Close ends all connections, and returns when nothing of the namespace runs any more.
func (b *Broker) Close() {
	b.peersMu.Lock()
	b.closed = true
	b.peersMu.Unlock()
	for _, p := range b.connected() {
		p.close()
	}
	t := time.AfterFunc(closeTimeout, b.DropConnections)
	defer t.Stop()
	b.served.Wait()
}

// Events returns a copy of what a partition holds now. It is an error if there is no such hub or partition.
func (b *Broker) Events(hubName, partitionID string) ([]Event, error) {
	h := b.hub(hubName)
	if h == nil {
		return nil, fmt.Errorf("no event hub %q", hubName)
	}
	p := h.partition(partitionID)
	if p == nil {
		return nil, fmt.Errorf("event hub %q has no partition %q", hubName, partitionID)
	}
	return p.snapshot(), nil
}

// Partitions returns the ids of a hub's partitions, or nil if there is no such hub.
func (b *Broker) Partitions(hubName string) []string {
	if h := b.hub(hubName); h != nil {
		return h.partitionIDs()
	}
	return nil
}

// amqpConfig holds the limits of the service: part of what clients see of it.
func amqpConfig(o Options) amqp.Config {
	return amqp.Config{
		ContainerID: "eventhubs", MaxMessageSize: 1 << 20, Untrusted: untrusted,
		MaxHeld: cmp.Or(o.HeldBytesPerConnection, defaultHeldPerConn),
		Budget:  amqp.NewBudget(cmp.Or(o.HeldBytes, defaultHeld)),
	}
}

// Held is how many bytes connections make the namespace hold now, beside events.
func (b *Broker) Held() int64 { return b.limits.Budget.Held() }
