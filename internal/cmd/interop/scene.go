package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// place is a namespace that rows are run against.
type place struct {
	server *eventhubstest.Server
	ca     string // path; "" is plaintext
	// store is the connection string of its storage account.
	store string
}

// newPlace starts a namespace with an event hub for each row and client.
func newPlace(folder string, secure bool, hubs []eventhubstest.Hub) (*place, error) {
	server, err := eventhubstest.New(&eventhubstest.Options{Hubs: hubs, TLS: secure})
	if err != nil {
		return nil, err
	}
	p := &place{server: server}
	if secure {
		p.ca = filepath.Join(folder, "ca.pem")
		if err := os.WriteFile(p.ca, server.CA(), 0o600); err != nil {
			server.Close()
			return nil, err
		}
	}
	for _, v := range server.Env("") {
		if rest, ok := strings.CutPrefix(v, "BLOB_STORAGE_CONNECTION_STRING="); ok {
			p.store = rest
		}
	}
	return p, nil
}

// partitions is how many partitions the event hub of a row has.
const partitions = 4

// group is a consumer group that every hub has beside $Default.
const group = "Interop"

func (p *place) target(hub string) target {
	return target{Connection: p.server.ConnectionString(hub), Hub: hub, Group: "$Default", CA: p.ca}
}

// scene is what a row has for one client: an event hub of its own.
type scene struct {
	*place
	client  client
	name    string // of the client
	hub     string
	clients map[string]client // all that take part, in this place
	account string            // connection string of the storage account for checkpoints
	tests   string            // that of the account for tests of Go packages; only with Azurite
	tools   *tools
	notes   []string
	// transcript holds commands and their output, if the row keeps them.
	transcript []string
}

func (s *scene) at() target { return s.target(s.hub) }

func (s *scene) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// events are what a partition holds.
func (s *scene) events(partition string) []eventhubstest.Event {
	return s.server.Events(s.hub, partition)
}

// want waits until a condition holds.
func want(ctx context.Context, what string, condition func() (bool, error)) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := condition()
		if err != nil {
			return fmt.Errorf("waiting until %s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited in vain until %s", what)
		case <-tick.C:
		}
	}
}

// refused wants an error of a kind.
func refused(err error, kind string) error {
	switch got := kindOf(err); {
	case err == nil:
		return fmt.Errorf("it succeeded: it has to be refused (%s)", kind)
	case got == kindUnsupported:
		return err
	case got != kind:
		return fmt.Errorf("refused with %w: it has to be %s", err, kind)
	}
	return nil
}

// mismatch returns an error unless got is want.
func mismatch[T comparable](what string, got, want T) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("%s is %v, want %v", what, got, want)
}

// failures is every error that is not nil.
func failures(errs ...error) error { return errors.Join(errs...) }

// numbered are n events whose bodies tell them apart.
func numbered(n int) (events []event) {
	for i := range n {
		events = append(events, event{Body: []byte(body(i))})
	}
	return events
}

func body(i int) string { return fmt.Sprintf("event %d", i) }

// fillWith sends numbered events to a partition, each in a message of its own and at least 3 ms apart, so that their
// times differ.
func (s *scene) fillWith(ctx context.Context, partition string, n int) error {
	producer, err := newGoSDK().producer(s.at())
	if err != nil {
		return err
	}
	defer producer.Close(ctx)
	for _, e := range numbered(n) {
		b, err := producer.NewEventDataBatch(ctx, batchOptions(partition, ""))
		if err != nil {
			return err
		}
		if err := add(b, e); err != nil {
			return err
		}
		if err := producer.SendEventDataBatch(ctx, b, nil); err != nil {
			return err
		}
		time.Sleep(3 * time.Millisecond) // the times have to differ
	}
	return nil
}

// fromStart reads n events of a partition from the earliest one.
func fromStart(partition string, n int) reading {
	return reading{Partition: partition, Start: start{Earliest: true}, Count: n, TimeoutMS: int(readTime.Milliseconds())}
}
