package broker_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

// delay is long enough to be distinguished from no delay.
const delay = 60 * time.Millisecond

// lost waits until a connection has ended, and returns why.
func lost(t *testing.T, c *client) *goamqp.ConnError {
	t.Helper()
	select {
	case <-c.conn.Done():
	case <-time.After(patience):
		require.FailNow(t, "the connection is still there")
	}
	var ce *goamqp.ConnError
	require.ErrorAs(t, c.conn.Err(), &ce)
	return ce
}

// publishOn sends an event, and returns the outcome.
func publishOn(t *testing.T, c *client, address, body string) error {
	t.Helper()
	return c.sender(address).Send(ctx(t), goamqp.NewMessage([]byte(body)), nil)
}

func TestConnectFaults(t *testing.T) {
	virtual(t, broker.Options{}, func(t *testing.T, s *namespace) {
		s.AddFault(broker.Fault{On: broker.OnConnect, Times: 1, Skip: 1, DropConnection: true})
		s.open(t).send("hub", "x")
		c := &client{t: t, namespace: s}
		require.Error(t, c.hello(ctx(t), nil))

		s.AddFault(broker.Fault{On: broker.OnConnect, Times: 1, Condition: "amqp:connection:forced", Description: "full"})
		require.NoError(t, c.hello(ctx(t), nil))
		require.Equal(t, &goamqp.Error{Condition: "amqp:connection:forced", Description: "full"}, lost(t, c).RemoteErr)
		s.open(t).send("hub", "x")
	})
}

// A refusal of a request to $cbs or $management has a status code and a condition.
func TestRequestFaults(t *testing.T) {
	for name, x := range map[string]struct {
		fault   broker.Fault
		node    string
		request *goamqp.Message
	}{
		"token":      {broker.Fault{On: broker.OnToken}, "$cbs", tokenRequest("hub")},
		"hub":        {broker.Fault{On: broker.OnHubProperties}, "$management", readRequest("com.microsoft:eventhub")},
		"partition":  {broker.Fault{On: broker.OnPartitionProperties}, "$management", readRequest("com.microsoft:partition")},
		"management": {broker.Fault{On: broker.OnManagement}, "$management", readRequest("com.microsoft:partition")},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, broker.Options{}, func(t *testing.T, s *namespace) {
				c := s.open(t)
				for condition, code := range map[string]int32{
					"amqp:unauthorized-access": 401, "amqp:not-found": 404, "com.microsoft:server-busy": 503,
					"com.microsoft:timeout": 408, "amqp:internal-error": 500, "amqp:resource-limit-exceeded": 403,
					"com.microsoft:entity-disabled": 400, "com.microsoft:argument-out-of-range": 400, "amqp:not-allowed": 400,
					"amqp:not-implemented": 501,
				} {
					f := x.fault
					f.Hub, f.Times, f.Condition, f.Description = "Hub", 1, condition, "d"
					s.AddFault(f)
					answer := c.request(x.node, x.request)
					got, description := statusOf(answer)
					require.Equal(t, code, got)
					require.Equal(t, "d", description)
					require.EqualValues(t, condition, answer.ApplicationProperties["error-condition"])
					got, _ = statusOf(c.request(x.node, x.request))
					require.Less(t, got, int32(300))
				}
			})
		})
	}
}

// A condition of links detaches both links of a request. The client may look at either.
func TestRequestFaultDetaches(t *testing.T) {
	virtual(t, broker.Options{}, func(t *testing.T, s *namespace) {
		sess := s.open(t).session()
		sender, err := sess.NewSender(ctx(t), "$management", nil)
		require.NoError(t, err)
		receiver, err := sess.NewReceiver(ctx(t), "$management", &goamqp.ReceiverOptions{TargetAddress: "me"})
		require.NoError(t, err)
		s.AddFault(broker.Fault{On: broker.OnManagement, Condition: "amqp:link:detach-forced"})
		m := readRequest("com.microsoft:eventhub")
		m.Properties = &goamqp.MessageProperties{MessageID: "x", ReplyTo: ptr("me")}
		_ = sender.Send(ctx(t), m, nil) // its outcome and the detach arrive together
		require.Equal(t, goamqp.ErrCondDetachForced, ended(t, receiver).Condition)
		synctest.Wait()
		requireCondition(t, sender.Send(ctx(t), m, nil), "amqp:link:detach-forced")
	})
}

// Hub, Partition, ConsumerGroup and Link say which exchanges a fault happens to.
func TestFaultsAreAimed(t *testing.T) {
	const other = "hub/ConsumerGroups/Other/Partitions/1"
	tokenFor := func(path string) func(t *testing.T, c *client) error {
		return func(t *testing.T, c *client) error { return question("$cbs", tokenRequest(path))(t, nil, c)(ctx(t)) }
	}
	attach := func(address string) func(t *testing.T, c *client) error {
		return func(t *testing.T, c *client) error { return attachSender(address)(t, nil, c)(ctx(t)) }
	}
	read := func(address string) func(t *testing.T, c *client) error {
		return func(t *testing.T, c *client) error { return attachReader(address)(t, nil, c)(ctx(t)) }
	}
	properties := func(kind string) func(t *testing.T, c *client) error {
		return func(t *testing.T, c *client) error {
			return question("$management", readRequest(kind))(t, nil, c)(ctx(t))
		}
	}
	hub, partition := properties("com.microsoft:eventhub"), properties("com.microsoft:partition")
	type exchanges []func(*testing.T, *client) error
	for name, x := range map[string]struct {
		fault broker.Fault
		pass  exchanges
		meets func(*testing.T, *client) error
	}{
		"one reader": {
			broker.Fault{On: broker.OnAttach, Hub: "HUB", ConsumerGroup: "OTHER", Partition: "1"},
			exchanges{
				attach("hub/Partitions/1"), read("hub/ConsumerGroups/Other/Partitions/0"),
				read("hub/ConsumerGroups/$Default/Partitions/1"), attach("$cbs"), attach("$management"),
			}, read(other),
		},
		"any sender": {on(broker.OnAttach, broker.SenderLink), exchanges{read(other)}, attach("hub/Partitions/0")},
		"events":     {broker.Fault{On: broker.OnAttach}, exchanges{attach("$cbs"), read("$management")}, read(other)},
		"$cbs":       {on(broker.OnAttach, broker.TokenLink), exchanges{attach("hub")}, read("$cbs")},
		"$management": {
			on(broker.OnAttach, broker.ManagementLink), exchanges{attach("$cbs")}, attach("$management"),
		},
		"hub properties":       {broker.Fault{On: broker.OnHubProperties}, exchanges{partition}, hub},
		"partition properties": {broker.Fault{On: broker.OnPartitionProperties}, exchanges{hub}, partition},
		"a partition":          {broker.Fault{On: broker.OnManagement, Partition: "0"}, exchanges{hub}, partition},
		"token of a reader": {
			broker.Fault{On: broker.OnToken, Link: broker.ReaderLink}, exchanges{tokenFor("hub")}, tokenFor(other),
		},
		"token of a sender": {
			broker.Fault{On: broker.OnToken, Link: broker.SenderLink}, exchanges{tokenFor(other)}, tokenFor("hub"),
		},
		"token of a partition": {
			broker.Fault{On: broker.OnToken, Partition: "1"}, exchanges{tokenFor("hub")}, tokenFor(other),
		},
		"token for $management": {
			on(broker.OnToken, broker.ManagementLink), exchanges{tokenFor("hub")}, tokenFor("hub/$management"),
		},
		"token of a group": {
			broker.Fault{On: broker.OnToken, ConsumerGroup: "$default"}, exchanges{tokenFor(other)}, tokenFor(group),
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, broker.Options{}, func(t *testing.T, s *namespace) {
				pass, meets, healed := s.open(t), s.open(t), s.open(t)
				f := x.fault
				f.Times, f.Condition, f.Description = 1, "com.microsoft:entity-disabled", "off"
				s.AddFault(f)
				for _, do := range x.pass {
					require.NoError(t, do(t, pass))
				}
				require.ErrorContains(t, x.meets(t, meets), "off")
				require.NoError(t, x.meets(t, healed))
			})
		})
	}
}

// An attach that is held up is not performed once its connection is gone: it would evict the other reader.
func TestAttachOfTheDead(t *testing.T) {
	virtual(t, broker.Options{}, func(t *testing.T, s *namespace) {
		alive := s.open(t).mustRead(group, latest, withEpoch("alive", int64(1)))
		s.AddFault(broker.Fault{On: broker.OnAttach, ConsumerGroup: "$default", Times: 1, Delay: delay})
		dead := s.open(t)
		failed := make(chan error, 1)
		go func() {
			_, err := dead.reader(group, latest, withEpoch("the dead", int64(2)))
			failed <- err
		}()
		synctest.Wait()
		require.NoError(t, dead.nc.Close())
		require.Error(t, <-failed)
		time.Sleep(2 * delay)
		s.open(t).send("hub/Partitions/0", "x")
		require.Equal(t, "x", string(next(t, alive).GetData()))
	})
}

// An attach whose answer is lost is performed: the other reader must leave, until the link is gone, too.
func TestAttachAfter(t *testing.T) {
	for name, f := range map[string]broker.Fault{
		"unanswered": {Hang: true}, "cut": {DropConnection: true}, "silent": {SilenceConnection: true},
		"refused":      {Condition: "com.microsoft:server-busy"},
		"refused late": {Condition: "com.microsoft:server-busy", Delay: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, broker.Options{}, func(t *testing.T, s *namespace) {
				alive := s.open(t).mustRead(group, latest, withEpoch("alive", int64(1)))
				f.On, f.Times, f.After = broker.OnAttach, 1, true
				s.AddFault(f)
				failed := make(chan error, 1)
				go func() {
					_, err := s.open(t).reader(group, latest, withEpoch("the new one", int64(1)))
					failed <- err
				}()
				require.Equal(t, goamqp.ErrCond("amqp:link:stolen"), ended(t, alive).Condition)
				err := <-failed
				if f.Condition != "" {
					requireCondition(t, err, f.Condition)
				}
				require.Error(t, err)
				again := s.open(t).mustRead(group, latest, withEpoch("the last", int64(1)))
				s.open(t).send("hub/Partitions/0", "x")
				require.Equal(t, "x", string(next(t, again).GetData()))
			})
		})
	}
}

func TestPublishFaults(t *testing.T) {
	virtual(t, broker.Options{}, func(t *testing.T, s *namespace) {
		c := s.open(t)
		publish := func(body string) error { return publishOn(t, c, "hub/Partitions/0", body) }
		busy := broker.Fault{On: broker.OnPublish, Condition: "com.microsoft:server-busy", Description: "later"}
		f := busy
		f.Partition, f.Skip, f.Times = "0", 2, 2
		s.AddFault(f)
		require.NoError(t, publish("1"))
		c.send("hub/Partitions/1", "elsewhere")
		c.send("hub", "anywhere") // it goes to partition 0, but doesn't name it
		require.NoError(t, publish("2"))
		for range 2 {
			requireCondition(t, publish("no"), "com.microsoft:server-busy", "later")
		}
		require.NoError(t, publish("3"))

		f = busy
		f.Hub = "Hub"
		remove := s.AddFault(f) // until it is removed
		for range 3 {
			requireCondition(t, publish("no"), "com.microsoft:server-busy")
		}
		remove()
		remove()
		s.AddFault(broker.Fault{On: broker.OnPublish, Times: 1, Condition: "amqp:internal-error", After: true})
		requireCondition(t, publish("4"), "amqp:internal-error")
		s.AddFault(broker.Fault{On: broker.OnPublish, Times: 1, Condition: "amqp:link:detach-forced", Delay: delay})
		start := time.Now()
		requireCondition(t, publish("no"), "amqp:link:detach-forced")
		require.Equal(t, delay, time.Since(start))
		// This condition is about the message, not about the link.
		s.AddFault(broker.Fault{On: broker.OnPublish, Times: 1, Condition: "amqp:link:message-size-exceeded"})
		sender := c.sender("hub/Partitions/0")
		requireCondition(t, sender.Send(ctx(t), goamqp.NewMessage(nil), nil), "amqp:link:message-size-exceeded")
		require.NoError(t, sender.Send(ctx(t), goamqp.NewMessage([]byte("5")), nil))
		require.Equal(t, []string{"1", "anywhere", "2", "3", "4", "5"}, bodies(t, s, "0"))
	})
}

// A message that is only delayed is stored at once, to keep the order. So is one whose answer is lost. Later messages
// are answered.
func TestPublishIsStoredAtOnce(t *testing.T) {
	virtual(t, broker.Options{}, func(t *testing.T, s *namespace) {
		const late = time.Minute
		s.AddFault(broker.Fault{On: broker.OnPublish, Times: 1, Delay: late})
		s.AddFault(broker.Fault{On: broker.OnPublish, Times: 1, After: true})
		sender := s.open(t).sender("hub/Partitions/0")
		answered := make(chan string, 2)
		for _, body := range []string{"late", "lost"} {
			go func() {
				if sender.Send(context.Background(), goamqp.NewMessage([]byte(body)), nil) == nil {
					answered <- body
				}
			}()
			synctest.Wait()
		}
		require.NoError(t, sender.Send(ctx(t), goamqp.NewMessage([]byte("third")), nil))
		require.Equal(t, []string{"late", "lost", "third"}, bodies(t, s, "0"))
		require.Empty(t, answered)
		time.Sleep(late)
		synctest.Wait()
		require.Equal(t, "late", <-answered)
		require.NoError(t, sender.Close(ctx(t)))
		require.Empty(t, answered)
	})
}

func TestReceiveFaults(t *testing.T) {
	virtual(t, broker.Options{}, func(t *testing.T, s *namespace) {
		c := s.open(t)
		c.send("hub/Partitions/0", "0", "1", "2")
		off := broker.Fault{On: broker.OnReceive, Condition: "amqp:link:detach-forced", Description: "off"}
		off.Skip, off.Times = 1, 1
		s.AddFault(off)
		r := c.mustRead(group, earliest, nil)
		require.Equal(t, "0", string(next(t, r).GetData()))
		require.Equal(t, &goamqp.Error{Condition: "amqp:link:detach-forced", Description: "off"}, ended(t, r))
		r, err := c.sess.NewReceiver(ctx(t), group, &goamqp.ReceiverOptions{
			Credit: -1, Filters: []goamqp.LinkFilter{goamqp.NewSelectorFilter("amqp.annotation.x-opt-sequence-number > '0'")},
		})
		require.NoError(t, err)
		require.NoError(t, r.IssueCredit(100))
		require.Equal(t, "1", string(next(t, r).GetData()), "the event was not lost with the link")
		require.Equal(t, "2", string(next(t, r).GetData()))

		// Each delay is for one delivery, even if the link is woken meanwhile.
		for range 2 {
			s.AddFault(broker.Fault{On: broker.OnReceive, Partition: "0", ConsumerGroup: "$DEFAULT", Times: 2, Delay: delay})
			start := time.Now()
			c.send("hub/Partitions/0", "held", "held too")
			c.send("hub/Partitions/0", "free")
			require.NoError(t, r.IssueCredit(1)) // this wakes the link
			require.Equal(t, "held", string(next(t, r).GetData()))
			require.Equal(t, delay, time.Since(start))
			require.Equal(t, "held too", string(next(t, r).GetData()))
			require.Equal(t, 2*delay, time.Since(start))
			require.Equal(t, "free", string(next(t, r).GetData()))
		}

		// A delivery that was held up goes on without meeting the next fault.
		s.AddFault(broker.Fault{On: broker.OnReceive, Times: 1, Delay: delay})
		s.AddFault(broker.Fault{On: broker.OnReceive, Times: 1, Condition: "amqp:link:detach-forced"})
		c.send("hub/Partitions/0", "held", "not delivered")
		require.Equal(t, "held", string(next(t, r).GetData()))
		require.Equal(t, goamqp.ErrCondDetachForced, ended(t, r).Condition)
	})
}

// The fault that was declared first happens first, and then the next one. Each counts how often it has happened.
func TestFaultsInTurn(t *testing.T) {
	virtual(t, broker.Options{}, func(t *testing.T, s *namespace) {
		sender := s.open(t).sender("hub")
		var one, three atomic.Int64
		remove := s.AddFault(broker.Fault{On: broker.OnPublish, Times: 1, Condition: "a:one", Happened: &one})
		s.AddFault(broker.Fault{On: broker.OnPublish, Times: 1, Skip: 1, Condition: "a:two"})
		forever := s.AddFault(broker.Fault{On: broker.OnPublish, Condition: "a:three", Happened: &three})
		for _, condition := range []string{"a:one", "a:three", "a:two", "a:three", "a:three"} {
			requireCondition(t, sender.Send(ctx(t), goamqp.NewMessage(nil), nil), condition)
		}
		remove() // it is used up already
		forever()
		require.NoError(t, sender.Send(ctx(t), goamqp.NewMessage(nil), nil))
		require.EqualValues(t, 1, one.Load())
		require.EqualValues(t, 3, three.Load())
	})
}

// Close does not wait for faults that hold something up. They leave no goroutine behind, or the bubble would not end.
func TestCloseDuringFaults(t *testing.T) {
	for name, f := range map[string]broker.Fault{
		"delay": {Delay: time.Hour, Condition: "amqp:not-found"}, "hang": {Hang: true}, "silence": {SilenceConnection: true},
	} {
		t.Run(name, func(t *testing.T) {
			stage(t, f, func(t *testing.T, _ exchange, s *scene) {
				failed := make(chan error, 1)
				go func() { failed <- s.do(context.Background()) }()
				synctest.Wait()
				start := time.Now()
				s.Close()
				s.Close()
				if f.SilenceConnection { // nobody who could still answer
					require.Zero(t, time.Since(start))
				}
				require.LessOrEqual(t, time.Since(start), time.Second)
				<-failed
			})
		})
	}
}

// Clients are told that the namespace closes.
func TestCloseTells(t *testing.T) {
	virtual(t, broker.Options{}, func(t *testing.T, s *namespace) {
		c := s.open(t)
		s.Close()
		require.Equal(t, &goamqp.Error{
			Condition: "amqp:connection:forced", Description: "the namespace is shutting down",
		}, lost(t, c).RemoteErr)
		require.Error(t, c.hello(ctx(t), nil))
	})
}
