package broker

import (
	"crypto/rand"
	"encoding/hex"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// peer is one connection of a client, with its tokens and its open links.
type peer struct {
	broker *Broker
	id     int64 // names the connection in descriptions of errors
	wire   *wire
	conn   *amqp.Conn
	done   chan struct{} // closed by close, drop and end
	once   sync.Once
	nodes  map[string]*node // by name; doesn't change
	active linkless         // counts links for events

	tokensMu sync.Mutex
	ended    bool
	excused  bool             // there is no deadline for its token
	tokens   map[string]grant // by their path, in lower case
	open     map[*amqp.Link]opened
	expiry   *time.Timer // fires at expiryAt, when the next token expires; nil: there is none

	expiryAt time.Time
	deadline *time.Timer // closes a connection without a token
}

// The nodes that answer requests.
const (
	nodeCBS        = "$cbs"
	nodeManagement = "$management"
)

// opened is a link that stays open as long as a token covers it and its hub exists.
type opened struct {
	target target
	right  Right
	leave  func()
}

func newPeer(b *Broker, nc net.Conn) *peer {
	p := &peer{broker: b, id: b.connections.Add(1), wire: newWire(nc), done: make(chan struct{})}
	p.tokens, p.open = map[string]grant{}, map[*amqp.Link]opened{}
	p.nodes = map[string]*node{
		nodeCBS:        {peer: p, ask: p.putToken, paired: true},
		nodeManagement: {peer: p, ask: p.read},
	}
	p.active.close = p.closeLinkless
	p.conn = amqp.NewConn(p.wire, b.limits, p)
	return p
}

// awaitToken closes the connection if the peer puts no valid token in time.
func (p *peer) awaitToken(timeout time.Duration) {
	p.tokensMu.Lock()
	defer p.tokensMu.Unlock()
	p.deadline = time.AfterFunc(timeout, func() {
		if p.isExcused() {
			return
		}
		p.conn.Close(amqp.Errorf(amqp.CondConnectionForced, "no valid token was put on this connection in %v", timeout))
	})
}

// excuse is called when a fault holds a peer up: then the peer is not at fault if its token is late.
func (p *peer) excuse() {
	p.tokensMu.Lock()
	defer p.tokensMu.Unlock()
	p.excused = true
}

func (p *peer) isExcused() bool {
	p.tokensMu.Lock()
	defer p.tokensMu.Unlock()
	return p.excused
}

// trust is called when the peer has put a valid token.
func (p *peer) trust() {
	if p.deadline.Stop() {
		p.active.count(0)
		p.conn.Trust()
	}
}

// close ends the connection from this side.
func (p *peer) close() {
	p.once.Do(func() { close(p.done) })
	if p.wire.silent.Load() { // the peer would not get the close frame
		p.drop()
		return
	}
	p.conn.Close(amqp.Errorf(amqp.CondConnectionForced, "the namespace is shutting down"))
}

// drop closes the socket without a word.
func (p *peer) drop() {
	p.once.Do(func() { close(p.done) })
	p.wire.cut()
	p.conn.Abort()
}

// end is called when the connection has ended.
func (p *peer) end() {
	p.once.Do(func() { close(p.done) })
	p.active.end()
	p.tokensMu.Lock()
	defer p.tokensMu.Unlock()
	p.ended = true
	p.deadline.Stop()
	if p.expiry != nil {
		p.expiry.Stop()
	}
}

// Attach decides on a link.
func (p *peer) Attach(l *amqp.Link) {
	path := pathOf(l.Address())
	if len(path) > maxPath { // no entity has such a name, and looking for its token would take long
		l.Refuse(amqp.Errorf(
			amqp.CondNotFound, "the address has %d characters: there is nothing with more than %d", len(path), maxPath,
		))
		return
	}
	attach := func() { p.attach(l, path) }
	if n := p.node(path); n != nil {
		attach = func() { n.attach(l) }
	}
	f, ok := p.broker.faults.takeOnLink(OnAttach, l)
	if !ok {
		attach()
		p.attached(l)
		return
	}
	p.undergo(f, exchange{
		perform: attach,
		quietly: func() { l.Mute(); attach() },
		refuse:  func(e *amqp.Error) { p.detach(l, e) },
	})
}

// attached applies a fault to a link that has just been attached.
func (p *peer) attached(l *amqp.Link) {
	if f, ok := p.broker.faults.takeOnLink(OnAttached, l); ok {
		p.undergo(f, exchange{perform: func() {}, refuse: func(e *amqp.Error) { p.detach(l, e) }})
	}
}

// node returns the node that a path names, or nil.
func (p *peer) node(path string) *node { return p.nodes[path[strings.LastIndexByte(path, '/')+1:]] }

func (p *peer) attach(l *amqp.Link, path string) {
	t, err := p.broker.target(path, l.Receiving)
	right := RightSend
	if l.Receiving {
		right = RightListen
	}
	switch {
	case !p.allowed(t.path, right): // first, so that only holders of a token learn what exists
		l.Refuse(unauthorized(t.path, right))
	case err != nil:
		l.Refuse(err)
	case l.Receiving:
		p.attachReader(l, t)
	default:
		p.attachPublisher(l, t)
	}
}

func (p *peer) attachPublisher(l *amqp.Link, t target) {
	once, properties, refused := p.joinProducer(l, t.partition)
	if refused != nil {
		l.Refuse(refused)
		return
	}
	s := &publisher{peer: p, link: l, hub: t.hub, partition: t.partition, at: entityOfLink(l), once: once}
	s.idle = newIdleTimer(publisherIdle, s.expired)
	if refused := p.keep(l, opened{t, RightSend, s.idle.stop}); refused != nil {
		s.idle.stop()
		l.Refuse(refused)
		return
	}
	l.Accept(amqp.LinkOptions{Sink: s, Properties: properties, Closed: func() { p.forget(l) }})
}

func notFound(entity string) *amqp.Error {
	return amqp.Errorf(amqp.CondNotFound, "The messaging entity '%s' could not be found. TrackingId:%s",
		entity, trackingID())
}

func unauthorized(path string, right Right) *amqp.Error {
	return amqp.Errorf(amqp.CondUnauthorized, "Unauthorized access. '%s' claim(s) are required to perform this "+
		"operation. "+
		"Resource: '%s'. TrackingId:%s", right, path, trackingID())
}

func (p *peer) attachReader(l *amqp.Link, t target) {
	s, err := selectorOf(l.Filters())
	if err != nil {
		l.Refuse(err)
		return
	}
	r := &reader{partition: t.partition, peer: p, link: l, group: t.group, at: entityOfLink(l), name: receiverName(l)}
	switch e := l.Properties.Get("com.microsoft:epoch").(type) {
	case nil:
	case int64:
		r.epoch, r.hasEpoch = e, true
	case int32:
		r.epoch, r.hasEpoch = int64(e), true
	default:
		l.Refuse(amqp.Errorf(amqp.CondInvalidField, "com.microsoft:epoch is a %T, and has to be a long", e))
		return
	}
	for _, c := range l.DesiredCapabilities {
		r.metrics = r.metrics || c == "com.microsoft:enable-receiver-runtime-metric"
	}
	if r.next, err = t.partition.start(s); err != nil {
		l.Refuse(err)
		return
	}
	if refused := p.keep(l, opened{t, RightListen, func() { t.partition.leave(r) }}); refused != nil {
		l.Refuse(refused)
		return
	}
	leaving, err := t.partition.join(r)
	if err != nil {
		p.forget(l)
		l.Refuse(err)
		return
	}
	for _, old := range leaving {
		old.stolen(r)
	}
	l.Accept(amqp.LinkOptions{Source: r, Closed: func() { p.forget(l) }})
}

func receiverName(l *amqp.Link) string {
	if s, ok := l.Properties.Get("com.microsoft:receiver-name").(string); ok {
		return s
	}
	return l.Name
}

// keep records a link that is about to be accepted, or returns why it can't be accepted any more. From here on, expire
// and Reset detach it if need be.
func (p *peer) keep(l *amqp.Link, o opened) *amqp.Error {
	p.tokensMu.Lock()
	defer p.tokensMu.Unlock()
	if !p.allowedLocked(o.target.path, o.right, time.Now()) {
		return unauthorized(o.target.path, o.right)
	}
	if p.broker.hub(o.target.hub.name) != o.target.hub {
		return notFound(o.target.hub.name)
	}
	p.open[l] = o
	p.active.count(1)
	return nil
}

// closeLinks detaches the links that choose selects, with the reasons that why returns. choose is called with the
// peer's lock held.
func (p *peer) closeLinks(choose func(opened) bool, why func(opened) *amqp.Error) {
	chosen := map[*amqp.Link]opened{}
	p.tokensMu.Lock()
	for l, o := range p.open {
		if choose(o) {
			chosen[l] = o
		}
	}
	p.tokensMu.Unlock()
	for l, o := range chosen {
		p.detach(l, why(o))
	}
}

// detach ends a link from this side. If the link is not accepted yet, it is refused. Accept then finds that it has
// ended, and LinkOptions.Closed forgets it.
func (p *peer) detach(l *amqp.Link, reason *amqp.Error) {
	l.Refuse(reason)
	l.Detach(reason)
	if n := p.node(pathOf(l.Address())); n != nil {
		n.forget(l)
		return
	}
	p.forget(l)
}

// forget removes a link that has ended. It may be called more than once for a link.
func (p *peer) forget(l *amqp.Link) {
	p.tokensMu.Lock()
	o, ok := p.open[l]
	delete(p.open, l)
	p.tokensMu.Unlock()
	if ok {
		o.leave()
		p.active.count(-1)
	}
}

// target is what an address names.
type target struct {
	path      string // in lower case
	hub       *hub
	partition *partition // nil: any partition, for a sender
	group     string     // in lower case
}

// target returns what a path names: hub, hub/partitions/0, or hub/consumergroups/g/partitions/0.
func (b *Broker) target(path string, receiving bool) (target, *amqp.Error) {
	t := target{path: path}
	parts := strings.Split(path, "/")
	t.hub = b.hub(parts[0])
	if t.hub == nil {
		return t, notFound(parts[0])
	}
	parts = parts[1:]
	if receiving {
		if len(parts) != 4 || parts[0] != "consumergroups" {
			return t,
				amqp.Errorf(amqp.CondNotAllowed, "'%s' can't be received from: name a consumer group and a partition", path)
		}
		t.group, parts = parts[1], parts[2:]
		if !t.hub.groups[t.group] {
			return t, notFound(t.hub.name + ":consumergroup:" + t.group)
		}
	}
	if len(parts) == 0 {
		return t, nil
	}
	if len(parts) != 2 || parts[0] != "partitions" {
		return t, notFound(path)
	}
	if t.partition = t.hub.partition(parts[1]); t.partition == nil {
		return t, amqp.Errorf(condArgumentOutOfRange, noSuchPartition+" It should be between 0 and %d. "+
			"(Parameter 'PartitionId') - Actual value: %s", len(t.hub.partitions())-1, parts[1])
	}
	return t, nil
}

// noSuchPartition is how the service begins its error for a partition that does not exist. Clients recognize the error
// by it.
const noSuchPartition = "The specified partition is invalid for an EventHub partition sender or receiver."

// pathOf returns the path of an address or of a token's audience, in lower case. Both come as a path or as a whole URL.
func pathOf(address string) string {
	if _, rest, ok := strings.Cut(address, "://"); ok {
		_, address, _ = strings.Cut(rest, "/")
	}
	return strings.ToLower(strings.Trim(address, "/"))
}

// trackingID returns an id such as the service puts at the end of its descriptions, for its support.
func trackingID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}
