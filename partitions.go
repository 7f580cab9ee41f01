package eventhubs

import (
	"cmp"
	"slices"
	"time"
)

// PartitionStatus says how a partition that a Consumer holds is doing. As JSON it has the same fields, with underscores, and leaves out times that are zero.
type PartitionStatus struct {
	// PartitionID is the partition.
	PartitionID string `json:"partition_id"`
	// Since is when it was taken. It is held without a break since then.
	Since time.Time `json:"since"`
	// Open says that it is being read. It is false for a moment after the partition was taken, and for longer if the service lets nobody read it: the log says why then.
	Open bool `json:"open"`

	// HandledSequenceNumber is that of the last event that the handler has processed, in this call of Receive. -1: none since the partition was last lost.
	HandledSequenceNumber int64 `json:"handled_sequence_number"`
	// HandledAt is when that was. Zero: none.
	HandledAt time.Time `json:"handled_at,omitzero"`
	// CheckpointSequenceNumber is that of the last checkpoint that this consumer has written, in this call of Receive. -1: none since the partition was last lost; there may
	// be one from before.
	CheckpointSequenceNumber int64 `json:"checkpoint_sequence_number"`
	// CheckpointAt is when it was written. Zero: none.
	CheckpointAt time.Time `json:"checkpoint_at,omitzero"`

	// Fetched is how many events were fetched and are not handled, those that the handler is at among them. What the SDK has read ahead (ConsumerOptions.Prefetch) is not.
	Fetched int `json:"fetched"`
	// Attempt says which call of the handler with the event at hand, or the batch, is under way: 1 is the first. If AttemptSince is zero, it has failed, and the next one is
	// waited for. 0: there is nothing to handle.
	Attempt int `json:"attempt"`
	// AttemptSequenceNumber is that of the event, or of the first event of the batch. -1: there is nothing to handle.
	AttemptSequenceNumber int64 `json:"attempt_sequence_number"`
	// AttemptSince is when the handler was called. Zero: it isn't running.
	AttemptSince time.Time `json:"attempt_since,omitzero"`
	// LastError is what the handler has last failed with since the partition was taken; it may have succeeded after that. "": it hasn't failed.
	LastError string `json:"last_error"`
	// LastErrorAt is when that was. Zero: it hasn't failed.
	LastErrorAt time.Time `json:"last_error_at,omitzero"`

	// Behind is how many events the partition has after the last one that was handled. There may be more, which have come since BehindAsOf. -1: not known.
	Behind int64 `json:"behind"`
	// LastEnqueuedSequenceNumber is that of the partition's last event, at BehindAsOf. -1: not known, or the partition has never had an event.
	LastEnqueuedSequenceNumber int64 `json:"last_enqueued_sequence_number"`
	// BehindAsOf is when the service was asked for the end of the partition. Zero: it hasn't answered, or not in the last five minutes. Where it has, Behind is not known only
	// if reading begins at a time, an offset or a sequence number, and no event has come yet.
	BehindAsOf time.Time `json:"behind_as_of,omitzero"`
}

// Partitions says how the partitions are doing that the Consumer holds now, in the order of their numbers. It is empty, and not nil, when Receive isn't running.
//
// It answers at once, from memory: it is fit for a health endpoint. How far behind partitions are only the service knows. The first call of Partitions has it asked, in the
// background, for each partition every 30 seconds, whenever Receive runs, and no more than ten times a second in all; a program that never calls Partitions doesn't ask. So
// the first call finds Behind not known, and the next ones, a moment later, know it.
func (c *Consumer) Partitions() []PartitionStatus {
	c.watch.wanted.Store(true)
	c.mu.Lock()
	r := c.current
	c.mu.Unlock()
	all := []PartitionStatus{}
	if r == nil {
		return all
	}
	g := r.generation()
	if g == nil {
		return all
	}
	for id, since := range g.lease.Held() {
		s := PartitionStatus{
			PartitionID: id, Since: since, Open: g.isOpen(id),
			HandledSequenceNumber: -1, CheckpointSequenceNumber: -1, AttemptSequenceNumber: -1, Behind: -1, LastEnqueuedSequenceNumber: -1,
		}
		if p := r.progress.find(id); p != nil {
			before, known := r.beginsBehind(id)
			p.describe(&s, before, known)
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b PartitionStatus) int { // they are numbers without leading zeros
		return cmp.Or(cmp.Compare(len(a.PartitionID), len(b.PartitionID)), cmp.Compare(a.PartitionID, b.PartitionID))
	})
	return all
}

// describe fills in what is known of a partition. Reading began behind an event, if that is known.
func (p *progress) describe(s *PartitionStatus, before int64, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.any {
		s.HandledSequenceNumber, s.HandledAt = p.sequence, p.last
	}
	if !p.savedAt.IsZero() {
		s.CheckpointSequenceNumber, s.CheckpointAt = p.saved, p.savedAt
	}
	h := p.handling
	s.Fetched, s.LastError, s.LastErrorAt = h.fetched, h.lastError, h.lastErrorAt
	if h.attempt.number > 0 {
		s.Attempt, s.AttemptSequenceNumber, s.AttemptSince = h.attempt.number, h.attempt.sequence, h.attempt.since
	}
	e := p.extent
	if e.at.IsZero() || time.Since(e.at) > cmp.Or(p.owner.watch.endKnownFor, endKnownFor) {
		return
	}
	s.LastEnqueuedSequenceNumber, s.BehindAsOf = e.last, e.at
	switch {
	case p.any:
		before, known = p.sequence, true
	case h.attempt.number > 0:
		before, known = h.attempt.sequence-1, true
	case e.first > e.last: // whatever was there before has expired
		before, known = e.last, true
	}
	if known {
		s.Behind = max(e.last-max(before, e.first-1), int64(h.fetched)) // what has expired will not come
	}
}

// beginsBehind returns the sequence number behind which the reading of a partition began, as far as it is known without the service: by a checkpoint, or at the earliest event.
func (r *receiving) beginsBehind(partition string) (sequence int64, known bool) {
	if at := r.beginning(partition); at.Earliest != nil && *at.Earliest || at.Offset != nil && *at.Offset == beforeFirst {
		return -1, true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.begins[partition]; c.SequenceNumber != nil {
		return *c.SequenceNumber, true
	}
	return 0, false
}
