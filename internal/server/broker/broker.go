// Package broker is one Event Hubs namespace in memory: hubs, partitions, consumer groups, epochs, and the nodes $cbs
// and $management. Clients reach it over AMQP, on connections that the caller hands to it.
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
	ConsumerGroups []string // in addition to $Default, which always exists
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

// Directory decides on tokens of type jwt, and on what their holders may do. Its methods are called concurrently.
type Directory interface {
	// Check returns whose token it is and when it expires. The text of an error goes to the peer.
	Check(token string) (identity string, expires time.Time, err error)
	// Rights returns what an identity may do now.
	Rights(identity string) []Right
}

// Options describe a namespace.
type Options struct {
	Hubs  []Hub
	Rules []Rule
	// Directory decides on tokens of type jwt. nil means that they are refused.
	Directory Directory
	// RetentionBytes bounds what a partition keeps: the oldest events are dropped first.
	RetentionBytes int64
	// TokenTimeout is how long a connection may take to put its first valid token. 0 means a minute, about what the
	// service gives it.
	TokenTimeout time.Duration
	// HeldBytes bounds what all connections together make the namespace hold, apart from events: incomplete messages,
	// unsent data, links. HeldBytesPerConnection bounds it for each. 0 means 512 MiB and 256 MiB.
	HeldBytes, HeldBytesPerConnection int64
}

const (
	maxPartitions = 10_000
	defaultGroup  = "$Default"
	// maxConnections bounds the connections at once. The service's limit is 5,000.
	maxConnections = 5000

	defaultTokenTimeout = time.Minute
	defaultHeld         = 512 << 20
	defaultHeldPerConn  = 256 << 20
)

// untrusted are the limits of a connection that has not put a valid token yet. To put one, SDKs need a session or two
// and a pair of links.
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

	connections atomic.Int64 // how many there have been
	producerIDs atomic.Int64 // the last one given out

	peersMu sync.Mutex
	closed  bool
	peers   map[*peer]struct{}
	served  sync.WaitGroup
}

// New returns a namespace. It is an error if the options are not valid.
func New(o Options) (*Broker, error) {
	b := &Broker{directory: o.Directory, hubs: map[string]*hub{}, rules: map[string]Rule{}, peers: map[*peer]struct{}{}}
	b.tokenTimeout = cmp.Or(o.TokenTimeout, defaultTokenTimeout)
	b.limits = amqpConfig(o)
	b.producerIDs.Store(time.Now().UnixMilli()) // an id from an earlier run must not match by chance
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

// Serve serves one peer until its connection ends.
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
	// The error needs no report: the amqp package has told the peer what was wrong.
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

// RightsChanged closes the links of identities that no longer have the right to them.
func (b *Broker) RightsChanged() {
	for _, p := range b.connected() {
		p.closeUncovered(func(o opened) *amqp.Error { return unauthorized(o.target.path, o.right) })
	}
}

// DropConnections closes the socket of every peer without a word, as a broken network does. New connections are
// accepted.
func (b *Broker) DropConnections() {
	for _, p := range b.connected() {
		p.drop() // without the lock: a delayed connection takes a while to close
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

// Close ends all connections. It returns when no goroutine of the namespace is left.
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

// amqpConfig returns the limits of the service, as far as clients see them, and the limits of the options.
func amqpConfig(o Options) amqp.Config {
	return amqp.Config{
		ContainerID: "eventhubs", MaxMessageSize: 1 << 20, Untrusted: untrusted,
		MaxHeld: cmp.Or(o.HeldBytesPerConnection, defaultHeldPerConn),
		Budget:  amqp.NewBudget(cmp.Or(o.HeldBytes, defaultHeld)),
	}
}

// Held returns how many bytes connections make the namespace hold now, apart from events.
func (b *Broker) Held() int64 { return b.limits.Budget.Held() }
