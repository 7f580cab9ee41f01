package simulate_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
)

const (
	producers = 2 // that run at a time
	// sendBound is how long a Send may take: ProducerOptions.RetryFor, and the last try, which may have to open a
	// connection and wait for an answer (AnswerTimeout).
	sendBound                       = time.Minute + 30*time.Second + 30*time.Second + margin
	closeTime                       = 10 * time.Second
	longestDrought, betweenDroughts = 4 * time.Hour, 8 * time.Hour
)

// produce runs one producer after another until ctx ends.
func (s *simulation) produce(ctx context.Context, name string) {
	r := s.draws(name)
	for i := 0; ctx.Err() == nil; i++ {
		sending, cancel := context.WithTimeout(ctx, r.time(2*time.Hour))
		s.produceOnce(sending, r, fmt.Sprintf("%s.%d", name, i))
		cancel()
	}
}

// produceOnce runs one producer from its start to its Close.
func (s *simulation) produceOnce(ctx context.Context, r random, name string) {
	n := newNetwork(s.server.DialContext)
	defer n.kill()
	p, err := eventhubs.NewProducer(s.config(n), nil)
	require.NoError(s.t, err)
	defer func() {
		closing, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		defer s.judge.within(closeTime+margin, "%s: Close", name)()
		_ = p.Close(closing)
	}()
	for number := 0; sleep(ctx, pauseBetween(r)); {
		var events []eventhubs.Event
		for range 1 + r.upTo(2)*r.upTo(10) {
			e := s.drawDestination(r)
			e.Body = fmt.Appendf(nil, "%s %d", name, number)
			number++
			events = append(events, e)
		}
		s.send(ctx, p, name, events)
	}
}

// dry keeps events away from half of the partitions for hours, now and then.
func (s *simulation) dry(ctx context.Context) {
	r := s.draws("drought")
	for sleep(ctx, r.time(betweenDroughts)) {
		s.drought.Store(true)
		s.judge.notes("", "the upper half of the partitions gets no events from now on")
		sleep(ctx, r.time(longestDrought))
		s.drought.Store(false)
		s.judge.notes("", "all partitions get events again")
	}
}

// pauseBetween is how long a producer waits before it sends again: bursts, a steady trickle, and hours of nothing.
func pauseBetween(r random) time.Duration {
	switch n := r.upTo(2000); {
	case n == 0:
		return r.time(3 * time.Hour)
	case n < 1000:
		return r.time(time.Second)
	}
	return r.time(8 * time.Second)
}

// drawDestination draws where an event goes. In a drought the upper half of the partitions gets none.
func (s *simulation) drawDestination(r random) (e eventhubs.Event) {
	choice, partition, key := r.upTo(3), r.upTo(partitions), r.upTo(20)
	switch {
	case s.drought.Load():
		e.PartitionID = strconv.Itoa(partition / 2)
	case choice == 0:
		e.PartitionID = strconv.Itoa(partition)
	case choice == 1:
		e.PartitionKey = strconv.Itoa(key)
	}
	return e
}

// send sends events, and notes which were acknowledged.
func (s *simulation) send(ctx context.Context, p *eventhubs.Producer, name string, events []eventhubs.Event) {
	returned := s.judge.within(sendBound, "%s: Send of %d events", name, len(events))
	err := p.Send(ctx, events...)
	returned()
	var partly *eventhubs.SendError
	if err != nil && !errors.As(err, &partly) {
		return // nothing was sent
	}
	s.sentMu.Lock()
	defer s.sentMu.Unlock()
	for i, e := range events {
		if partly == nil || !slices.Contains(partly.Unacknowledged, i) {
			s.sent[string(e.Body)] = destination{e.PartitionID, e.PartitionKey}
		}
	}
}

// destination is where an event was sent. The zero value is wherever the service likes.
type destination struct{ partition, key string }

// audit compares what was acknowledged with what is stored. It returns how many events were acknowledged, and how many
// are stored more than once, because answers were lost.
func (s *simulation) audit() (sent, twice int) {
	stored := map[string]int{}
	last := map[string]int{} // by sender and destination: the last number that was acknowledged
	s.sentMu.Lock()
	defer s.sentMu.Unlock()
	for _, e := range s.server.AllEvents(hub) {
		id := string(e.Body)
		stored[id]++
		if stored[id] == 2 {
			twice++
		}
		sender, number, _ := strings.Cut(id, " ")
		n, err := strconv.Atoi(number)
		require.NoError(s.t, err)
		to, acknowledged := s.sent[id]
		if stored[id] > 1 || !acknowledged || to == (destination{}) {
			continue
		}
		stream := fmt.Sprint(sender, to, e.PartitionID) // when partitions are added, a key may move to another one
		if n < last[stream] {
			s.judge.accuses(outOfOrder, &place{e.PartitionID, e.SequenceNumber}, "%s is stored after %d", id, last[stream])
		}
		last[stream] = n
	}
	for id := range s.sent {
		if stored[id] == 0 {
			s.judge.accuses(lost, nil, "%s was acknowledged, but is not stored", id)
		}
	}
	return len(s.sent), twice
}
