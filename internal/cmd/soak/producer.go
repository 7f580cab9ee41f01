//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-eventhubs/eventhubs"
)

const (
	// keys is how many partition keys there are, beside a stream to each partition.
	keys = 32
	// senders is how many senders there are. They send concurrently, each to partitions and keys of its own.
	senders = 4
	// sendEvery is the time between two calls of Send.
	sendEvery = 50 * time.Millisecond
	// sendTimeout ends a Send whose answer is lost: the SDK waits for it as long as its context lasts.
	sendTimeout = 3 * time.Second
	// sendPatience is how long a sender may fail in a row.
	sendPatience = time.Minute
)

// producer sends numbered events. A sender sends again what was not acknowledged before it sends anything else.
type producer struct {
	client  *eventhubs.Producer
	senders []*sender
	running sync.WaitGroup
	stop    context.CancelFunc
	sent    atomic.Int64 // acknowledged
	failed  atomic.Int64 // calls of Send
}

// sender sends to its streams in turn.
type sender struct {
	*producer
	streams []*source
	turn    int
	each    int // events in a call of Send
}

// source is the sending end of a stream: where its events go, and the number of the next one.
type source struct {
	name string
	to   eventhubs.Event
	next int64
}

// startProducer sends until stop is called, or fails.
func startProducer(cfg eventhubs.Config, rate int, fail func(error)) (*producer, error) {
	client, err := eventhubs.NewProducer(cfg, nil)
	if err != nil {
		return nil, err
	}
	p := &producer{client: client}
	for range senders {
		p.senders = append(p.senders, &sender{producer: p, each: max(rate*int(sendEvery/time.Millisecond)/1000/senders, 1)})
	}
	for i := range partitions {
		id := strconv.Itoa(i)
		p.assign(&source{name: "partition-" + id, to: eventhubs.Event{PartitionID: id}}, i)
	}
	for i := range keys {
		key := "key-" + strconv.Itoa(i)
		p.assign(&source{name: key, to: eventhubs.Event{PartitionKey: key}}, i)
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	for _, s := range p.senders {
		p.running.Go(func() {
			if err := s.run(ctx); err != nil {
				fail(err)
			}
		})
	}
	return p, nil
}

func (p *producer) assign(s *source, i int) {
	to := p.senders[i%len(p.senders)]
	to.streams = append(to.streams, s)
}

// finish stops sending once all is acknowledged, and returns how many events each stream has.
func (p *producer) finish() map[string]int64 {
	p.stop()
	p.running.Wait()
	sent := map[string]int64{}
	for _, s := range p.senders {
		for _, stream := range s.streams {
			sent[stream.name] = stream.next
		}
	}
	return sent
}

func (s *sender) run(ctx context.Context) error {
	tick := time.NewTicker(sendEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.send(s.events()); err != nil {
				return err
			}
		}
	}
}

func (s *sender) events() (events []eventhubs.Event) {
	for range s.each {
		stream := s.streams[s.turn%len(s.streams)]
		s.turn++
		e := stream.to
		e.Body = body(stream.name, stream.next)
		stream.next++
		events = append(events, e)
	}
	return events
}

// send sends events until all are acknowledged. What a failed call has not sent keeps its order.
func (s *sender) send(events []eventhubs.Event) error {
	began := time.Now()
	for {
		err := s.once(events)
		if err == nil {
			s.sent.Add(int64(len(events)))
			return nil
		}
		s.failed.Add(1)
		if time.Since(began) > sendPatience {
			return fmt.Errorf("the producer has failed for %v: %w", sendPatience, err)
		}
		var partly *eventhubs.SendError
		if errors.As(err, &partly) {
			var unsent []eventhubs.Event
			for _, i := range partly.Unacknowledged {
				unsent = append(unsent, events[i])
			}
			s.sent.Add(int64(len(events) - len(unsent)))
			events = unsent
		}
		time.Sleep(sendEvery) // no busy loop when Send fails at once
	}
}

func (s *sender) once(events []eventhubs.Event) error {
	ctx, cancel := context.WithTimeout(context.Background(), sendTimeout)
	defer cancel()
	return s.client.Send(ctx, events...)
}
