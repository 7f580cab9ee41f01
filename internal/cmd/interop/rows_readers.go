package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// reads starts a reader and waits until it has received an event.
func (s *scene) reads(ctx context.Context, level *int64) (string, error) {
	reader, err := s.client.hold(ctx, s.at(), reading{Partition: "0", Start: start{Earliest: true}, OwnerLevel: level})
	if err != nil {
		return "", err
	}
	return reader, s.hasRead(ctx, reader, 1)
}

func (s *scene) hasRead(ctx context.Context, reader string, n int) error {
	return want(ctx, fmt.Sprintf("a reader has received %d events", n), func() (bool, error) {
		h, err := s.client.held(ctx, s.at(), reader)
		if err == nil && h.Error != nil {
			err = h.Error
		}
		return h.Count >= n, err
	})
}

func (s *scene) release(ctx context.Context, readers ...string) error {
	var errs []error
	for _, r := range readers {
		errs = append(errs, s.client.release(ctx, s.at(), r))
	}
	return errors.Join(errs...)
}

func ownerLevelSteals(ctx context.Context, s *scene) error {
	if err := s.fillWith(ctx, "0", 1); err != nil {
		return err
	}
	low, high := int64(1), int64(2)
	first, err := s.reads(ctx, &low)
	if err != nil {
		return err
	}
	second, err := s.reads(ctx, &high)
	if err != nil {
		return err
	}
	err = want(ctx, "the first reader is told that its place was taken", func() (bool, error) {
		h, err := s.client.held(ctx, s.at(), first)
		if err != nil || h.Error == nil {
			return false, err
		}
		return true, refused(h.Error, kindStolen)
	})
	return failures(err, s.release(ctx, first, second))
}

func ownerLevelRefuses(ctx context.Context, s *scene) error {
	if err := s.fillWith(ctx, "0", 1); err != nil {
		return err
	}
	low, high := int64(1), int64(2)
	reader, err := s.reads(ctx, &high)
	if err != nil {
		return err
	}
	for _, level := range []*int64{&low, nil} {
		_, err := s.client.receive(ctx, s.at(), reading{
			Partition: "0", Start: start{Earliest: true}, OwnerLevel: level, Count: 1, TimeoutMS: int(readTime.Milliseconds()),
		})
		if err := refused(err, kindStolen); err != nil {
			return err
		}
	}
	return s.release(ctx, reader)
}

func sixthReader(ctx context.Context, s *scene) error {
	if err := s.fillWith(ctx, "0", 1); err != nil {
		return err
	}
	var readers []string
	for range 5 {
		reader, err := s.reads(ctx, nil)
		if err != nil {
			return err
		}
		readers = append(readers, reader)
	}
	got, err := s.client.receive(ctx, s.at(), fromStart("0", 1))
	if err == nil && len(got.Events) == 0 && s.name == "python" {
		s.note("the sixth reader receives nothing, but isn't told: azure-eventhub tries again and again")
		return s.release(ctx, readers...)
	}
	return failures(refused(err, kindQuota), s.release(ctx, readers...))
}

// reconnects wants a reader and a sender to continue after the connection was dropped without notice.
func reconnects(ctx context.Context, s *scene) error {
	if err := s.fillWith(ctx, "0", 1); err != nil {
		return err
	}
	reader, err := s.reads(ctx, nil)
	if err != nil {
		return err
	}
	for i := range 2 {
		s.server.Fault(eventhubstest.Fault{On: eventhubstest.OnReceive, Hub: s.hub, Times: 1, DropConnection: true})
		if err := s.fillWith(ctx, "0", 1); err != nil {
			return err
		}
		if err := s.hasRead(ctx, reader, 2+i); err != nil {
			return err
		}
	}
	s.server.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Hub: s.hub, Times: 1, DropConnection: true})
	if err := s.client.send(ctx, s.at(), batch{Events: numbered(1), Partition: "1"}); err != nil {
		return fmt.Errorf("send when the connection is dropped: %w", err)
	}
	return failures(inOrder(s.events("1"), 1), s.release(ctx, reader))
}
