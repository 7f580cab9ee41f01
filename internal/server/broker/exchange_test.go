package broker_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

// exchange is something that a client asks of the namespace.
type exchange struct {
	name  string
	fault broker.Fault // names the exchange
	// begin prepares the exchange on a connection, and returns the function that performs it.
	begin func(t *testing.T, s *namespace, c *client) func(context.Context) error
	fresh bool // it is part of the handshake: begin's client is not connected
}

// exchanges are the exchanges in which the client waits for an answer. OnClose is not among them: go-amqp doesn't wait
// for its answer.
var exchanges = []exchange{
	{name: "connect", fault: broker.Fault{On: broker.OnConnect}, begin: hello, fresh: true},
	{name: "SASL", fault: broker.Fault{On: broker.OnSASL}, begin: hello, fresh: true},
	{name: "open", fault: broker.Fault{On: broker.OnOpen}, begin: hello, fresh: true},
	{name: "begin", fault: broker.Fault{On: broker.OnBegin}, begin: newSession},
	{name: "attach a sender", fault: on(broker.OnAttach, broker.SenderLink), begin: attachSender("hub/Partitions/0")},
	{name: "attach a reader", fault: on(broker.OnAttach, broker.ReaderLink), begin: attachReader(group)},
	{name: "attach a sender to $cbs", fault: on(broker.OnAttach, broker.TokenLink), begin: attachSender("$cbs")},
	{name: "attach a reader to $cbs", fault: on(broker.OnAttach, broker.TokenLink), begin: attachReader("$cbs")},
	{name: "attach to $management", fault: on(broker.OnAttach, broker.ManagementLink), begin: attachSender("$management")},
	{name: "put-token", fault: broker.Fault{On: broker.OnToken, Hub: "Hub"}, begin: question("$cbs", tokenRequest("hub"))},
	{
		name: "hub properties", fault: broker.Fault{On: broker.OnHubProperties, Hub: "HUB"},
		begin: question("$management", readRequest("com.microsoft:eventhub")),
	},
	{
		name: "partition properties", fault: broker.Fault{On: broker.OnPartitionProperties, Partition: "0"},
		begin: question("$management", readRequest("com.microsoft:partition")),
	},
	{name: "publish", fault: broker.Fault{On: broker.OnPublish, Partition: "0"}, begin: publish},
	{name: "receive", fault: broker.Fault{On: broker.OnReceive, Partition: "0"}, begin: receiveOne},
	{name: "detach a sender", fault: on(broker.OnDetach, broker.SenderLink), begin: detachSender("hub/Partitions/0")},
	{name: "detach a reader", fault: on(broker.OnDetach, broker.ReaderLink), begin: detachReader},
	{name: "detach from $cbs", fault: on(broker.OnDetach, broker.TokenLink), begin: detachSender("$cbs")},
	{
		name: "detach from $management", fault: on(broker.OnDetach, broker.ManagementLink),
		begin: detachSender("$management"),
	},
	{name: "end", fault: broker.Fault{On: broker.OnEnd}, begin: endSession},
}

func on(op broker.Operation, kind broker.LinkKind) broker.Fault {
	f := broker.Fault{On: op, Link: kind}
	if kind == broker.SenderLink || kind == broker.ReaderLink {
		f.Hub, f.Partition = "hub", "0"
	}
	return f
}

func hello(_ *testing.T, _ *namespace, c *client) func(context.Context) error {
	return func(ctx context.Context) error {
		o := &goamqp.ConnOptions{SASLType: goamqp.SASLTypeAnonymous(), IdleTimeout: -1}
		if err := c.hello(ctx, o); err != nil {
			return err
		}
		_, err := c.conn.NewSession(ctx, nil) // a refused connection is open for a moment
		return err
	}
}

func newSession(_ *testing.T, _ *namespace, c *client) func(context.Context) error {
	return func(ctx context.Context) error {
		sess, err := c.conn.NewSession(ctx, nil)
		if err != nil {
			return err
		}
		_, err = sess.NewSender(ctx, "hub", nil) // so is a refused session
		return err
	}
}

func (c *client) session() *goamqp.Session {
	c.t.Helper()
	sess, err := c.conn.NewSession(ctx(c.t), nil)
	require.NoError(c.t, err)
	return sess
}

func attachSender(address string) func(*testing.T, *namespace, *client) func(context.Context) error {
	return func(_ *testing.T, _ *namespace, c *client) func(context.Context) error {
		sess := c.session()
		return func(ctx context.Context) error {
			_, err := sess.NewSender(ctx, address, nil)
			return err
		}
	}
}

func attachReader(address string) func(*testing.T, *namespace, *client) func(context.Context) error {
	return func(_ *testing.T, _ *namespace, c *client) func(context.Context) error {
		sess := c.session()
		return func(ctx context.Context) error {
			_, err := sess.NewReceiver(ctx, address, &goamqp.ReceiverOptions{TargetAddress: "me"})
			return err
		}
	}
}

func tokenRequest(hub string) *goamqp.Message {
	audience := "sb://host/" + hub
	return &goamqp.Message{
		Value: sas(audience, "root", rootKey, time.Now().Add(time.Hour)),
		ApplicationProperties: map[string]any{
			"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": audience,
		},
	}
}

func readRequest(kind string) *goamqp.Message {
	return &goamqp.Message{ApplicationProperties: map[string]any{
		"operation": "READ", "type": kind, "name": "hub", "partition": "0",
	}}
}

func question(node string, m *goamqp.Message) func(*testing.T, *namespace, *client) func(context.Context) error {
	return func(t *testing.T, _ *namespace, c *client) func(context.Context) error {
		sess := c.session()
		sender, err := sess.NewSender(ctx(t), node, nil)
		require.NoError(t, err)
		receiver, err := sess.NewReceiver(ctx(t), node, &goamqp.ReceiverOptions{TargetAddress: "me"})
		require.NoError(t, err)
		return func(ctx context.Context) error {
			m.Properties = &goamqp.MessageProperties{MessageID: "x", ReplyTo: ptr("me")}
			if err := sender.Send(ctx, m, nil); err != nil {
				return err
			}
			answer, err := receiver.Receive(ctx, nil)
			if err != nil {
				return err
			}
			if code, description := statusOf(answer); code.(int32) >= 300 {
				return fmt.Errorf("%v %v: %v", answer.ApplicationProperties["error-condition"], code, description)
			}
			return nil
		}
	}
}

func publish(t *testing.T, _ *namespace, c *client) func(context.Context) error {
	sender, err := c.session().NewSender(ctx(t), "hub/Partitions/0", nil)
	require.NoError(t, err)
	return func(ctx context.Context) error { return sender.Send(ctx, goamqp.NewMessage([]byte("x")), nil) }
}

func receiveOne(t *testing.T, s *namespace, c *client) func(context.Context) error {
	r := c.mustRead(group, latest, nil)
	return func(ctx context.Context) error {
		s.open(t).send("hub/Partitions/0", "x")
		_, err := r.Receive(ctx, nil)
		return err
	}
}

func detachSender(address string) func(*testing.T, *namespace, *client) func(context.Context) error {
	return func(t *testing.T, _ *namespace, c *client) func(context.Context) error {
		sender, err := c.session().NewSender(ctx(t), address, nil)
		require.NoError(t, err)
		return sender.Close
	}
}

func detachReader(_ *testing.T, _ *namespace, c *client) func(context.Context) error {
	return c.mustRead(group, latest, nil).Close
}

func endSession(_ *testing.T, _ *namespace, c *client) func(context.Context) error {
	return c.session().Close
}

// elsewhere is traffic on the same connection that the fault does not affect.
type elsewhere struct {
	sender   *goamqp.Sender
	receiver *goamqp.Receiver
}

func newElsewhere(c *client) *elsewhere {
	const address = "hub/ConsumerGroups/$Default/Partitions/3"
	return &elsewhere{c.sender("hub/Partitions/3"), c.mustRead(address, latest, nil)}
}

// goesOn checks that an event is sent and received at once.
func (e *elsewhere) goesOn(t *testing.T) {
	t.Helper()
	start := time.Now()
	require.NoError(t, e.sender.Send(ctx(t), goamqp.NewMessage([]byte("elsewhere")), nil))
	require.Equal(t, "elsewhere", string(next(t, e.receiver).GetData()))
	require.Zero(t, time.Since(start))
}

// patient is how long a client waits for an answer that doesn't come.
const patient = 2 * time.Minute

// scene is an exchange to which a fault is about to happen.
type scene struct {
	*namespace
	client    *client
	elsewhere *elsewhere // nil: the exchange is part of the handshake
	do        func(context.Context) error
	again     func() error // performs another exchange, which succeeds
	happened  atomic.Int64
}

// stage runs a test with each exchange, in virtual time. f is the fault that happens to it.
func stage(t *testing.T, f broker.Fault, test func(t *testing.T, x exchange, s *scene)) {
	for _, x := range exchanges {
		t.Run(x.name, func(t *testing.T) {
			virtual(t, broker.Options{}, func(t *testing.T, n *namespace) {
				s := &scene{namespace: n}
				fresh := func() *client {
					c := &client{t: t, namespace: n}
					if !x.fresh {
						require.NoError(t, c.hello(ctx(t), &goamqp.ConnOptions{IdleTimeout: -1}))
						c.sess = c.session()
						c.authorize("sb://host/", "root", rootKey)
					}
					return c
				}
				s.client = fresh()
				if !x.fresh {
					s.elsewhere = newElsewhere(s.client)
				}
				s.do = x.begin(t, n, s.client)
				s.again = func() error { return x.begin(t, n, fresh())(ctx(t)) }
				what := f
				what.On, what.Hub, what.Partition, what.Link = x.fault.On, x.fault.Hub, x.fault.Partition, x.fault.Link
				what.Times, what.Happened = 1, &s.happened
				n.AddFault(what)
				test(t, x, s)
				require.EqualValues(t, 1, s.happened.Load())
			})
		})
	}
}

// took performs the exchange, and returns how long that took. It checks that other traffic on the connection goes on
// meanwhile.
func (s *scene) took(t *testing.T) (time.Duration, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	start, result := time.Now(), make(chan error, 1)
	var end time.Time
	go func() {
		err := s.do(ctx)
		end = time.Now()
		result <- err
	}()
	synctest.Wait()
	if s.elsewhere != nil {
		s.elsewhere.goesOn(t)
	}
	err := <-result
	return end.Sub(start), err
}

// requireTimeout checks that a client has given up. While a client opens a connection, the deadline may be the
// socket's.
func requireTimeout(t *testing.T, err error) {
	t.Helper()
	require.True(t, errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded), "%v", err)
}

func TestNeverAnswered(t *testing.T) {
	for name, f := range map[string]broker.Fault{
		"before": {Hang: true}, "after": {Hang: true, After: true}, "answer lost": {After: true},
		"late": {Hang: true, Delay: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			stage(t, f, func(t *testing.T, x exchange, s *scene) {
				if x.fault.On == broker.OnReceive && f.After { // this event is delivered, and no other
					require.NoError(t, s.do(ctx(t)))
				}
				took, err := s.took(t)
				requireTimeout(t, err)
				require.Equal(t, patient, took)
				require.NoError(t, s.again())
			})
		})
	}
}

func TestAnsweredLate(t *testing.T) {
	const late = 90 * time.Second
	stage(t, broker.Fault{Delay: late}, func(t *testing.T, x exchange, s *scene) {
		took, err := s.took(t)
		require.NoError(t, err)
		require.Equal(t, late, took)
		require.NoError(t, s.again())
	})
}

// conditions are errors of AMQP and of the service.
var conditions = []string{
	"com.microsoft:server-busy", "com.microsoft:timeout", "amqp:link:detach-forced", "amqp:link:transfer-limit-exceeded",
	"amqp:connection:forced", "amqp:internal-error", "amqp:unauthorized-access", "amqp:not-found", "amqp:not-allowed",
	"amqp:resource-limit-exceeded", "com.microsoft:entity-disabled", "com.microsoft:argument-out-of-range",
	"com.microsoft:argument-error", "amqp:link:message-size-exceeded", "amqp:link:stolen",
}

func TestRefusedWithEachCondition(t *testing.T) {
	for _, condition := range conditions {
		t.Run(condition, func(t *testing.T) {
			stage(t, broker.Fault{Condition: condition, Description: "told"}, func(t *testing.T, x exchange, s *scene) {
				err := s.do(ctx(t))
				switch x.fault.On {
				case broker.OnSASL: // its outcome is a code
					require.ErrorContains(t, err, "failed with code")
				case broker.OnDetach, broker.OnEnd: // go-amqp ignores the error when it ends something itself
				default:
					require.ErrorContains(t, err, condition)
					require.ErrorContains(t, err, "told")
				}
				require.NoError(t, s.again())
			})
		})
	}
}

// performed reports whether a lasting effect of the exchange is there: the event of OnPublish.
func (s *scene) performed(t *testing.T) bool { return len(bodies(t, s.namespace, "0")) > 0 }

func TestCut(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after %v", after), func(t *testing.T) {
			stage(t, broker.Fault{DropConnection: true, After: after}, func(t *testing.T, x exchange, s *scene) {
				if x.fault.On == broker.OnReceive && after {
					require.NoError(t, s.do(ctx(t)))
				}
				start := time.Now()
				require.Error(t, s.do(ctx(t)))
				require.LessOrEqual(t, time.Since(start), time.Millisecond)
				if !x.fresh {
					require.Nil(t, lost(t, s.client).RemoteErr)
				}
				if x.fault.On == broker.OnPublish {
					require.Equal(t, after, s.performed(t))
				}
				require.NoError(t, s.again())
			})
		})
	}
}

// After a connection has gone silent, the client gets nothing, not even when this side gives up.
func TestSilence(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after %v", after), func(t *testing.T) {
			stage(t, broker.Fault{SilenceConnection: true, After: after}, func(t *testing.T, x exchange, s *scene) {
				if x.fault.On == broker.OnReceive && after {
					require.NoError(t, s.do(ctx(t)))
					time.Sleep(time.Second)
				}
				soon, cancel := context.WithTimeout(context.Background(), patient)
				defer cancel()
				silent := s.do
				if s.elsewhere != nil {
					silent = func(ctx context.Context) error {
						go func() { _ = s.do(ctx) }()
						synctest.Wait()
						return s.elsewhere.sender.Send(ctx, goamqp.NewMessage(nil), nil)
					}
				}
				requireTimeout(t, silent(soon))
				if x.fault.On == broker.OnPublish {
					require.Equal(t, after, s.performed(t))
				}
				before, _ := s.client.nc.seen()
				time.Sleep(15 * time.Minute) // past the namespace's idle timeout
				read, ended := s.client.nc.seen()
				if !x.fresh { // go-amqp closes a connection if it gives up before it is open
					require.NoError(t, ended)
				}
				require.Equal(t, before, read)
				require.Empty(t, bodies(t, s.namespace, "3"), "what is sent on it isn't read")
				require.NoError(t, s.again())
				s.DropConnections()
				synctest.Wait()
				if !x.fresh {
					_, ended = s.client.nc.seen()
					require.Error(t, ended)
				}
			})
		})
	}
}
