package send

import "context"

// check reports, before anything is sent, events that cannot be sent: those for a partition that does not exist, and
// those that are too large. It opens links that were never open.
func (e *Engine) check(ctx context.Context, events Events) error {
	var links []*link // to be opened
	last, large := "", false
	for i := range events.Len() {
		partition, isLarge := events.To(i).Partition, events.Cost(i) > smallestLimit
		large = large || isLarge
		if partition == last && !isLarge {
			continue
		}
		last = partition
		l, err := e.unopened(partition)
		if err != nil {
			return err
		}
		if l != nil {
			links = append(links, l)
		}
	}
	if err := ensureAll(ctx, links); err != nil || !large {
		return err
	}
	for i := range events.Len() {
		if events.Cost(i) <= smallestLimit {
			continue
		}
		if err := e.checkSize(events, i); err != nil {
			return err
		}
	}
	return nil
}

// unopened returns the link for a partition if it was never open.
func (e *Engine) unopened(partition string) (*link, error) {
	e.queuesMu.Lock()
	defer e.queuesMu.Unlock()
	if e.closed {
		return nil, ErrClosed
	}
	l := e.link(partition)
	if l.limit.Load() > 0 {
		return nil, nil
	}
	return l, nil
}

// ensureAll opens links concurrently. It returns the error of the first that cannot be opened.
func ensureAll(ctx context.Context, links []*link) error {
	if len(links) == 1 {
		return links[0].ensure(ctx)
	}
	errs := make([]chan error, len(links))
	for i, l := range links {
		errs[i] = make(chan error, 1)
		go func() { errs[i] <- l.ensure(ctx) }()
	}
	var first error
	for _, err := range errs {
		if err := <-err; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// checkSize reports an event that is too large for its link, or can't be encoded.
func (e *Engine) checkSize(events Events, i int) error {
	e.queuesMu.Lock()
	l := e.link(events.To(i).Partition)
	e.queuesMu.Unlock()
	if events.Cost(i) <= int(l.limit.Load()) {
		return nil
	}
	size, err := messageSize(events, i)
	switch {
	case err != nil:
		return &EncodeError{Index: i, Err: err}
	case int64(size) > l.limit.Load():
		return l.tooLarge(events, i)
	}
	return nil
}

// tooLarge is the error for an event that doesn't fit into a message.
func (l *link) tooLarge(events Events, i int) error {
	size, _ := messageSize(events, i) // the SDK has encoded it, or checkSize has
	return &TooLargeError{Index: i, Size: size, Limit: l.limit.Load()}
}
