package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// keepsCase are the clients that keep the case of names in the names of blobs. The others, and ours, use lower case.
var keepsCase = []string{"go"}

// newContainer creates a container for the checkpoints of one scene.
func (s *scene) newContainer(ctx context.Context) (processing, error) {
	name := strings.ToLower(strings.ReplaceAll(s.hub, " ", ""))
	p := processing{Store: s.account, Container: name, Start: start{Earliest: true}}
	c, err := container.NewClientFromConnectionString(p.Store, p.Container, nil)
	if err != nil {
		return p, err
	}
	if _, err := c.Create(ctx, nil); err != nil {
		return p, fmt.Errorf("create container %s: %w", p.Container, err)
	}
	return p, nil
}

// perPartition is how many events each partition is filled with for processors.
const perPartition = 5

func (s *scene) fillAll(ctx context.Context, n int) error {
	for p := range partitions {
		if err := newGoSDK().send(ctx, s.at(), batch{Events: numbered(n), Partition: fmt.Sprint(p)}); err != nil {
			return err
		}
	}
	return nil
}

// processor is a processor that a client runs.
type processor struct {
	client client
	name   string
	id     string
}

func (s *scene) startProcessor(ctx context.Context, name string, p processing) (*processor, error) {
	c := s.clients[name]
	if c == nil {
		return nil, unsupported("%s is not there to take part", name)
	}
	id, err := c.process(ctx, s.at(), p)
	if err != nil {
		return nil, fmt.Errorf("%s: start a processor: %w", name, err)
	}
	return &processor{c, name, id}, nil
}

func (s *scene) look(ctx context.Context, p *processor) (processed, error) {
	done, err := p.client.processed(ctx, s.at(), p.id)
	if err == nil && done.Error != nil {
		err = done.Error
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", p.name, err)
	}
	return done, err
}

// stops stops processors, even when the row has run out of time.
func (s *scene) stops(processors ...*processor) error {
	ctx, cancel := context.WithTimeout(context.Background(), greetTime)
	defer cancel()
	var errs []error
	for _, p := range processors {
		if err := p.client.stop(ctx, s.at(), p.id); err != nil {
			errs = append(errs, fmt.Errorf("%s: stop a processor: %w", p.name, err))
		}
	}
	return errors.Join(errs...)
}

// share wants two processors to take two partitions each, and then to process each event exactly once.
func (s *scene) share(ctx context.Context, first, second string) error {
	settings, err := s.newContainer(ctx)
	if err != nil {
		return err
	}
	settings.KeepCase = slices.Contains(keepsCase, first) || slices.Contains(keepsCase, second)
	var running []*processor
	for _, name := range []string{first, second} {
		p, err := s.startProcessor(ctx, name, settings)
		if err != nil {
			return failures(err, s.stops(running...))
		}
		running = append(running, p)
	}
	return failures(s.shared(ctx, running[0], running[1]), s.stops(running...))
}

func (s *scene) shared(ctx context.Context, a, b *processor) error {
	// Shares that stay right for five seconds have settled.
	settled, last := 0, ""
	err := want(ctx, "each processor has its share", func() (bool, error) {
		x, err := s.look(ctx, a)
		if err != nil {
			return false, err
		}
		y, err := s.look(ctx, b)
		if err != nil {
			return false, err
		}
		all := slices.Sorted(slices.Values(slices.Concat(x.Owned, y.Owned)))
		last = fmt.Sprintf("%s has %v, %s has %v", a.name, x.Owned, b.name, y.Owned)
		if len(x.Owned) == partitions/2 && len(all) == partitions && len(slices.Compact(all)) == partitions {
			settled++
		} else {
			settled = 0
		}
		return settled == 5*looksPerSecond, nil
	})
	if err != nil {
		return fmt.Errorf("%w (%s)", err, last)
	}
	if err := s.fillAll(ctx, perPartition); err != nil {
		return err
	}
	var x, y processed
	if err := want(ctx, "everything is processed", func() (bool, error) {
		if x, err = s.look(ctx, a); err != nil {
			return false, err
		}
		y, err = s.look(ctx, b)
		return len(x.Events)+len(y.Events) >= partitions*perPartition, err
	}); err != nil {
		return fmt.Errorf("%w (%s %d, %s %d)", err, a.name, len(x.Events), b.name, len(y.Events))
	}
	return onceEach(slices.Concat(x.Events, y.Events))
}

// looksPerSecond is how often want checks its condition.
const looksPerSecond = 10

// onceEach wants each event of every partition exactly once.
func onceEach(events []processedEvent) error {
	seen := map[processedEvent]int{}
	for _, e := range events {
		seen[e]++
	}
	for p := range partitions {
		for i := range perPartition {
			e := processedEvent{fmt.Sprint(p), int64(i)}
			if seen[e] != 1 {
				return fmt.Errorf("event %d of partition %s was processed %d times", i, e.Partition, seen[e])
			}
		}
	}
	return mismatch("number of events", len(events), partitions*perPartition)
}

func twoProcessors(ctx context.Context, s *scene) error { return s.share(ctx, s.name, s.name) }

func sharesWithOurs(ctx context.Context, s *scene) error { return s.share(ctx, s.name, "ours") }

// oursAfter has our client resume from another client's checkpoints, and afterOurs does the reverse.
func oursAfter(ctx context.Context, s *scene) error { return s.goesOn(ctx, s.name, "ours") }

func afterOurs(ctx context.Context, s *scene) error { return s.goesOn(ctx, "ours", s.name) }

// goesOn has one client process half of the events, and another one the rest.
func (s *scene) goesOn(ctx context.Context, first, second string) error {
	if err := s.fillAll(ctx, perPartition); err != nil {
		return err
	}
	settings, err := s.newContainer(ctx)
	if err != nil {
		return err
	}
	settings.KeepCase = slices.Contains(keepsCase, first) || slices.Contains(keepsCase, second)
	half := settings
	half.StopAfter = partitions * perPartition / 2
	before, err := s.processUntil(ctx, first, half, half.StopAfter)
	if err != nil {
		return err
	}
	after, err := s.processUntil(ctx, second, settings, partitions*perPartition-half.StopAfter)
	if err != nil {
		return err
	}
	if err := onceEach(slices.Concat(before, after)); err != nil {
		return fmt.Errorf("%w: the blobs are %s", err, strings.Join(s.blobs(ctx, settings), ", "))
	}
	return nil
}

// blobs are the names of the blobs that hold checkpoints. If they can't be listed, the last one is the error.
func (s *scene) blobs(ctx context.Context, p processing) (names []string) {
	c, err := container.NewClientFromConnectionString(p.Store, p.Container, nil)
	if err != nil {
		return []string{err.Error()}
	}
	for pages := c.NewListBlobsFlatPager(nil); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return append(names, err.Error())
		}
		for _, b := range page.Segment.BlobItems {
			if strings.Contains(*b.Name, "/checkpoint/") {
				names = append(names, *b.Name)
			}
		}
	}
	return names
}

// processUntil runs a processor until it has processed n events, and returns all that it has processed.
func (s *scene) processUntil(ctx context.Context, name string, settings processing, n int) ([]processedEvent, error) {
	p, err := s.startProcessor(ctx, name, settings)
	if err != nil {
		return nil, err
	}
	var done processed
	err = want(ctx, fmt.Sprintf("%s has processed %d events", name, n), func() (bool, error) {
		done, err = s.look(ctx, p)
		return len(done.Events) >= n, err
	})
	if err != nil {
		err = fmt.Errorf("%w (it has processed %d)", err, len(done.Events))
	}
	return done.Events, failures(err, s.stops(p))
}
