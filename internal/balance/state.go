package balance

import (
	"context"
	"log/slog"
	"time"
)

// partition is what is known of a partition, whether it is ours or not.
type partition struct {
	claim     *Claim             // nil unless it is ours
	touched   uint64             // the moment when we may last have changed its record
	claiming  bool               // a claim or a renewal is under way
	cut       context.CancelFunc // cuts it off
	releasing bool               // a release is
	writing   bool               // a call about its request is
	wrote     uint64             // the moment when the last of these was answered
	trouble   trouble            // claims that have failed, with no success since
	refusals  int                // claims that the store has refused, with no success since
	retryAt   time.Time          // when to claim it after that
	asked     string             // whom we have asked for it
}

// partition returns what is known of a partition. stateMu is held, here and in what follows.
func (l *Loop) partition(id string) *partition {
	p := l.partitions[id]
	if p == nil {
		p = &partition{}
		l.partitions[id] = p
	}
	return p
}

// touch notes that a record may have changed: listings that are under way say nothing of it.
func (l *Loop) touch(p *partition) {
	l.moment++
	p.touched = l.moment
}

// drop ends a claim.
func (l *Loop) drop(p *partition) {
	p.claim.end(ErrLost)
	p.claim = nil
	l.held--
	p.settle()
	l.touch(p)
	l.change()
}

// settle notes that the last claim has succeeded, or doesn't matter any more.
func (p *partition) settle() { p.trouble, p.refusals, p.retryAt = trouble{}, 0, time.Time{} }

// change wakes whoever waits for more to be known.
func (l *Loop) change() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// log logs once stateMu is unlocked: the Logger is the user's.
func (l *Loop) log(level slog.Level, message string, args ...any) {
	l.logs = append(l.logs, func() { l.o.Logger.Log(context.Background(), level, message, args...) })
}

// unlock unlocks stateMu, and logs what there is to log.
func (l *Loop) unlock() {
	logs := l.logs
	l.logs = nil
	l.stateMu.Unlock()
	for _, log := range logs {
		log()
	}
}
