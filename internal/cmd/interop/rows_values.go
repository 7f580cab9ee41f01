package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// sendValues sends an event for each value, with that value as its only property, to partition 0. It returns the names
// of those that the client can send, in the order in which they were sent, and of those that it can't.
func sendValues(ctx context.Context, c client, at target, values map[string]value) (sent, not []string, err error) {
	return sendNamed(ctx, c, at, values, slices.Sorted(maps.Keys(values)))
}

// sendNamed sends the named values in one batch. If the client can't send the batch, sendNamed tries each half of it.
func sendNamed(
	ctx context.Context, c client, at target, values map[string]value, names []string,
) (sent, not []string, err error) {
	b := batch{Partition: "0"}
	for _, name := range names {
		b.Events = append(b.Events, event{Body: []byte(name), Properties: map[string]value{"value": values[name]}})
	}
	err = c.send(ctx, at, b)
	switch {
	case err == nil:
		return names, nil, nil
	case kindOf(err) == kindUnsupported && len(names) == 1:
		return nil, names, nil
	case kindOf(err) != kindUnsupported:
		return nil, nil, fmt.Errorf("send properties %s: %w", strings.Join(names, ", "), err)
	}
	for _, half := range [][]string{names[:len(names)/2], names[len(names)/2:]} {
		s, n, err := sendNamed(ctx, c, at, values, half)
		if err != nil {
			return nil, nil, err
		}
		sent, not = append(sent, s...), append(not, n...)
	}
	return sent, not, nil
}

func sendProperties(ctx context.Context, s *scene) error {
	values := simpleValues()
	sent, not, err := sendValues(ctx, s.client, s.at(), values)
	if err != nil {
		return err
	}
	if len(not) > 0 {
		s.note("it has no way to send: %s", strings.Join(not, ", "))
	}
	all := s.events("0")
	if err := mismatch("number of events", len(all), len(sent)); err != nil {
		return err
	}
	var errs []error
	for i, name := range sent {
		// go-amqp, which reads what the server holds, has no chars, and takes symbols for strings.
		if values[name].T == "char" || values[name].T == "symbol" {
			continue
		}
		if got := valueOf(all[i].Properties["value"]); got != values[name] {
			errs = append(errs, fmt.Errorf("%v has arrived as %v", values[name], got))
		}
	}
	return errors.Join(errs...)
}

func receiveProperties(ctx context.Context, s *scene) error {
	values := simpleValues()
	s.withoutUnreadable(values)
	names := slices.Sorted(maps.Keys(values))
	var all [][]byte
	for _, name := range names {
		v, err := amqpValue(values[name])
		if err != nil {
			return err
		}
		encoded, err := encode([]byte(name), section{amqp.SectionApplicationProperties, amqp.Map{{Key: "value", Value: v}}})
		if err != nil {
			return err
		}
		all = append(all, encoded)
	}
	if err := sendEncoded(ctx, s.at(), "0", all...); err != nil {
		return err
	}
	got, err := s.receiveAll(ctx, "0", len(names))
	if err != nil {
		return err
	}
	var errs []error
	shown := map[string][]string{}
	for i, name := range names {
		v := got[i].Properties["value"]
		if d := sameValue(values[name], v); d != "" {
			errs = append(errs, fmt.Errorf("%s: %s", name, d))
		} else if v.T != values[name].T && !slices.Contains(shown[v.T], values[name].T) {
			shown[v.T] = append(shown[v.T], values[name].T)
		}
	}
	for _, t := range slices.Sorted(maps.Keys(shown)) {
		s.note("it shows as %s: %s", t, strings.Join(shown[t], ", "))
	}
	return errors.Join(errs...)
}

// receiveAll reads a number of events from the start of a partition.
func (s *scene) receiveAll(ctx context.Context, partition string, n int) ([]receivedEvent, error) {
	got, err := s.client.receive(ctx, s.at(), fromStart(partition, n))
	if err == nil && len(got.Events) != n {
		err = fmt.Errorf("%d events were received, and %d are there", len(got.Events), n)
	}
	return got.Events, err
}

// unreadable are types that a client can't receive: a message with one of them breaks its link.
var unreadable = map[string][]string{"go": {"char"}, "ours": {"char"}, "python": {"char"}}

func (s *scene) withoutUnreadable(values map[string]value) {
	for _, t := range unreadable[s.name] {
		s.note("it has no way to receive: %s", t)
		maps.DeleteFunc(values, func(_ string, v value) bool { return v.T == t })
	}
}

// section is a part of an encoded event.
type section struct {
	kind  byte
	value any
}

// encode encodes an event. The sections must be in AMQP's order; the body follows them.
func encode(body []byte, sections ...section) (b []byte, err error) {
	for _, s := range append(sections, section{amqp.SectionData, body}) {
		if b, err = amqp.AppendSection(b, s.kind, s.value); err != nil {
			return nil, fmt.Errorf("encode an event: %w", err)
		}
	}
	return b, nil
}

// ids are the types that AMQP has for message ids and correlation ids.
var ids = []value{
	{"string", "id €"}, {"ulong", "18446744073709551615"},
	{"uuid", "00112233-4455-6677-8899-aabbccddeeff"}, {"binary", "AP8B"},
}

// systemProperties has a client receive events with every property that a message can have, for which SDKs have fields
// of their own, and with an annotation.
func systemProperties(ctx context.Context, s *scene) error {
	expiry, created := time.UnixMilli(1900000000000).UTC(), time.UnixMilli(1700000000000).UTC()
	for _, id := range ids {
		v, err := amqpValue(id)
		if err != nil {
			return err
		}
		encoded, err := encode([]byte("body"),
			section{amqp.SectionMessageAnnotations, amqp.Map{{Key: amqp.Symbol("x-opt-mine"), Value: "my annotation"}}},
			section{amqp.SectionProperties, []any{
				v, []byte("user"), "to", "subject", "reply-to", v, amqp.Symbol("text/plain"), amqp.Symbol("gzip"),
				expiry, created, "group", uint32(7), "reply-group",
			}})
		if err != nil {
			return err
		}
		if err := sendEncoded(ctx, s.at(), "0", encoded); err != nil {
			return err
		}
	}
	got, err := s.receiveAll(ctx, "0", len(ids))
	if err != nil {
		return err
	}
	var errs []error
	for i, id := range ids {
		sent := event{Body: []byte("body"), MessageID: &id, CorrelationID: &id, ContentType: text("text/plain")}
		if err := sameEvent(sent, got[i]); err != nil {
			// Its language may have nothing but text for ids.
			if shown := got[i].MessageID; shown != nil && shown.T == "string" && id.T != "string" {
				s.note("it shows ids of the type %s as %v", id.T, *shown)
				continue
			}
			errs = append(errs, fmt.Errorf("ids of the type %s: %w", id.T, err))
		}
	}
	if v := got[0].System["x-opt-mine"]; v.V != "my annotation" {
		errs = append(errs, fmt.Errorf("the annotation x-opt-mine is %v", v))
	}
	s.note("its system properties: %s", strings.Join(slices.Sorted(maps.Keys(got[0].System)), ", "))
	return errors.Join(errs...)
}

// sendIDs wants message ids and correlation ids of every type that the client can send to arrive, and the content type.
func sendIDs(ctx context.Context, s *scene) error {
	var sent []event
	for _, id := range ids {
		for _, e := range []event{{MessageID: &id}, {CorrelationID: &id}} {
			e.Body, e.ContentType = []byte("body"), text("text/plain")
			err := s.client.send(ctx, s.at(), batch{Partition: "0", Events: []event{e}})
			switch {
			case kindOf(err) == kindUnsupported && e.MessageID != nil:
				s.note("it has no way to send: message ids of the type %s", id.T)
			case kindOf(err) == kindUnsupported:
				s.note("it has no way to send: correlation ids of the type %s", id.T)
			case err != nil:
				return err
			default:
				sent = append(sent, e)
			}
		}
	}
	got, err := newGoSDK().receive(ctx, s.at(), fromStart("0", len(sent)))
	if err != nil {
		return err
	}
	if err := mismatch("number of events", len(got.Events), len(sent)); err != nil {
		return err
	}
	var errs []error
	for i, e := range sent {
		errs = append(errs, sameEvent(e, got.Events[i]))
	}
	return errors.Join(errs...)
}
