package broker

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// hub is one event hub. Partitions can be added to it, but not removed.
type hub struct {
	name      string
	created   time.Time
	retention int64
	groups    map[string]bool              // by name in lower case; doesn't change
	all       atomic.Pointer[[]*partition] // replaced when partitions are added
	turn      atomic.Uint64                // counts the messages that go to partitions in turn
}

func newHub(h Hub, retention int64) *hub {
	out := &hub{name: h.Name, created: time.Now(), retention: retention}
	out.groups = map[string]bool{strings.ToLower(defaultGroup): true}
	for _, g := range h.ConsumerGroups {
		out.groups[strings.ToLower(g)] = true
	}
	out.grow(nil, h.Partitions)
	return out
}

// recreated returns an empty hub like this one, as after deleting and creating it.
func (h *hub) recreated() *hub {
	out := &hub{name: h.name, created: time.Now(), retention: h.retention, groups: h.groups}
	out.grow(nil, len(h.partitions()))
	return out
}

// grow adds partitions to the existing ones.
func (h *hub) grow(old []*partition, n int) {
	all := append(make([]*partition, 0, len(old)+n), old...)
	for range n {
		all = append(all, newPartition(h, strconv.Itoa(len(all)), h.retention))
	}
	h.all.Store(&all)
}

func (h *hub) partitions() []*partition { return *h.all.Load() }

func (h *hub) partition(id string) *partition {
	all := h.partitions()
	i, err := strconv.Atoi(id)
	if err != nil || i < 0 || i >= len(all) || strconv.Itoa(i) != id {
		return nil
	}
	return all[i]
}

func (h *hub) partitionIDs() []string {
	all := h.partitions()
	ids := make([]string, len(all))
	for i, p := range all {
		ids[i] = p.id
	}
	return ids
}

// route chooses the partition of a message that names none: by its key, or the next in turn.
func (h *hub) route(key string, hasKey bool) *partition {
	all := h.partitions()
	if hasKey {
		return all[partitionOf(key, len(all))]
	}
	return all[(h.turn.Add(1)-1)%uint64(len(all))]
}

// hub returns the hub of that name in any case, or nil.
func (b *Broker) hub(name string) *hub {
	b.hubsMu.RLock()
	defer b.hubsMu.RUnlock()
	return b.hubs[strings.ToLower(name)]
}

// AddPartitions adds n partitions to a hub. Open links stay open.
func (b *Broker) AddPartitions(name string, n int) error {
	b.hubsMu.Lock()
	defer b.hubsMu.Unlock()
	h := b.hubs[strings.ToLower(name)]
	if h == nil {
		return fmt.Errorf("no event hub %q", name)
	}
	old := h.partitions()
	if n < 1 || len(old)+n > maxPartitions {
		return fmt.Errorf("event hub %q has %d partitions and can have %d: %d can't be added",
			h.name, len(old), maxPartitions, n)
	}
	h.grow(old, n)
	return nil
}

// Reset deletes a hub and creates it again. When it returns, all links to the old hub are detached.
func (b *Broker) Reset(name string) error {
	b.hubsMu.Lock()
	old := b.hubs[strings.ToLower(name)]
	if old == nil {
		b.hubsMu.Unlock()
		return fmt.Errorf("no event hub %q", name)
	}
	b.hubs[strings.ToLower(name)] = old.recreated()
	b.hubsMu.Unlock()
	for _, p := range b.connected() {
		p.closeLinks(
			func(o opened) bool { return o.target.hub == old },
			func(opened) *amqp.Error { return notFound(old.name) },
		)
	}
	return nil
}
