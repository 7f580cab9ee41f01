package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// renewing is how a client is made to renew a token within a row.
type renewing struct {
	// lifetime is how long tokens are valid.
	lifetime time.Duration
	// defaultPort says that the client can only use the default port.
	defaultPort bool
	read        reader
}

// reader reads a hub's only partition from its earliest event until each returns false.
type reader func(ctx context.Context, s *scene, server *eventhubstest.Server, each func(body string) (more bool)) error

// Each lifetime is a little longer than the shortest with which the client renews at all:
//
//   - Go renews ten minutes before the end, but not in the first two minutes (azeventhubs/v2, internal/namespace.go,
//     nextClaimRefreshDuration).
//   - Python renews when a tenth is left (azure-eventhub, _pyamqp/aio/_cbs_async.py), and its credential asks for no
//     other token within half a minute of the last one (azure-identity, _internal/utils.py, get_refresh_status). So the
//     last tenth has to begin after that.
//   - JavaScript renews two minutes before the end (@azure/event-hubs, withAuth.ts, getAadToken).
//   - Java renews when nine tenths are over (azure-core-amqp, ActiveClientTokenManager).
var renewals = map[string]renewing{
	"ours":   {lifetime: 135 * time.Second, read: readAsOurs},
	"go":     {lifetime: 135 * time.Second, read: readAsGo},
	"python": {lifetime: 40 * time.Second, defaultPort: true, read: readAsProgram("watch")},
	"js":     {lifetime: 135 * time.Second, read: readAsProgram("receive")},
	"java":   {lifetime: 30 * time.Second, defaultPort: true, read: readAsProgram("receive")},
}

// renewalTime is how long the row may take: JavaScript's tokens are valid for more than two minutes, and Java's client
// waits for its port.
const renewalTime = 8 * time.Minute

// renewal reads for longer than tokens are valid, on a single link. No event may be missed, and none may come twice.
func renewal(ctx context.Context, s *scene) error {
	how := renewals[s.name]
	var tokens, links atomic.Int64
	if err := s.readsFor(ctx, how, &tokens, &links); err != nil {
		return err
	}
	if tokens.Load() < 2 || links.Load() != 1 {
		return fmt.Errorf("%d tokens were put for readers, and %d links opened: the first link's token has to be renewed",
			tokens.Load(), links.Load())
	}
	s.note("it renews tokens that hold for %v", how.lifetime)
	return nil
}

// shortTokens is a lifetime that is too short for any renewal.
const shortTokens = 2 * time.Second

// runsOut wants a client to continue reading after a token has expired that couldn't be renewed in time.
func runsOut(ctx context.Context, s *scene) error {
	how := renewals[s.name]
	how.lifetime = shortTokens
	var tokens, links atomic.Int64
	return s.readsFor(ctx, how, &tokens, &links)
}

// readsFor reads for longer than tokens are valid, and counts the readers' tokens and links.
func (s *scene) readsFor(ctx context.Context, how renewing, tokens, links *atomic.Int64) error {
	options := &eventhubstest.Options{
		TLS: true, TokenLifetime: how.lifetime, Hubs: []eventhubstest.Hub{{Name: s.hub, Partitions: 1}},
	}
	if how.defaultPort {
		release, err := s.tools.claimDefaultPort(ctx)
		if err != nil {
			return err
		}
		defer release()
		options.Address = "127.0.0.1:5671"
	}
	server, err := eventhubstest.New(options)
	if err != nil {
		return taken(err)
	}
	defer server.Close()
	// A fault in which nothing goes wrong only counts.
	counted := eventhubstest.Fault{On: eventhubstest.OnToken, Link: eventhubstest.ReaderLink, Hub: s.hub, Happened: tokens}
	server.Fault(counted)
	counted.On, counted.Happened = eventhubstest.OnAttach, links
	server.Fault(counted)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var first atomic.Bool // an event has arrived, so the first token is in use
	enough := make(chan struct{})
	sending := make(chan error, 1)
	go func() { sending <- s.sendSteadily(ctx, server, &first, enough, how.lifetime) }()
	next, wrong := 0, ""
	err = how.read(ctx, s, server, func(body string) bool {
		first.Store(true)
		if want := strconv.Itoa(next); body != want {
			wrong = fmt.Sprintf("%s came instead of %s", body, want)
		}
		next++
		select {
		case <-enough:
			return wrong == "" && next < len(server.Events(s.hub, "0"))
		default:
			return wrong == ""
		}
	})
	cancel()
	if sent := <-sending; err == nil && sent != nil && !errors.Is(sent, context.Canceled) {
		err = sent
	}
	if err == nil && wrong != "" {
		err = errors.New(wrong)
	}
	return err
}

// sendSteadily sends an event every twentieth of a token's lifetime. It stops when the lifetime and a quarter of it,
// but at most five seconds, have passed since the first event was received. It closes enough before it sends the last
// event.
func (s *scene) sendSteadily(
	ctx context.Context, server *eventhubstest.Server, first *atomic.Bool, enough chan struct{}, lifetime time.Duration,
) error {
	tick := time.NewTicker(max(lifetime/20, 100*time.Millisecond))
	defer tick.Stop()
	var until time.Time
	for i := 0; ; i++ {
		last := !until.IsZero() && time.Now().After(until)
		if last {
			close(enough)
		}
		if err := server.Send(ctx, s.hub, eventhubs.Event{Body: []byte(strconv.Itoa(i))}); err != nil || last {
			return err
		}
		if first.Load() && until.IsZero() {
			until = time.Now().Add(lifetime + min(lifetime/4, 5*time.Second))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// readAsProgram has one of the client's quickstarts read in the server's environment.
func readAsProgram(program string) reader {
	return func(ctx context.Context, s *scene, server *eventhubstest.Server, each func(string) bool) error {
		p, err := s.startIn(server, program)
		if err != nil {
			return err
		}
		defer p.close()
		for more := true; more; {
			line, ok, err := p.line(ctx)
			if err != nil {
				return err
			}
			if !ok {
				<-p.ended
				return fmt.Errorf("%s has ended: %s", s.name, p.log.String())
			}
			if body, ok := eventOf(line); ok {
				more = each(body)
			}
		}
		_, err = p.rest(ctx, true)
		return err
	}
}

// startIn starts one of the client's quickstarts in a server's environment.
func (s *scene) startIn(server *eventhubstest.Server, name string) (*program, error) {
	folder, err := os.MkdirTemp(s.tools.programs, "trust")
	if err != nil {
		return nil, err
	}
	env, err := server.WriteTrust(folder)
	if err != nil {
		return nil, err
	}
	env = append(env, server.PasswordlessEnv(s.hub)...)
	return startProgram(s.name, variables(env...), s.runScript(), "quickstart", name)
}

func readAsOurs(ctx context.Context, s *scene, server *eventhubstest.Server, each func(string) bool) error {
	c, err := eventhubs.NewConsumer(server.PasswordlessConfig(s.hub), eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	reading, stop := context.WithCancel(ctx)
	defer stop()
	err = c.Receive(reading, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		if !each(string(e.Body)) {
			stop()
		}
		return nil
	})
	return errors.Join(err, ctx.Err())
}

func readAsGo(ctx context.Context, s *scene, server *eventhubstest.Server, each func(string) bool) error {
	cfg := server.PasswordlessConfig(s.hub)
	c, err := azeventhubs.NewConsumerClient("localhost", cfg.EventHub, azeventhubs.DefaultConsumerGroup, cfg.Credential,
		&azeventhubs.ConsumerClientOptions{CustomEndpoint: cfg.Namespace, TLSConfig: cfg.TLSConfig})
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	earliest := true
	p, err := c.NewPartitionClient("0", &azeventhubs.PartitionClientOptions{
		StartPosition: azeventhubs.StartPosition{Earliest: &earliest},
	})
	if err != nil {
		return err
	}
	defer p.Close(context.WithoutCancel(ctx))
	for more := true; more; {
		events, err := p.ReceiveEvents(ctx, 1, nil)
		if err != nil {
			return err
		}
		more = each(string(events[0].Body))
	}
	return nil
}
