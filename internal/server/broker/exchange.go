package broker

import (
	"io"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// exchange is something that a peer asks for and its answer, as far as faults have to know it.
type exchange struct {
	perform   func()            // does it, and answers
	quietly   func()            // does it without an answer; nil: there is nothing that would outlast the answer
	refuse    func(*amqp.Error) // answers that it can't be done, before it was or after
	ignore    func()            // is called if there will be no answer; may be nil
	handshake bool              // there is no connection yet that could be closed with a condition
}

// undergo carries an exchange out as a fault asks for. It doesn't block.
func (p *peer) undergo(f Fault, x exchange) {
	p.excuse()
	if f.After && x.quietly != nil {
		x.quietly()
	}
	p.later(f.Delay, func() { p.meet(f, x) })
}

// meet does what a fault asks for once its delay is over.
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

// later runs f after a delay, unless the connection ends before, and at once when there is no delay, so that an
// ordinary answer costs no goroutine.
func (p *peer) later(delay time.Duration, f func()) {
	if delay <= 0 {
		f()
		return
	}
	p.async(delay, f)
}

// async runs f after a delay without the locks of its caller, unless the connection ends before. It is called on
// behalf of a connection that is served, so the broker's Close waits for it.
func (p *peer) async(delay time.Duration, f func()) {
	p.broker.served.Go(func() {
		if p.wait(delay) {
			f()
		}
	})
}

// wait reports whether the connection is still there after a delay.
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

// connect lets faults happen to a new connection. It reports whether the connection is served.
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

// steps are the operations of the steps that the amqp package asks about.
var steps = [...]Operation{
	amqp.StepSASL: OnSASL, amqp.StepOpen: OnOpen, amqp.StepBegin: OnBegin,
	amqp.StepDetach: OnDetach, amqp.StepEnd: OnEnd, amqp.StepClose: OnClose,
}

// Hold decides whether something happens to a step. See [amqp.Gate].
func (p *peer) Hold(r *amqp.Request) func() {
	f, ok := p.broker.faults.takeOnLink(steps[r.Step], r.Link)
	if !ok {
		return nil
	}
	x := exchange{perform: r.Proceed, refuse: r.Refuse, ignore: r.Ignore}
	x.handshake = r.Step == amqp.StepSASL || r.Step == amqp.StepOpen
	if r.Step == amqp.StepDetach && f.Condition == "" { // with one the answer says that it is detached, too
		x.quietly = r.Forget
	}
	return func() { p.undergo(f, x) }
}

// takeOnLink is take for an operation on a link, or on none.
func (fs *faults) takeOnLink(op Operation, l *amqp.Link) (Fault, bool) {
	if fs.none() { // mostly: what the link is to need not be known
		return Fault{}, false
	}
	var on entity
	if l != nil {
		on = entityOfLink(l)
	}
	return fs.take(op, on)
}

// entityOfLink is what a link is to.
func entityOfLink(l *amqp.Link) entity {
	path := pathOf(l.Address())
	if len(path) > maxPath { // nothing here has such a name
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
