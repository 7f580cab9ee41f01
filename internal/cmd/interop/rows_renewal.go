package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// tokenLifetime is short, so that tokens run out while a row goes on.
const tokenLifetime = 2 * time.Second

// renewal reads for longer than tokens hold: none of the events is missed, and none comes twice.
func renewal(ctx context.Context, s *scene) error {
	read := map[string]func(context.Context, eventhubs.Config, func(body []byte) (more bool)) error{"ours": readAsOurs, "go": readAsGo}[s.name]
	if read == nil {
		return unsupported("this client renews its tokens minutes before they run out, which is longer than a row takes")
	}
	if s.ca == "" {
		return unsupported("tokens of identities take TLS")
	}
	server, err := eventhubstest.New(&eventhubstest.Options{TLS: true, TokenLifetime: tokenLifetime, Hubs: []eventhubstest.Hub{{Name: s.hub, Partitions: 1}}})
	if err != nil {
		return err
	}
	defer server.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sending := make(chan error, 1)
	const events = 30 // one each fifth of a second: six seconds, three lifetimes
	go func() {
		for i := range events {
			if err := server.Send(ctx, s.hub, eventhubs.Event{Body: []byte(strconv.Itoa(i))}); err != nil {
				sending <- err
				return
			}
			select {
			case <-time.After(tokenLifetime / 10):
			case <-ctx.Done():
			}
		}
		sending <- nil
	}()
	next, wrong := 0, ""
	err = read(ctx, server.PasswordlessConfig(s.hub), func(body []byte) bool {
		if want := strconv.Itoa(next); string(body) != want {
			wrong = fmt.Sprintf("%s came, and not %s", body, want)
		}
		next++
		return next < events && wrong == ""
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

func readAsOurs(ctx context.Context, cfg eventhubs.Config, each func([]byte) bool) error {
	c, err := eventhubs.NewConsumer(cfg, eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	reading, stop := context.WithCancel(ctx)
	defer stop()
	err = c.Receive(reading, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		if !each(e.Body) {
			stop()
		}
		return nil
	})
	return errors.Join(err, ctx.Err())
}

func readAsGo(ctx context.Context, cfg eventhubs.Config, each func([]byte) bool) error {
	host, _, err := net.SplitHostPort(cfg.Namespace)
	if err != nil {
		return err
	}
	c, err := azeventhubs.NewConsumerClient(host, cfg.EventHub, azeventhubs.DefaultConsumerGroup, cfg.Credential,
		&azeventhubs.ConsumerClientOptions{CustomEndpoint: cfg.Namespace, TLSConfig: cfg.TLSConfig})
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	earliest := true
	p, err := c.NewPartitionClient("0", &azeventhubs.PartitionClientOptions{StartPosition: azeventhubs.StartPosition{Earliest: &earliest}})
	if err != nil {
		return err
	}
	defer p.Close(context.WithoutCancel(ctx))
	for more := true; more; {
		events, err := p.ReceiveEvents(ctx, 1, nil)
		if err != nil {
			return err
		}
		more = each(events[0].Body)
	}
	return nil
}
