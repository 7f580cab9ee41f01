package eventhubs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

func handlerReturnsNil(t *testing.T) {
	s := newScene(t, 2)
	s.send("0", 30)
	s.send("1", 30)
	r := s.receive("first", calm(), nothing)
	s.untilAll()
	s.untilCheckpoint("0", 29)
	s.untilCheckpoint("1", 29)
	r.stop()

	s.send("0", 1)
	s.send("1", 1)
	r = s.receive("second", calm(), nothing)
	s.untilAll()
	r.stop()
	require.EqualValues(t, 30, s.checkpoint("0"))
	s.require(t, 0, 0, 0)
}

func handlerReturnsError(t *testing.T) {
	cases(t, []guaranteeCase{
		{"Receive", func(t *testing.T) {
			failing(t, func(s *scene, c *eventhubs.Consumer, h eventhubs.Handler) *receiving {
				return s.start(c, func(ctx context.Context) error { return c.Receive(ctx, s.handler("only", h)) })
			})
		}},
		{"ReceiveBatch", func(t *testing.T) {
			failing(t, func(s *scene, c *eventhubs.Consumer, h eventhubs.Handler) *receiving {
				return s.start(c, func(ctx context.Context) error {
					return c.ReceiveBatch(ctx, s.batchHandler("only", func(ctx context.Context, events []*eventhubs.ReceivedEvent) error { // MaxBatch is 1
						return h(ctx, events[0])
					}))
				})
			})
		}},
		{"a batch comes again as it was", failingBatches},
	})
}

// failing has the handler of one partition fail until the other partition is done, and a few times more.
func failing(t *testing.T, start func(*scene, *eventhubs.Consumer, eventhubs.Handler) *receiving) {
	s := newScene(t, 2)
	s.send("0", 6)
	s.send("1", 20)
	o := calm()
	o.MaxBatch = 1
	c, err := eventhubs.NewConsumer(s.cfg, s.store, &o)
	require.NoError(t, err)
	var others atomic.Int32
	var attempts []time.Time // partition 0 has one handler at a time
	r := start(s, c, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		if e.PartitionID == "1" {
			others.Add(1)
			return nil
		}
		if e.SequenceNumber == 2 {
			attempts = append(attempts, time.Now())
			if e.Attempt != len(attempts) {
				return eventhubs.Stop(fmt.Errorf("attempt %d says it is %d", len(attempts), e.Attempt))
			}
			if others.Load() < 20 || e.Attempt < 3 {
				return errors.New("not yet")
			}
		}
		return nil
	})
	s.untilAll()
	r.stop()
	require.GreaterOrEqual(t, attempts[1].Sub(attempts[0]), 75*time.Millisecond, "100 ms, give or take a quarter")
	require.GreaterOrEqual(t, attempts[2].Sub(attempts[1]), 150*time.Millisecond, "twice as long")
	for attempt := 1; attempt < len(attempts); attempt++ {
		require.Equal(t, 1, s.log.count("level=WARN", "partition=0", "sequence=2", fmt.Sprintf("attempt=%d ", attempt), `error="not yet"`), "each attempt that fails is logged")
	}
	came, _ := s.times("0", 2)
	require.Len(t, attempts, came)
	require.EqualValues(t, 5, s.checkpoint("0"))
	s.require(t, 0, 0, 0)
}

func failingBatches(t *testing.T) {
	s := newScene(t, 1)
	s.send("0", 50)
	o := calm()
	o.MaxBatch = 20
	o.Backoff = func(int, error) time.Duration { return 0 }
	c, err := eventhubs.NewConsumer(s.cfg, s.store, &o)
	require.NoError(t, err)
	var failed []*eventhubs.ReceivedEvent // those of the last batch, if it has failed
	r := s.start(c, func(ctx context.Context) error {
		return c.ReceiveBatch(ctx, s.batchHandler("only", func(_ context.Context, events []*eventhubs.ReceivedEvent) error {
			if failed == nil {
				failed = append(failed, events...)
				return errors.New("once")
			}
			if !slices.Equal(failed, events) {
				return eventhubs.Stop(fmt.Errorf("%d events from %d came after %d from %d had failed", len(events), events[0].SequenceNumber, len(failed), failed[0].SequenceNumber))
			}
			failed = nil
			return nil
		}))
	})
	s.untilAll()
	r.stop()
	require.EqualValues(t, 49, s.checkpoint("0"))
	s.require(t, 0, 0, 0)
}

func handlerReturnsStop(t *testing.T) {
	cause := errors.New("no use")
	handlerEnds(t, func() error { return eventhubs.Stop(cause) }, func(t *testing.T, e *eventhubs.HandlerError) { require.ErrorIs(t, e, cause) })
}

func handlerPanics(t *testing.T) {
	handlerEnds(t, func() error { panic("oh no") }, func(t *testing.T, e *eventhubs.HandlerError) {
		require.Equal(t, "oh no", e.Panic)
		require.Contains(t, string(e.Stack), "guarantee_handler_test.go")
	})
}

// handlerEnds has a handler end Receive while one of another partition is running.
func handlerEnds(t *testing.T, fail func() error, check func(*testing.T, *eventhubs.HandlerError)) {
	s := newScene(t, 2)
	s.send("0", 10)
	s.send("1", 10)
	failing, release := make(chan struct{}), make(chan struct{})
	r := s.receive("first", calm(), func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		switch {
		case e.PartitionID == "1" && e.SequenceNumber == 5:
			<-release
			return ctx.Err() // it is not cancelled
		case e.PartitionID == "0" && e.SequenceNumber == 5:
			s.until("a handler of the other partition is running", func() bool { return s.hasCome("1", 5) })
			close(failing)
			return fail()
		}
		return nil
	})
	<-failing
	select {
	case <-r.ended:
		t.Fatal("Receive returned while a handler was running")
	case <-time.After(50 * time.Millisecond): // not a synchronisation: the test only gets sharper with time
	}
	close(release)
	var failed *eventhubs.HandlerError
	require.ErrorAs(t, r.result(), &failed)
	require.Equal(t, "0", failed.PartitionID)
	require.EqualValues(t, 5, failed.SequenceNumber)
	check(t, failed)
	came, _ := s.times("0", 5)
	require.Equal(t, 1, came, "it is not tried again")
	require.EqualValues(t, 4, s.checkpoint("0"), "up to the event before it")
	require.EqualValues(t, 5, s.checkpoint("1"), "the other partition has drained")
	require.Empty(t, s.owner("0"), "ownership is released")

	again := s.receive("second", calm(), nothing)
	s.untilAll()
	again.stop()
	s.require(t, 0, 0, 0)
}

func ctxIsCancelled(t *testing.T) {
	cases(t, []guaranteeCase{
		{"handlers finish in time", func(t *testing.T) {
			drained(t, func(r *receiving) { r.cancel() }, 0)
		}},
		{"Close", func(t *testing.T) {
			drained(t, func(r *receiving) {
				go func() { _ = r.consumer.Close(context.Background()) }() // it waits for Receive; the second Close says what went wrong
			}, 0)
		}},
		{"DrainTimeout passes", func(t *testing.T) {
			drained(t, func(r *receiving) { r.cancel() }, time.Millisecond)
		}},
		{"while it connects", cancelledAtOnce},
		{"while claims are made", func(t *testing.T) { cancelledInClaim(t, "PutBlob") }},
		{"while claims are renewed", func(t *testing.T) { cancelledInClaim(t, "SetBlobMetadata") }},
		{"raw SDK", rawCancel},
	})
}

// drained stops a consumer while its handlers are running, and has another one go on.
func drained(t *testing.T, stop func(*receiving), timeout time.Duration) {
	s := newScene(t, 2)
	s.send("0", 20)
	s.send("1", 20)
	o := calm()
	o.DrainTimeout = timeout
	release := make(chan struct{})
	var running sync.WaitGroup
	running.Add(2)
	var causes atomic.Int32
	r := s.receive("first", o, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		if e.SequenceNumber < 7 {
			return nil
		}
		running.Done()
		select {
		case <-release:
			return ctx.Err()
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), eventhubs.ErrDraining) {
				causes.Add(1)
			}
			return ctx.Err()
		}
	})
	running.Wait()
	stop(r)
	finished := int64(7)
	if timeout > 0 {
		finished = 6
	} else {
		select {
		case <-r.ended:
			t.Fatal("Receive returned while handlers were running")
		case <-time.After(300 * time.Millisecond): // not a synchronisation; in this time the claims are renewed, and nothing else is claimed
		}
		require.Equal(t, "first", s.owner("0"), "it is ours until the handler has finished")
		close(release)
	}
	require.NoError(t, r.result())
	if timeout > 0 {
		require.EqualValues(t, 2, causes.Load(), "handlers that take longer are cancelled")
	} else {
		require.Zero(t, causes.Load())
	}
	for _, id := range []string{"0", "1"} {
		require.Equal(t, finished, s.checkpoint(id))
		require.Empty(t, s.owner(id))
		require.False(t, s.hasCome(id, 8), "nothing new is begun")
	}

	o = calm()
	o.ExpirationInterval = time.Hour // it doesn't have to wait for claims to expire
	next := s.receive("second", o, nothing)
	s.untilAll()
	next.stop()
	require.Equal(t, []int64{0, finished + 1}, s.begins("0"))
	s.require(t, 0, 0, 0)
}

// cancelledAtOnce has Receive end before it has begun.
func cancelledAtOnce(t *testing.T) {
	s := newScene(t, 2)
	s.send("0", 3)
	for range 10 {
		r := s.receive("early", calm(), nothing)
		r.stop()
	}
	r := s.receive("last", calm(), nothing)
	s.untilAll()
	r.stop()
	s.require(t, 0, 0, 0)
}

// cancelledInClaim has Receive end when a claim is stored, and its answer is on the way: what the Processor doesn't know is released all the same.
func cancelledInClaim(t *testing.T, operation string) {
	s := newScene(t, 2)
	tag := func() any {
		if e := s.ownership(s.store, "$Default")["0"].ETag; e != nil {
			return *e
		}
		return nil
	}
	var was any
	if operation == "PutBlob" {
		s.srv.BlobFault(eventhubstest.BlobFault{Operation: operation, NameContains: "/ownership/", Hang: true, After: true, Times: 2})
	}
	r := s.receive("first", calm(), nothing)
	if operation != "PutBlob" {
		s.until("the claim is made", func() bool { return s.owner("0") == "first" })
		s.srv.BlobFault(eventhubstest.BlobFault{Operation: operation, NameContains: "/ownership/", Hang: true, After: true, Times: 2})
		was = tag()
	}
	s.until("the claim is stored", func() bool { return tag() != was })
	r.stop()
	require.Empty(t, s.owner("0"))
	require.Empty(t, s.owner("1"))
}

// rawCancel records SDK-FACTS 4: Run gives ownership up while handlers run, and then their checkpoints undo those of the next owner.
func rawCancel(t *testing.T) {
	s := newScene(t, 1)
	s.send("0", 10)
	first := s.raw("first", "$Default", earliest)
	old := first.partition(t)
	e := rawEvent(t, old) // its handler begins here
	first.cancel()
	<-first.ended
	if s.ownership(first.store, "$Default")["0"].OwnerID != "" {
		mended(t, "the Processor gives ownership up while handlers run", "the Processor's own context in runProcessor, and drain")
	}
	next := s.raw("second", "$Default", earliest).partition(t)
	var last = rawEvent(t, next)
	if last.SequenceNumber != e.SequenceNumber {
		mended(t, "the next owner gets what a handler of the last one is processing", "drain")
	}
	for last.SequenceNumber < 9 {
		last = rawEvent(t, next)
	}
	require.NoError(t, next.UpdateCheckpoint(t.Context(), last, nil))
	require.EqualValues(t, 9, checkpoint(t, s.srv, first.store, "0"))
	err := old.UpdateCheckpoint(t.Context(), e, nil) // and ends here
	if err != nil || checkpoint(t, s.srv, first.store, "0") != 0 {
		mended(t, "a handler that ends late moves the checkpoint of the next owner back", "the comparison in internal/checkpoint, SetCheckpoint; lease.Store.SetCheckpoint")
	}
}
