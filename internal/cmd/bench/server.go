package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// The local server must not be what limits the other figures. So these rows run it in a process of its own, and two
// clients keep it busy in turn: one that bypasses the SDK (wire.go), whose cost doesn't matter, and the SDK's. "ours"
// is how many events the server moves per second of its own CPU time, and "sdk" how many the SDK's client moves per
// second of the client's CPU time. Server and client have one core each.

const (
	serveCommand = "serve"
	// held is how many events of a partition are read in one call.
	held = 64_000
	// serverProfile names an environment variable. If it is set, the server writes a CPU profile to that file.
	serverProfile = "BENCH_SERVER_PROFILE"
)

func serverRows() (rows []row) {
	for _, direction := range []struct {
		name  string
		setup func(size int) func(context.Context) (sides, func(), error)
	}{{"in", setupServerIn}, {"out", setupServerOut}} {
		for _, size := range sizes {
			rows = append(rows, row{
				fmt.Sprintf("local server, %s, %s, events a second of CPU (sdk: of its client's)", direction.name, sizeName(size)),
				5,
				target{kind: atLeast, value: 3, unit: perSecond}, direction.setup(size),
			})
		}
	}
	return rows
}

// setupServerIn sends batches of nearly the largest size allowed.
func setupServerIn(size int) func(context.Context) (sides, func(), error) {
	return func(ctx context.Context) (s sides, cleanup func(), err error) {
		p, err := startServing(64 << 20)
		if err != nil {
			return s, nil, err
		}
		w, err := dialWire(p.connectionString)
		if err == nil {
			err = w.openSender(hub)
		}
		if err != nil {
			return s, p.stop, err
		}
		perBatch := 1000 << 10 / (size + overhead)
		m, err := newBatch(perBatch, size)
		if err != nil {
			return s, p.stop, err
		}
		client, err := azeventhubs.NewProducerClientFromConnectionString(p.connectionString, "", nil)
		if err != nil {
			return s, p.stop, err
		}
		events := make([]*azeventhubs.EventData, 20*perBatch)
		for i := range events {
			events[i] = &azeventhubs.EventData{Body: make([]byte, size)}
		}
		const messages = 50
		s.ours = perCPUSecond(p.cpu, messages*perBatch, func(context.Context) error { return w.publish(m, messages) })
		s.sdk = perCPUSecond(cpuTime, len(events), func(ctx context.Context) error {
			return rawBulkSend(ctx, client, events)
		})
		return s, func() { w.close(); _ = client.Close(ctx); p.stop() }, rawSendOne(ctx, client, events[0])
	}
}

// setupServerOut reads the same partition again and again.
func setupServerOut(size int) func(context.Context) (sides, func(), error) {
	return func(ctx context.Context) (s sides, cleanup func(), err error) {
		p, err := startServing(1 << 30)
		if err != nil {
			return s, nil, err
		}
		if err := fill(p.connectionString, 1, held, size); err != nil {
			return s, p.stop, err
		}
		client, err := azeventhubs.NewConsumerClientFromConnectionString(
			p.connectionString, "", azeventhubs.DefaultConsumerGroup, nil,
		)
		if err != nil {
			return s, p.stop, err
		}
		s.ours = perCPUSecond(p.cpu, held, func(context.Context) error {
			w, err := dialWire(p.connectionString)
			if err != nil {
				return err
			}
			defer w.close()
			return w.read("0", held)
		})
		s.sdk = perCPUSecond(cpuTime, held, func(ctx context.Context) error { return rawReadPartition(ctx, client, held) })
		return s, func() { _ = client.Close(ctx); p.stop() }, nil
	}
}

// rawReadPartition reads the first n events of partition 0 with the SDK and nothing else: no Processor and no
// checkpoints.
func rawReadPartition(ctx context.Context, client *azeventhubs.ConsumerClient, n int) error {
	earliest := true
	partition, err := client.NewPartitionClient("0", &azeventhubs.PartitionClientOptions{
		StartPosition: azeventhubs.StartPosition{Earliest: &earliest},
	})
	if err != nil {
		return err
	}
	defer func() { _ = partition.Close(ctx) }()
	for got := 0; got < n; {
		events, err := partition.ReceiveEvents(ctx, 100, nil)
		if err != nil {
			return err
		}
		got += len(events)
	}
	return nil
}

// perCPUSecond runs work over and over for sendFor, on one core, and returns the events per second of CPU time. Each
// call of work handles n events.
func perCPUSecond(
	cpu func() (float64, error), n int, work func(context.Context) error,
) func(context.Context) (float64, error) {
	return func(ctx context.Context) (float64, error) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		before, err := cpu()
		if err != nil {
			return 0, err
		}
		done := 0
		for began := time.Now(); time.Since(began) < sendFor; done += n {
			if err := work(ctx); err != nil {
				return 0, err
			}
		}
		after, err := cpu()
		return float64(done) / (after - before), err
	}
}

// serving is a server in a process of its own.
type serving struct {
	cmd              *exec.Cmd
	in               io.WriteCloser
	out              *bufio.Reader
	connectionString string
}

func startServing(retention int64) (*serving, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &serving{cmd: exec.Command(program, serveCommand, fmt.Sprint(retention))}
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("the server has not started: %w", err)
	}
	p.connectionString = strings.TrimSpace(line)
	return p, nil
}

// cpu is the CPU time that the server's process has used, in seconds.
func (p *serving) cpu() (v float64, err error) {
	if _, err = fmt.Fprintln(p.in); err != nil {
		return 0, err
	}
	_, err = fmt.Fscanln(p.out, &v)
	return v, err
}

func (p *serving) stop() {
	_ = p.in.Close()
	_ = p.cmd.Wait() // its exit status doesn't matter
}

// serve is what the server's process runs: a server, until the input ends. It answers each line of input with its CPU
// time.
func serve(retention string) error {
	if path := os.Getenv(serverProfile); path != "" {
		return profiled(path, func() error { return serveUntilEnd(retention) })
	}
	return serveUntilEnd(retention)
}

func serveUntilEnd(retention string) error {
	o := &eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: hub, Partitions: 1}}}
	if _, err := fmt.Sscan(retention, &o.RetentionBytes); err != nil {
		return err
	}
	srv, err := eventhubstest.New(o)
	if err != nil {
		return err
	}
	defer srv.Close()
	fmt.Println(srv.ConnectionString(hub))
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		v, err := cpuTime()
		if err != nil {
			return err
		}
		fmt.Println(v)
	}
	return nil
}
