package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// eventsOf has another client send to the row's hub, and the row's client receive what it sent.
func eventsOf(sender string) func(context.Context, *scene) error {
	return func(ctx context.Context, s *scene) error {
		from := s.clients[sender]
		if from == nil {
			return unsupported("%s is not there to send", sender)
		}
		values := simpleValues()
		s.withoutUnreadable(values)
		names, _, err := sendValues(ctx, from, s.at(), values)
		if err != nil {
			return fmt.Errorf("%s: %w", sender, err)
		}
		got, err := s.receiveAll(ctx, "0", len(names))
		if err != nil {
			return err
		}
		var errs []error
		for i, name := range names {
			sent := event{Body: []byte(name), Properties: map[string]value{"value": values[name]}}
			if err := sameEvent(sent, got[i]); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
		return errors.Join(append(errs, s.sameByKey(ctx, sender, from))...)
	}
}

// sameByKey compares bodies, ids, keys and times of events that are sent with a key.
func (s *scene) sameByKey(ctx context.Context, sender string, from client) error {
	sent := map[string]event{}
	for i, size := range []int{0, 1, 1000, 64 << 10} {
		key := fmt.Sprintf("key %d €", i)
		e := event{Body: pattern(size), MessageID: text("message " + key), CorrelationID: text("correlation " + key),
			ContentType: text("text/plain"),
			Properties:  map[string]value{"key": *text(key), "n": {"long", fmt.Sprint(size)}}}
		for {
			err := from.send(ctx, s.at(), batch{Events: []event{e}, Key: key})
			if kindOf(err) == kindUnsupported && e.Properties["n"].T == "long" {
				delete(e.Properties, "n") // its language has no such type
				continue
			}
			if err != nil {
				return fmt.Errorf("%s: %w", sender, err)
			}
			break
		}
		sent[key] = e
	}
	var errs []error
	for partition := range partitions {
		var there []string
		for _, e := range s.events(fmt.Sprint(partition)) {
			if e.PartitionKey != "" {
				there = append(there, e.PartitionKey)
			}
		}
		if len(there) == 0 {
			continue
		}
		all := s.events(fmt.Sprint(partition))
		got, err := s.receiveAll(ctx, fmt.Sprint(partition), len(all))
		if err != nil {
			return err
		}
		for i, e := range all {
			if e.PartitionKey == "" {
				continue
			}
			g := got[i]
			if err := failures(mismatch("key", g.Key, e.PartitionKey),
				mismatch("time", g.EnqueuedMS, e.EnqueuedTime.UnixMilli()),
				sameEvent(sent[e.PartitionKey], g)); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", e.PartitionKey, err))
			}
			delete(sent, e.PartitionKey)
		}
	}
	if len(sent) > 0 {
		errs = append(errs, fmt.Errorf("events with these keys have not arrived: %v", slices.Sorted(maps.Keys(sent))))
	}
	return errors.Join(errs...)
}
