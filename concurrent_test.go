package eventhubs_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// TestSendConcurrently has thousands of calls run at the same time, with one event or several, and leaves some at random. It counts in the hub what became of them.
func TestSendConcurrently(t *testing.T) {
	const senders, calls = 100, 30
	srv := eventhubstest.Start(t, nil)
	p := newProducer(t, srv.Config("hub"))
	srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Delay: time.Millisecond}) // so that batches are on their way while others come in

	acknowledged := make([]map[string]bool, senders)
	unknown := make([]map[string]bool, senders)
	var sending sync.WaitGroup
	for s := range senders {
		acknowledged[s], unknown[s] = map[string]bool{}, map[string]bool{}
		sending.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(s)))
			n := 0
			for range calls {
				var events []eventhubs.Event
				for range 1 + rnd.IntN(3) {
					e := eventhubs.Event{Body: fmt.Appendf(nil, "%d/%06d", s, n)}
					n++
					switch s % 3 {
					case 0:
						e.PartitionKey = fmt.Sprint("key ", s)
					case 1:
						e.PartitionID = "1"
					}
					events = append(events, e)
				}
				ctx, cancel := context.WithCancel(t.Context())
				if rnd.IntN(4) == 0 {
					time.AfterFunc(time.Duration(rnd.IntN(2000))*time.Microsecond, cancel)
				}
				note(t, p.Send(ctx, events...), events, acknowledged[s], unknown[s])
				cancel()
				for i := range events { // they belong to the caller again
					clear(events[i].Body)
				}
			}
		})
	}
	sending.Wait()

	stored := map[string]int{}
	last := map[string]string{}
	for _, e := range srv.AllEvents("hub") {
		body := string(e.Body)
		stored[body]++
		sender, _, _ := strings.Cut(body, "/")
		if e.PartitionKey != "" || sender[len(sender)-1:] != "" && isFixed(sender) {
			require.Greater(t, body, last[sender], "events of one sender to one key or partition keep their order")
			last[sender] = body
		}
	}
	total := 0
	for s := range senders {
		for body := range acknowledged[s] {
			require.Equal(t, 1, stored[body], "%s was acknowledged", body)
		}
		for body := range unknown[s] {
			require.LessOrEqual(t, stored[body], 1, "%s was not acknowledged", body)
		}
		total += len(acknowledged[s])
	}
	require.Greater(t, total, senders*calls/2)
}

func isFixed(sender string) bool {
	var s int
	_, _ = fmt.Sscan(sender, &s)
	return s%3 != 2
}

// note takes down what Send says of its events.
func note(t *testing.T, err error, events []eventhubs.Event, acknowledged, unknown map[string]bool) {
	var failed *eventhubs.SendError
	if err != nil && !errors.As(err, &failed) && errors.Is(err, context.Canceled) { // before anything was sent
		for _, e := range events {
			unknown[string(e.Body)] = true
		}
		return
	}
	if err != nil && failed == nil {
		t.Errorf("not a SendError: %v", err)
		return
	}
	if failed != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("nothing but a cancelled context is wrong: %v", err)
	}
	for i, e := range events {
		acknowledged[string(e.Body)] = true
		if failed != nil {
			for _, u := range failed.Unsent {
				if u == i {
					delete(acknowledged, string(e.Body))
					unknown[string(e.Body)] = true
				}
			}
		}
	}
}
