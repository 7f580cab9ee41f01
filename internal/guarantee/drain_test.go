package guarantee_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

var ctxIsCancelled = []aCase{
	{"handlers finish in time", in(2, func(s *scene.Scene) { drained(s, (*scene.Receiver).Cancel, 20*time.Second) })},
	{"Close", in(2, func(s *scene.Scene) {
		drained(s, func(r *scene.Receiver) {
			go func() { _ = r.Consumer.Close(context.Background()) }() // it waits for Receive
		}, 20*time.Second)
	})},
	{"DrainTimeout passes", in(2, func(s *scene.Scene) { drained(s, (*scene.Receiver).Cancel, time.Hour) })},
	{"Close's ctx ends", in(2, closeIsCutShort)},
	{"while it connects", cancelledEarly},
	{"while claims are made", in(2, func(s *scene.Scene) { cancelledInClaim(s, "PutBlob") })},
	{"while claims are renewed", in(2, func(s *scene.Scene) { cancelledInClaim(s, "SetBlobMetadata") })},
	{"raw SDK", in(1, rawCancel)},
}

const drainTimeout = 30 * time.Second // which is the default

// drained stops a consumer while its handlers are running, and they run for some more time. Another consumer continues.
func drained(s *scene.Scene, stop func(*scene.Receiver), running time.Duration) {
	s.Send(20, "0", "1")
	release := make(chan struct{})
	var begun sync.WaitGroup
	begun.Add(2)
	var cancelled atomic.Int32
	r := s.Receive("first", eventhubs.ConsumerOptions{}, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		if e.SequenceNumber < 7 {
			return nil
		}
		begun.Done()
		select {
		case <-release:
			return ctx.Err()
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), eventhubs.ErrDraining) {
				cancelled.Add(1)
			}
			return ctx.Err()
		}
	})
	begun.Wait()
	time.AfterFunc(running, func() { close(release) })
	began := time.Now()
	stop(r)
	time.Sleep(min(running, drainTimeout) - time.Second)
	require.False(s.T, r.Ended(), "handlers are running")
	require.Equal(s.T, "first", s.Owner("0"), "it is ours until the handler has finished")
	require.NoError(s.T, r.Result())
	require.Equal(s.T, min(running, drainTimeout), time.Since(began), "nothing else takes time")
	finished := int64(7)
	if running > drainTimeout {
		finished = 6
		require.EqualValues(s.T, 2, cancelled.Load(), "handlers that take longer are cancelled")
	}
	for _, id := range []string{"0", "1"} {
		require.Equal(s.T, finished, s.Checkpoint(id))
		require.Empty(s.T, s.Owner(id))
		require.False(s.T, s.Tally.HasCome(id, 8), "nothing new is begun")
	}

	began = time.Now()
	next := s.Receive("second", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	require.Less(s.T, time.Since(began), time.Second, "it does not wait for claims to expire")
	next.Stop()
	require.Equal(s.T, []int64{0, finished + 1}, s.Tally.Begins("0"))
	s.Check(0)
}

// closeIsCutShort has the ctx of Close end before handlers have finished. They are cancelled, and Receive ends.
func closeIsCutShort(s *scene.Scene) {
	s.Send(20, "0", "1")
	var begun sync.WaitGroup
	begun.Add(2)
	r := s.Receive("first", eventhubs.ConsumerOptions{}, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		if e.SequenceNumber < 7 {
			return nil
		}
		begun.Done()
		<-ctx.Done()
		return ctx.Err()
	})
	begun.Wait()
	began := time.Now()
	ctx, cancel := context.WithTimeout(s.T.Context(), 3*time.Second)
	defer cancel()
	require.ErrorIs(s.T, r.Consumer.Close(ctx), context.DeadlineExceeded)
	require.Equal(s.T, 3*time.Second, time.Since(began))
	synctest.Wait()
	require.True(s.T, r.Ended(), "Receive has ended too")
	next := s.Receive("second", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	next.Stop()
	s.Check(14) // what no checkpoint covered
}

// cancelledEarly cancels Receive at each step of its start. Each answer takes a while.
func cancelledEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const roundTrip = 20 * time.Millisecond
		s := scene.Open(t, eventhubstest.Options{
			InMemory: true, RoundTrip: roundTrip, Hubs: []eventhubstest.Hub{{Name: scene.Hub, Partitions: 2}},
		})
		s.Send(3, "0")
		for after := time.Duration(0); after < 20*roundTrip; after += roundTrip / 2 {
			r := s.Receive("early", eventhubs.ConsumerOptions{}, scene.Nothing)
			time.Sleep(after)
			r.Stop()
			require.Empty(s.T, s.Owner("0"))
		}
		r := s.Receive("last", eventhubs.ConsumerOptions{}, scene.Nothing)
		s.UntilHandled()
		r.Stop()
		s.Check(0)
	})
}

// cancelledInClaim cancels Receive when a claim is stored but its answer is still missing. The claim is released all
// the same.
func cancelledInClaim(s *scene.Scene, operation string) {
	hang := eventhubstest.BlobFault{
		Operation: operation, NameContains: "/ownership/", Hang: true, After: true, Times: 2,
	}
	tag := func() string {
		if e := s.Ownership(s.Store, scene.Group)["0"].ETag; e != nil {
			return string(*e)
		}
		return ""
	}
	was := ""
	if operation == "PutBlob" {
		s.Server.BlobFault(hang)
	}
	r := s.Receive("first", eventhubs.ConsumerOptions{}, scene.Nothing)
	if operation != "PutBlob" {
		s.Until("the claim is made", func() bool { return s.Owner("0") == "first" })
		s.Server.BlobFault(hang)
		was = tag()
	}
	s.Until("the claim is stored", func() bool { return tag() != was })
	began := time.Now()
	r.Stop()
	require.LessOrEqual(s.T, time.Since(began), 6*time.Second)
	require.Empty(s.T, s.Owner("0"))
	require.Empty(s.T, s.Owner("1"))
}

// earliest makes the Processor start where the library starts by default.
var earliest = azeventhubs.StartPosition{Earliest: ptr(true)}

// rawCancel records what the SDK does: Run gives ownership up while handlers run, and then their checkpoints undo those
// of the next owner.
func rawCancel(s *scene.Scene) {
	s.Send(10, "0")
	first := s.Raw("first", scene.Group, s.RawStore(), earliest)
	old := first.Partition()
	e := first.Next(old) // its handler begins here
	first.Cancel()
	if s.Ownership(first.Store, scene.Group)["0"].OwnerID != "" {
		s.Mended("the Processor gives ownership up while handlers run", "leave in internal/receive")
	}
	second := s.Raw("second", scene.Group, s.RawStore(), earliest)
	next := second.Partition()
	last := second.Next(next)
	if last.SequenceNumber != e.SequenceNumber {
		s.Mended("the next owner gets what a handler of the last one is processing", "leave in internal/receive")
	}
	for last.SequenceNumber < 9 {
		last = second.Next(next)
	}
	require.NoError(s.T, next.UpdateCheckpoint(s.T.Context(), last, nil))
	require.EqualValues(s.T, 9, s.CheckpointIn(first.Store, "0"))
	err := old.UpdateCheckpoint(s.T.Context(), e, nil) // and ends here
	if err != nil || s.CheckpointIn(first.Store, "0") != 0 {
		s.Mended("a handler that ends late moves the checkpoint of the next owner back",
			"SetCheckpoint in internal/checkpoint")
	}
}
