package send_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
)

// crowd are many goroutines that send, and what each was told.
type crowd struct {
	seed    uint64
	senders [crowdSize]crowdMember
}

const (
	crowdSize  = 100
	crowdCalls = 30
)

// crowdMember sends to a key, to a partition, or to wherever, and remembers bodies.
type crowdMember struct {
	index                 int
	acknowledged, unknown map[string]bool
}

func newCrowd(seed uint64) *crowd {
	c := &crowd{seed: seed}
	for i := range c.senders {
		c.senders[i] = crowdMember{index: i, acknowledged: map[string]bool{}, unknown: map[string]bool{}}
	}
	return c
}

// run has all send, and counts in the hub what became of the events.
func (c *crowd) run(t *testing.T, s *scene) {
	var sending sync.WaitGroup
	for i := range c.senders {
		sending.Go(func() { c.senders[i].run(t, s, rand.New(rand.NewPCG(c.seed, uint64(i)))) })
	}
	sending.Wait()
	stored, last := map[string]int{}, map[string]string{}
	for _, e := range s.srv.AllEvents("hub") {
		body := string(e.Body)
		stored[body]++
		sender, _, _ := strings.Cut(body, "/")
		if e.PartitionKey != "" || strings.HasPrefix(sender, "ordered") {
			require.Greater(t, body, last[sender], "events of one sender to one key or partition keep their order")
			last[sender] = body
		}
	}
	total := 0
	for _, m := range c.senders {
		for body := range m.acknowledged {
			require.Equal(t, 1, stored[body], "%s was acknowledged", body)
		}
		for body := range m.unknown {
			require.LessOrEqual(t, stored[body], 1, "%s was not acknowledged", body)
		}
		total += len(m.acknowledged)
	}
	require.Greater(t, total, crowdSize*crowdCalls)
}

func (m *crowdMember) run(t *testing.T, s *scene, rnd *rand.Rand) {
	n := 0
	for range crowdCalls {
		var events []eventhubs.Event
		for range 1 + rnd.IntN(3) {
			events = append(events, m.event(n))
			n++
		}
		ctx, cancel := context.WithCancel(t.Context())
		if rnd.IntN(4) == 0 {
			time.AfterFunc(time.Duration(rnd.Int64N(int64(2*roundTrip))), cancel)
		}
		m.note(t, s.Send(ctx, events...), events)
		cancel()
		for i := range events { // they belong to the caller again
			clear(events[i].Body)
		}
	}
}

func (m *crowdMember) event(n int) eventhubs.Event {
	switch m.index % 3 {
	case 0:
		return eventhubs.Event{Body: fmt.Appendf(nil, "%d/%06d", m.index, n), PartitionKey: fmt.Sprint("key ", m.index)}
	case 1:
		return eventhubs.Event{Body: fmt.Appendf(nil, "ordered %d/%06d", m.index, n), PartitionID: "1"}
	}
	return eventhubs.Event{Body: fmt.Appendf(nil, "%d/%06d", m.index, n)}
}

// note takes down what Send says of its events.
func (m *crowdMember) note(t *testing.T, err error, events []eventhubs.Event) {
	var failed *eventhubs.SendError
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("nothing but a cancelled context is wrong: %v", err)
	}
	nothingSent := err != nil && !errors.As(err, &failed)
	for i, e := range events {
		switch {
		case nothingSent:
		case failed != nil && slices.Contains(failed.Unacknowledged, i):
			m.unknown[string(e.Body)] = true
		default:
			m.acknowledged[string(e.Body)] = true
		}
	}
}
