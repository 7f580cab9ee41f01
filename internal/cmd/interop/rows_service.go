package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// noFilter reads on a link without a filter, which begins with the earliest event.
func noFilter(ctx context.Context, s *scene) error {
	if err := s.fillWith(ctx, "0", 3); err != nil {
		return err
	}
	bodies, err := s.client.unfiltered(ctx, s.at(), "0", 3)
	if err != nil {
		return err
	}
	for i, b := range bodies {
		if err := mismatch("event", string(b), body(i)); err != nil {
			return err
		}
	}
	return mismatch("number of events", len(bodies), 3)
}

// footer sends a message with a footer, and wants to receive it unchanged.
func footer(ctx context.Context, s *scene) error {
	sent := event{Body: []byte("body"), Footer: map[string]value{"digest": *text("abc")}}
	got, err := s.sendsAndReceives(ctx, sent)
	if err != nil {
		return err
	}
	return failures(mismatch("body", string(got.Body), "body"), sameValues("footer", got.Footer, sent.Footer))
}

// deliveryAnnotations does the same with delivery annotations. They are for the hop to the service, and end there,
// unless a client writes them where they don't belong: at the end of the message, as Python's does.
func deliveryAnnotations(ctx context.Context, s *scene) error {
	sent := event{Body: []byte("body"), DeliveryAnnotations: map[string]value{"hop": *text("first")}}
	got, err := s.sendsAndReceives(ctx, sent)
	if err != nil {
		return err
	}
	kept := map[string]value{}
	if s.name == "python" {
		kept = sent.DeliveryAnnotations
	}
	return failures(mismatch("body", string(got.Body), "body"),
		sameValues("delivery annotations", got.DeliveryAnnotations, kept))
}

// nullBody sends an event whose body is null.
func nullBody(ctx context.Context, s *scene) error {
	properties := map[string]value{"p": *text("v")}
	got, err := s.sendsAndReceives(ctx, event{NullBody: true, Properties: properties})
	if err != nil {
		return err
	}
	return failures(mismatch("body", string(got.Body), ""), sameValues("properties", got.Properties, properties))
}

func (s *scene) sendsAndReceives(ctx context.Context, e event) (receivedEvent, error) {
	if err := s.client.send(ctx, s.at(), batch{Events: []event{e}, Partition: "0"}); err != nil {
		return receivedEvent{}, fmt.Errorf("send: %w", err)
	}
	got, err := s.receiveAll(ctx, "0", 1)
	if err != nil {
		return receivedEvent{}, err
	}
	return got[0], nil
}

func sameValues(what string, got, want map[string]value) error {
	if len(got) == 0 && len(want) == 0 || reflect.DeepEqual(got, want) {
		return nil
	}
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	return fmt.Errorf("%s are %s, want %s", what, g, w)
}

// noSuchHub asks, sends to and reads from an event hub that isn't there.
func noSuchHub(ctx context.Context, s *scene) error {
	at := s.at()
	at.Connection = strings.Replace(at.Connection, "EntityPath="+s.hub, "EntityPath=missing", 1)
	at.Hub = "missing"
	kind := kindNotFound
	if s.name == "python" {
		kind = kindUnauthorized // its error for every refused token, even with 404
	}
	_, err := s.client.hubProperties(ctx, at)
	return errors.Join(s.refusedWith("properties", err, kind), s.refusedEverywhere(ctx, at, "0", kind))
}

// noSuchPartition does the same with a partition.
func noSuchPartition(ctx context.Context, s *scene) error {
	_, err := s.client.partitionProperties(ctx, s.at(), "99")
	return errors.Join(s.refusedWith("properties", err, kindOutOfRange),
		s.refusedEverywhere(ctx, s.at(), "99", kindOutOfRange))
}

func (s *scene) refusedEverywhere(ctx context.Context, at target, partition, kind string) error {
	err := s.client.send(ctx, at, batch{Events: numbered(1), Partition: partition})
	sent := s.refusedWith("send", err, kind)
	_, err = s.client.receive(ctx, at, fromStart(partition, 1))
	return errors.Join(sent, s.refusedWith("receive", err, kind))
}

// refusedWith wants an error of a kind.
func (s *scene) refusedWith(what string, err error, kind string) error {
	if err := refused(err, kind); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// webSockets does everything once over WebSockets.
func webSockets(ctx context.Context, s *scene) error {
	at := s.at()
	at.WebSockets = true
	if err := s.client.send(ctx, at, batch{Events: numbered(2), Partition: "0"}); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if _, err := s.client.hubProperties(ctx, at); err != nil {
		return fmt.Errorf("properties: %w", err)
	}
	got, err := s.client.receive(ctx, at, fromStart("0", 2))
	if err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	return failures(inOrder(s.events("0"), 2), mismatch("number of events", len(got.Events), 2))
}

// idempotent sends with idempotent publishing. The answer to the second batch is lost, so the client sends it again. It
// must be stored once.
func idempotent(ctx context.Context, s *scene) error {
	first := []addressed{{event: numbered(1)[0], Partition: "0"}}
	if err := s.client.sendIdempotent(ctx, s.at(), first); err != nil {
		return err
	}
	lost := eventhubstest.Fault{On: eventhubstest.OnPublish, Hub: s.hub, Times: 1, After: true, DropConnection: true}
	remove := s.server.Fault(lost)
	defer remove()
	second := []addressed{{event: numbered(2)[1], Partition: "0"}}
	if err := s.client.sendIdempotent(ctx, s.at(), second); err != nil {
		return fmt.Errorf("send again what was stored already: %w", err)
	}
	return inOrder(s.events("0"), 2)
}
