package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

func sendOne(ctx context.Context, s *scene) error {
	if err := s.client.sendOne(ctx, s.at(), single{Event: numbered(1)[0]}); err != nil {
		return err
	}
	return inOrder(s.server.AllEvents(s.hub), 1)
}

func sendBatch(ctx context.Context, s *scene) error {
	if err := s.client.send(ctx, s.at(), batch{Events: numbered(10)}); err != nil {
		return err
	}
	all := s.server.AllEvents(s.hub)
	return failures(inOrder(all, 10), inOnePartition(all))
}

func sendToPartition(ctx context.Context, s *scene) error {
	for _, partition := range []string{"3", "0"} {
		if err := s.client.send(ctx, s.at(), batch{Events: numbered(5), Partition: partition}); err != nil {
			return err
		}
		if err := inOrder(s.events(partition), 5); err != nil {
			return err
		}
	}
	return mismatch("number of events", len(s.server.AllEvents(s.hub)), 10)
}

func sendWithKey(ctx context.Context, s *scene) error {
	const key = "device-7 €"
	if err := s.client.send(ctx, s.at(), batch{Events: numbered(5), Key: key}); err != nil {
		return err
	}
	all := s.server.AllEvents(s.hub)
	if err := failures(inOrder(all, 5), inOnePartition(all)); err != nil {
		return err
	}
	return mismatch("key", all[0].PartitionKey, key)
}

// inOnePartition wants all events in one partition.
func inOnePartition(all []eventhubstest.Event) error {
	for _, e := range all {
		if e.PartitionID != all[0].PartitionID {
			return fmt.Errorf("events are in partitions %s and %s", all[0].PartitionID, e.PartitionID)
		}
	}
	return nil
}

// inOrder wants n numbered events, in order, and no others.
func inOrder(events []eventhubstest.Event, n int) error {
	for i, e := range events {
		if string(e.Body) != body(i) {
			return fmt.Errorf("event %d is %s", i, brief(e.Body))
		}
	}
	return mismatch("number of events", len(events), n)
}

// The size of the largest message that the service takes, and the least that a client has to fit into it.
const (
	messageLimit = 1 << 20
	wellFilled   = messageLimit * 9 / 10
)

func fillBatchRow(ctx context.Context, s *scene) error {
	const size = 1000
	n, err := s.client.fill(ctx, s.at(), "0", size)
	if err != nil {
		return err
	}
	if n*size < wellFilled || n*size > messageLimit {
		return fmt.Errorf("%d events of %d bytes are in the batch", n, size)
	}
	return mismatch("number of events", len(s.events("0")), n)
}

// oneByteOver wants the largest possible event to arrive, and one byte more to be refused.
func oneByteOver(ctx context.Context, s *scene) error {
	l, err := s.client.largest(ctx, s.at(), "0")
	if err != nil {
		return err
	}
	if l.Size < wellFilled || l.Size > messageLimit {
		return fmt.Errorf("the largest body has %d bytes", l.Size)
	}
	s.note("the largest body has %d bytes", l.Size)
	arrived := 0
	for _, e := range s.events("0") {
		arrived = max(arrived, len(e.Body))
	}
	return failures(mismatch("the error for one byte more", l.Refused, kindTooLarge),
		mismatch("the largest body that has arrived", arrived, l.Size))
}

// bodySizes are the sizes of bodies that are sent and received.
var bodySizes = []int{0, 1, 64 << 10, 1_000_000}

func sendBodies(ctx context.Context, s *scene) error {
	for i, size := range bodySizes {
		if err := s.client.send(ctx, s.at(), batch{Events: []event{{Body: pattern(size)}}, Partition: "0"}); err != nil {
			return fmt.Errorf("send %d bytes: %w", size, err)
		}
		all := s.events("0")
		if len(all) != i+1 || string(all[i].Body) != string(pattern(size)) {
			return fmt.Errorf("%d bytes have not arrived as they were sent", size)
		}
	}
	return nil
}

func receiveBodies(ctx context.Context, s *scene) error {
	for _, size := range bodySizes {
		if err := newGoSDK().send(ctx, s.at(), batch{Events: []event{{Body: pattern(size)}}, Partition: "0"}); err != nil {
			return err
		}
	}
	got, err := s.client.receive(ctx, s.at(), reading{
		Partition: "0", Start: start{Earliest: true}, Count: len(bodySizes), TimeoutMS: 20_000,
	})
	if err != nil {
		return err
	}
	if err := mismatch("number of events", len(got.Events), len(bodySizes)); err != nil {
		return err
	}
	for i, size := range bodySizes {
		if string(got.Events[i].Body) != string(pattern(size)) {
			return fmt.Errorf("%d bytes were received as %s", size, brief(got.Events[i].Body))
		}
	}
	return nil
}

// pattern is a body in which all byte values occur, if it is long enough.
func pattern(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// buffered wants events for every partition to arrive, in order in each partition.
func buffered(ctx context.Context, s *scene) error {
	const each = 20
	var events []addressed
	for i := range each {
		for p := range partitions {
			events = append(events, addressed{event: event{Body: []byte(body(i))}, Partition: fmt.Sprint(p)})
		}
	}
	if err := s.client.sendBuffered(ctx, s.at(), events); err != nil {
		return err
	}
	var errs []error
	for p := range partitions {
		errs = append(errs, inOrder(s.events(fmt.Sprint(p)), each))
	}
	return errors.Join(errs...)
}

// hashed wants a buffered producer to choose the same partitions for keys as the service.
func hashed(ctx context.Context, s *scene) error {
	const keys = 100
	var events []addressed
	for i := range keys {
		key := fmt.Sprintf("%d-кey €-%d", i, i*i) // of different lengths, and not only ASCII
		events = append(events, addressed{event: event{Body: []byte(key)}, Key: key})
	}
	if err := s.client.sendBuffered(ctx, s.at(), events); err != nil {
		return err
	}
	own := map[string]string{}
	for _, e := range s.server.AllEvents(s.hub) {
		own[string(e.Body)] = e.PartitionID
	}
	if err := mismatch("number of keys that have arrived", len(own), keys); err != nil {
		return err
	}
	raw := newGoSDK()
	for _, e := range events {
		if err := raw.send(ctx, s.at(), batch{Events: []event{{Body: []byte("by the service")}}, Key: e.Key}); err != nil {
			return err
		}
	}
	elsewhere := 0
	for _, e := range s.server.AllEvents(s.hub) {
		if string(e.Body) == "by the service" && own[e.PartitionKey] != e.PartitionID {
			elsewhere++
		}
	}
	switch {
	case elsewhere > 0 && s.name == "python":
		return unsupported("%d of %d keys go elsewhere: azure-eventhub hashes characters and not their UTF-8, "+
			"and takes the remainder of a negative hash "+
			"as Python does, unlike the other clients (_buffered_producer/_partition_resolver.py)", elsewhere, keys)
	case elsewhere > 0:
		return fmt.Errorf("%d of %d keys go elsewhere", elsewhere, keys)
	}
	return nil
}
