// Command demo shows the library at work, as "make demo". It runs the emulator and the example programs as processes,
// kills the receiver with SIGKILL, starts it again, and counts what was sent, received, repeated and lost. With -auth
// passwordless, the programs use TLS and DefaultAzureCredential.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs"
)

// patience is how long the demo waits for each step.
const patience = 30 * time.Second

func main() {
	log.SetFlags(0)
	auth := flag.String("auth", "", `how the programs sign in: "" for connection strings, or "passwordless"`)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, *auth)
	stop()
	if err != nil {
		log.Fatalf("demo: failed: %v", err)
	}
}

func run(ctx context.Context, auth string) error {
	bin, err := os.MkdirTemp("", "eventhubs-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	say("Building the emulator and the example programs.")
	// Without debug information linking takes half the time.
	build := exec.CommandContext(
		ctx, "go", "build", "-ldflags=-s -w", "-o", bin, "./examples/emulator", "./examples/send", "./examples/recv",
	)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}

	flags := []string{"-hubs", "hub:1", "-amqp", "127.0.0.1:0", "-blob", "127.0.0.1:0"}
	switch auth {
	case "":
	case "passwordless":
		flags = append(flags, "-passwordless", "-ca", filepath.Join(bin, "ca.pem"))
	default:
		return fmt.Errorf("-auth is %q: it must be passwordless, or left out", auth)
	}
	if err := os.Setenv("TMPDIR", bin); err != nil { // the emulator is killed in the end, and leaves its files there
		return err
	}
	emulator, err := start(filepath.Join(bin, "emulator"), flags...)
	if err != nil {
		return err
	}
	defer emulator.kill()
	if err := emulator.wait(ctx, "an emulator that is ready", func() bool { return emulator.has("ready") }); err != nil {
		return err
	}
	for _, name := range []string{
		"EVENT_HUB_CONNECTION_STRING", "EVENT_HUB_FULLY_QUALIFIED_NAMESPACE", "BLOB_STORAGE_CONNECTION_STRING",
		"BLOB_STORAGE_ACCOUNT_URL", "AZURE_CLIENT_ID",
	} {
		if err := os.Unsetenv(name); err != nil { // it would contradict what is set below
			return err
		}
	}
	for _, e := range append(exports(emulator.lines()), "INSTANCE_ID=demo") {
		name, value, _ := strings.Cut(e, "=")
		if err := os.Setenv(name, value); err != nil { // for the programs that it starts, and for itself
			return err
		}
	}
	cfg, err := eventhubs.ConfigFromEnv()
	if err != nil {
		return err
	}
	say("The emulator runs: an Event Hubs namespace and a storage account in one process: %s.", cfg)

	d := &demo{bin: bin, namespace: namespaceOf(cfg), reads: map[string]int{}}
	return d.play(ctx)
}

// demo is one run of the demo.
type demo struct {
	bin       string
	namespace string // in the names of checkpoints
	sent      int
	reads     map[string]int // how often each event was read, by partition and sequence number
}

func (d *demo) play(ctx context.Context) error {
	say("Starting examples/recv.")
	receiver, err := start(filepath.Join(d.bin, "recv"))
	if err != nil {
		return err
	}
	defer receiver.kill()
	if err := d.send(ctx); err != nil {
		return err
	}
	if err := receiver.wait(ctx, "three events", func() bool {
		return receiver.count("Received event") >= 3
	}); err != nil {
		return err
	}
	if err := d.waitForCheckpoint(ctx); err != nil {
		return err
	}
	say("A checkpoint covers them. Killing the receiver with SIGKILL: it can't clean up.")
	receiver.kill()
	d.tally(receiver)

	say("Starting examples/recv again.")
	receiver, err = start(filepath.Join(d.bin, "recv"))
	if err != nil {
		return err
	}
	defer receiver.kill()
	if err := d.send(ctx); err != nil {
		return err
	}
	if err := receiver.wait(ctx, "three more events", func() bool {
		return receiver.count("Received event") >= 3
	}); err != nil {
		return err
	}
	say("Stopping the receiver with Ctrl-C (SIGINT).")
	if err := receiver.interrupt(patience); err != nil {
		return fmt.Errorf("the receiver did not end cleanly: %w", err)
	}
	d.tally(receiver)
	return d.judge()
}

// send runs examples/send.
func (d *demo) send(ctx context.Context) error {
	say("Running examples/send.")
	sender, err := start(filepath.Join(d.bin, "send"))
	if err != nil {
		return err
	}
	defer sender.kill()
	if err := sender.exit(ctx); err != nil {
		return fmt.Errorf("examples/send: %w\n%s", err, strings.Join(sender.lines(), "\n"))
	}
	var n int
	for _, line := range sender.lines() {
		_, _ = fmt.Sscanf(line, "Sent %d events", &n)
	}
	d.sent += n
	return nil
}

// waitForCheckpoint waits until the store says that all events sent so far are processed.
func (d *demo) waitForCheckpoint(ctx context.Context) error {
	blobs, err := eventhubs.BlobConfigFromEnv()
	if err != nil {
		return err
	}
	store, err := eventhubs.NewBlobCheckpointStore(ctx, blobs)
	if err != nil {
		return err
	}
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		checkpoints, err := store.ListCheckpoints(ctx, d.namespace, os.Getenv("EVENT_HUB_NAME"), "$Default", nil)
		if err != nil {
			return err
		}
		covered := 0
		for _, c := range checkpoints {
			covered += int(*c.SequenceNumber) + 1
		}
		if covered == d.sent {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errors.New("no checkpoint was written")
}

var receivedLine = regexp.MustCompile(`^Received event "[^"]*" from (partition \S+ \(sequence number \d+\))$`)

// tally counts what a receiver has printed.
func (d *demo) tally(p *process) {
	for _, line := range p.lines() {
		if m := receivedLine.FindStringSubmatch(line); m != nil {
			d.reads[m[1]]++
		}
	}
}

func (d *demo) judge() error {
	repeated := 0
	for _, times := range d.reads {
		repeated += times - 1
	}
	lost := d.sent - len(d.reads)
	counts := fmt.Sprintf("sent=%d received=%d repeated=%d lost=%d", d.sent, len(d.reads), repeated, lost)
	if d.sent == 0 || repeated != 0 || lost != 0 {
		return errors.New(counts)
	}
	fmt.Println("demo: ok: " + counts)
	return nil
}

// exports reads the environment that the emulator prints.
func exports(lines []string) (env []string) {
	for _, line := range lines {
		if e, ok := strings.CutPrefix(line, "export "); ok {
			name, value, _ := strings.Cut(e, "=")
			env = append(env, name+"="+strings.Trim(value, "'"))
		}
	}
	return env
}

// namespaceOf is the namespace as the names of checkpoints spell it: without the port, unless it is an emulator without
// TLS.
func namespaceOf(cfg eventhubs.Config) string {
	if p, err := azeventhubs.ParseConnectionString(cfg.ConnectionString); err == nil {
		return p.FullyQualifiedNamespace
	}
	host, _, _ := net.SplitHostPort(cfg.Namespace)
	return host
}

func say(format string, args ...any) { fmt.Printf("demo: "+format+"\n", args...) }
