package broker

import (
	"strconv"
	"strings"
	"sync/atomic"
)

// hub is one event hub. It doesn't change, but for its partitions' contents.
type hub struct {
	name       string
	partitions []*partition
	groups     map[string]bool // by name in lower case
	turn       atomic.Uint64   // counts the messages that go to partitions in turn
}

func newHub(h Hub, retention int64) *hub {
	out := &hub{name: h.Name, groups: map[string]bool{strings.ToLower(defaultGroup): true}}
	for i := range h.Partitions {
		out.partitions = append(out.partitions, newPartition(out, strconv.Itoa(i), retention))
	}
	for _, g := range h.ConsumerGroups {
		out.groups[strings.ToLower(g)] = true
	}
	return out
}

func (h *hub) partition(id string) *partition {
	i, err := strconv.Atoi(id)
	if err != nil || i < 0 || i >= len(h.partitions) || strconv.Itoa(i) != id {
		return nil
	}
	return h.partitions[i]
}

func (h *hub) partitionIDs() []string {
	ids := make([]string, len(h.partitions))
	for i, p := range h.partitions {
		ids[i] = p.id
	}
	return ids
}

// route chooses the partition of a message that names none: by its key, or the next in turn.
func (h *hub) route(key string, hasKey bool) *partition {
	if hasKey {
		return h.partitions[partitionOf(key, len(h.partitions))]
	}
	return h.partitions[(h.turn.Add(1)-1)%uint64(len(h.partitions))]
}
