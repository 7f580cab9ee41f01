package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

const (
	// pings is how many events are sent in one round, each after the one before has been handled.
	pings = 500
	// rawPings is the same for the SDK's example, which waits for rawWait here. With its own wait of a minute, each event
	// would take a minute.
	rawPings = 5
	rawWait  = time.Second
)

func latencyRows() []row {
	return []row{
		{
			"latency p50, one event, sent to handled (the example's wait: 1 s, not 60 s)", 3,
			target{kind: within, value: 0.0002, unit: seconds}, latency(0.50),
		},
		{
			"latency p99, one event, sent to handled (the example's wait: 1 s, not 60 s)", 3,
			target{kind: within, value: 0.001, unit: seconds}, latency(0.99),
		},
	}
}

// latency measures how long it takes from the call that sends an event until the handler has it, in a hub with one
// partition where nothing else happens.
func latency(percentile float64) func(context.Context) (sides, func(), error) {
	return func(context.Context) (s sides, cleanup func(), err error) {
		srv, err := newServer(0, 1)
		if err != nil {
			return s, nil, err
		}
		s.ours = func(ctx context.Context) (float64, error) {
			producer, err := eventhubs.NewProducer(srv.Config(hub), nil)
			if err != nil {
				return 0, err
			}
			defer producer.Close(context.WithoutCancel(ctx))
			send := func() error { return producer.Send(ctx, eventhubs.Event{Body: make([]byte, 64)}) }
			return pingPong(ctx, srv, receiveOurs, send, pings, percentile)
		}
		s.sdk = func(ctx context.Context) (float64, error) {
			client, err := newRawProducer(srv)
			if err != nil {
				return 0, err
			}
			defer func() { _ = client.Close(context.WithoutCancel(ctx)) }()
			send := func() error { return rawSendOne(ctx, client, &azeventhubs.EventData{Body: make([]byte, 64)}) }
			return pingPong(ctx, srv, receiveImpatient, send, rawPings, percentile)
		}
		return s, srv.Close, nil
	}
}

// receiveImpatient is receiveRaw with a shorter wait for 100 events.
func receiveImpatient(ctx context.Context, _ backlog, srv *eventhubstest.Server, count func()) error {
	client, err := newRawConsumer(srv)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close(context.WithoutCancel(ctx)) }()
	r := rawReceiver{
		client: client, store: eventhubs.NewMemoryCheckpointStore(), options: fairOptions(), wait: rawWait,
		handle: func(*azeventhubs.ReceivedEventData) { count() },
	}
	return r.run(ctx)
}

// pingPong sends n events one by one, and returns a percentile of the seconds that each took until it was handled. It
// doesn't count the events that the hub holds already, nor one that it sends first.
func pingPong(
	ctx context.Context, srv *eventhubstest.Server, receive receiver, send func() error, n int, percentile float64,
) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	handled := make(chan time.Time, 1)
	ended := make(chan error, 1)
	next := func() (time.Time, error) {
		select {
		case at := <-handled:
			return at, nil
		case err := <-ended:
			return time.Time{}, errors.Join(errors.New("the receiver has ended early"), err)
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
	if err := send(); err != nil {
		return 0, err
	}
	before := len(srv.AllEvents(hub))
	go func() { ended <- receive(ctx, backlog{}, srv, func() { handled <- time.Now() }) }()
	for range before {
		if _, err := next(); err != nil {
			return 0, err
		}
	}
	var took []float64
	for range n {
		began := time.Now()
		if err := send(); err != nil {
			return 0, err
		}
		at, err := next()
		if err != nil {
			return 0, err
		}
		took = append(took, at.Sub(began).Seconds())
	}
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		return 0, err
	}
	slices.Sort(took)
	return took[min(int(percentile*float64(n)), n-1)], nil
}
