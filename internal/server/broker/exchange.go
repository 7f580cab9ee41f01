package broker

import (
	"io"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// exchange is a request of a peer and its answer, as faults see them.
type exchange struct {
	perform   func()            // does what was asked, and answers
	quietly   func()            // does it without an answer; nil: it has no effect beyond the answer
	refuse    func(*amqp.Error) // answers that it can't be done, whether or not it was
	ignore    func()            // called if there will be no answer; may be nil
	handshake bool              // the connection isn't open yet, so it can't be closed with a condition
}

// undergo performs an exchange as a fault says. It does not block.
func (p *peer) undergo(f Fault, x exchange) {
	p.excuse()
	if f.After && x.quietly != nil {
		x.quietly()
	}
	p.later(f.Delay, func() { p.meet(f, x) })
}

// meet does what a fault says, after its delay.
func (p *peer) meet(f Fault, x exchange) {
	switch {
	case f.SilenceConnection:
		p.wire.silence()
	case f.DropConnection:
		p.drop()
	case f.onConnection() && !x.handshake:
		p.conn.Close(f.err())
	case f.Condition != "":
		x.refuse(f.err())
		return
	case !f.fails():
		x.perform()
		return
	}
	if x.ignore != nil {
		x.ignore()
	}
}

// later runs f after a delay, unless the connection ends before. Without a delay it runs f at once, so that an ordinary
// answer needs no goroutine.
func (p *peer) later(delay time.Duration, f func()) {
	if delay <= 0 {
		f()
		return
	}
	p.async(delay, f)
}

// async runs f in its own goroutine after a delay, without its caller's locks, unless the connection ends before. The
// connection is being served, so the broker's Close waits for the goroutine.
func (p *peer) async(delay time.Duration, f func()) {
	p.broker.served.Go(func() {
		if p.wait(delay) {
			f()
		}
	})
}

// wait waits, and reports whether the connection is still there after the delay.
func (p *peer) wait(delay time.Duration) bool {
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-p.done:
		return false
	case <-t.C:
		return true
	}
}

// connect applies a fault to a new connection. It reports whether to serve the connection.
func (p *peer) connect() bool {
	f, ok := p.broker.faults.take(OnConnect, entity{})
	if !ok {
		return true
	}
	p.excuse()
	switch {
	case !p.wait(f.Delay):
		return false
	case f.SilenceConnection:
		p.wire.silence()
	case f.DropConnection:
		return false
	case f.Condition != "":
		p.conn.Close(f.err()) // once it is open
	case f.fails():
		_, _ = io.Copy(io.Discard, p.wire.below()) // until the peer gives up, or the connection is dropped
		return false
	}
	return true
}

// steps maps the steps of the amqp package to operations.
var steps = [...]Operation{
	amqp.StepSASL: OnSASL, amqp.StepOpen: OnOpen, amqp.StepBegin: OnBegin,
	amqp.StepDetach: OnDetach, amqp.StepEnd: OnEnd, amqp.StepClose: OnClose,
}

// Hold applies a fault to a step. See [amqp.Gate].
func (p *peer) Hold(r *amqp.Request) func() {
	f, ok := p.broker.faults.takeOnLink(steps[r.Step], r.Link)
	if !ok {
		return nil
	}
	x := exchange{perform: r.Proceed, refuse: r.Refuse, ignore: r.Ignore}
	x.handshake = r.Step == amqp.StepSASL || r.Step == amqp.StepOpen
	if r.Step == amqp.StepDetach && f.Condition == "" { // with a condition, the answer detaches the link as well
		x.quietly = r.Forget
	}
	return func() { p.undergo(f, x) }
}

// takeOnLink is take for an operation on a link, or on none if l is nil.
func (fs *faults) takeOnLink(op Operation, l *amqp.Link) (Fault, bool) {
	if fs.none() { // the usual case, which needs no entity
		return Fault{}, false
	}
	var on entity
	if l != nil {
		on = entityOfLink(l)
	}
	return fs.take(op, on)
}

// entityOfLink returns what a link is for.
func entityOfLink(l *amqp.Link) entity {
	path := pathOf(l.Address())
	if len(path) > maxPath { // no entity has such a name
		return entity{}
	}
	e := entityOf(path)
	if e.link.carriesEvents() {
		e.link = SenderLink
		if l.Receiving {
			e.link = ReaderLink
		}
	}
	return e
}
