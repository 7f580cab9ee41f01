package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// watch is how long the SDK's Processor is watched with its default options, which take one partition every ten seconds
// or so.
const watch = 25 * time.Second

func partitionRows() []row {
	rows := []row{
		{
			"32 partitions of a fresh hub are read, default options (the SDK's: extrapolated from 25 s)", 1,
			target{kind: within, value: 0.1, unit: seconds}, setupFresh,
		},
		{"eventhubstest.Start, time", 9, target{kind: within, value: 0.001, unit: seconds}, start(startTime)},
		{"eventhubstest.Start, memory", 3, target{kind: within, value: 100 << 10, unit: bytes}, start(startMemory)},
	}
	u := &usages{known: map[usageOf]usage{}}
	for _, partitions := range []int{256, 512, 1024} {
		rows = append(rows, u.row("memory", partitions, bytes, func(u usage) float64 { return u.bytes }))
	}
	for _, partitions := range []int{256, 512, 1024} {
		rows = append(rows, u.row("goroutines", partitions, count, func(u usage) float64 { return u.goroutines }))
	}
	return rows
}

// setupFresh has each side read a hub that it has never seen, with an event in each of 32 partitions. The SDK's side
// counts a partition as soon as it is handed out.
func setupFresh(context.Context) (s sides, cleanup func(), err error) {
	const partitions = 32
	srv, err := newServer(0, partitions)
	if err != nil {
		return s, nil, err
	}
	if err := fill(srv.ConnectionString(hub), partitions, 1, 64); err != nil {
		return s, srv.Close, err
	}
	s.ours = func(ctx context.Context) (float64, error) {
		began := time.Now()
		t, err := receiveAll(ctx, backlog{partitions: partitions, each: 1}, srv, receiveOurs)
		if err != nil {
			return 0, err
		}
		return t.ended.Sub(began).Seconds(), nil
	}
	s.sdk = func(ctx context.Context) (float64, error) {
		client, err := newRawConsumer(srv)
		if err != nil {
			return 0, err
		}
		defer func() { _ = client.Close(context.WithoutCancel(ctx)) }()
		ctx, cancel := context.WithTimeout(ctx, watch)
		defer cancel()
		t := tally{want: math.MaxInt64}
		r := rawReceiver{
			client: client, store: eventhubs.NewMemoryCheckpointStore(), wait: exampleWait,
			opened: func(string) { t.count() }, handle: func(*azeventhubs.ReceivedEventData) {},
		}
		if err := r.run(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return 0, err
		}
		return watch.Seconds() * partitions / float64(t.got.Load()), nil
	}
	return s, srv.Close, nil
}

// start measures the local server. There is nothing in the SDK to compare it with.
func start(measure func() (float64, error)) func(context.Context) (sides, func(), error) {
	return func(context.Context) (sides, func(), error) {
		return sides{ours: func(context.Context) (float64, error) { return measure() }}, func() {}, nil
	}
}

func startTime() (float64, error) {
	began := time.Now()
	srv, err := eventhubstest.New(nil)
	took := time.Since(began)
	if err != nil {
		return 0, err
	}
	srv.Close()
	return took.Seconds(), nil
}

func startMemory() (float64, error) {
	const servers = 8
	before := usageNow()
	for range servers {
		srv, err := eventhubstest.New(nil)
		if err != nil {
			return 0, err
		}
		defer srv.Close()
	}
	return (usageNow().bytes - before.bytes) / servers, nil
}

// usage is what a process holds.
type usage struct{ bytes, goroutines float64 }

func usageNow() usage {
	runtime.GC()
	runtime.GC() // frees what the first one finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{bytes: float64(m.HeapAlloc + m.StackInuse), goroutines: float64(runtime.NumGoroutine())}
}

type usageOf struct {
	side       string
	partitions int
}

// usages hold what each partition costs while it is read, by side and number of partitions. Each is measured when it is
// first needed.
type usages struct {
	knownMu sync.Mutex
	known   map[usageOf]usage
}

// row compares what a partition costs with what it costs among 256. If it costs no more among many, the total grows
// linearly.
func (u *usages) row(what string, partitions int, in unit, pick func(usage) float64) row {
	base := func() float64 { return pick(u.known[usageOf{"ours", 256}]) }
	measure := func(side string, receive receiver) func(context.Context) (float64, error) {
		return func(ctx context.Context) (float64, error) {
			v, err := u.of(ctx, usageOf{side, partitions}, receive)
			return pick(v), err
		}
	}
	return row{
		name: fmt.Sprintf("%s a partition, %d partitions in one process, server included", what, partitions), rounds: 1,
		target: target{linear, 1.1, in, base},
		setup: func(context.Context) (sides, func(), error) {
			return sides{ours: measure("ours", receiveOurs), sdk: measure("sdk", receiveImpatient)}, func() {}, nil
		},
	}
}

func (u *usages) of(ctx context.Context, of usageOf, receive receiver) (usage, error) {
	u.knownMu.Lock()
	defer u.knownMu.Unlock()
	if v, ok := u.known[of]; ok {
		return v, nil
	}
	v, err := usageOfReading(ctx, of.partitions, receive)
	if err == nil {
		u.known[of] = v
	}
	return v, err
}

// usageOfReading is how much more the process holds per partition once it has read an event of each.
func usageOfReading(ctx context.Context, partitions int, receive receiver) (usage, error) {
	srv, err := newServer(0, partitions)
	if err != nil {
		return usage{}, err
	}
	defer srv.Close()
	if err := fill(srv.ConnectionString(hub), partitions, 1, 64); err != nil {
		return usage{}, err
	}
	before := usageNow()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := make(chan struct{})
	t := &tally{want: int64(partitions), done: func() { close(all) }}
	ended := make(chan error, 1)
	go func() { ended <- receive(ctx, backlog{}, srv, t.count) }()
	select {
	case <-all:
	case err := <-ended:
		return usage{}, errors.Join(errors.New("the receiver has ended early"), err)
	case <-time.After(time.Minute):
		return usage{}, fmt.Errorf("%d of %d partitions were read within a minute", t.got.Load(), partitions)
	}
	after := usageNow()
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		return usage{}, err
	}
	n := float64(partitions)
	return usage{bytes: (after.bytes - before.bytes) / n, goroutines: (after.goroutines - before.goroutines) / n}, nil
}
