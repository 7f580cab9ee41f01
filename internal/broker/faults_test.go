package broker_test

import (
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/broker"
)

// delay is long enough to be told from no delay.
const delay = 60 * time.Millisecond

// took checks how long it is since start.
func took(t *testing.T, start time.Time) {
	t.Helper()
	require.GreaterOrEqual(t, time.Since(start), delay)
}

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

func TestConnectFaults(t *testing.T) {
	s := serve(t, broker.Options{})
	s.AddFault(broker.Fault{On: broker.OnConnect, Times: 1, Delay: delay})
	start := time.Now()
	s.open(t).send("hub", "x")
	took(t, start)

	s.AddFault(broker.Fault{On: broker.OnConnect, Times: 1, Skip: 1, DropConnection: true})
	s.open(t).send("hub", "x")
	_, err := goamqp.Dial(ctx(t), "amqp://"+s.addr, nil)
	require.Error(t, err)

	s.AddFault(broker.Fault{On: broker.OnConnect, Times: 1, Condition: "amqp:connection:forced", Description: "full"})
	conn, err := goamqp.Dial(ctx(t), "amqp://"+s.addr, nil)
	require.NoError(t, err)
	require.Equal(t, &goamqp.Error{Condition: "amqp:connection:forced", Description: "full"}, lost(t, &client{conn: conn}).RemoteErr)
	s.open(t).send("hub", "x")
}

func TestRequestFaults(t *testing.T) {
	for op, request := range map[broker.Operation]func(c *client) *goamqp.Message{
		broker.OnToken: func(c *client) *goamqp.Message {
			return c.request("$cbs", &goamqp.Message{Value: sas("sb://host/hub", "root", rootKey, time.Now().Add(time.Hour)), ApplicationProperties: map[string]any{
				"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": "sb://host/HUB",
			}})
		},
		broker.OnManagement: func(c *client) *goamqp.Message {
			return c.request("$management", &goamqp.Message{ApplicationProperties: map[string]any{
				"operation": "READ", "type": "com.microsoft:eventhub", "name": "HUB",
			}})
		},
	} {
		t.Run(string(op), func(t *testing.T) {
			s := serve(t, broker.Options{})
			c := s.open(t)
			good := map[broker.Operation]int32{broker.OnToken: 202, broker.OnManagement: 200}[op]
			for condition, code := range map[string]int32{
				"amqp:unauthorized-access": 401, "amqp:not-found": 404, "com.microsoft:server-busy": 503, "com.microsoft:timeout": 408,
				"amqp:internal-error": 500, "amqp:resource-limit-exceeded": 403,
			} {
				s.AddFault(broker.Fault{On: op, Hub: "Hub", Times: 1, Condition: condition, Description: "d", Delay: time.Millisecond})
				got, description := statusOf(request(c))
				require.Equal(t, code, got)
				require.Equal(t, "d", description)
				got, _ = statusOf(request(c))
				require.Equal(t, good, got)
			}
			s.AddFault(broker.Fault{On: op, Times: 1, Delay: delay})
			start := time.Now()
			code, _ := statusOf(request(c))
			require.Equal(t, good, code)
			took(t, start)
			remove := s.AddFault(broker.Fault{On: op, Hub: "another", Condition: "amqp:not-found"})
			code, _ = statusOf(request(c))
			require.Equal(t, good, code)
			remove()

			sender := c.sender(map[broker.Operation]string{broker.OnToken: "$cbs", broker.OnManagement: "$management"}[op])
			s.AddFault(broker.Fault{On: op, Times: 1, After: true}) // never answered, but the connection goes on
			require.NoError(t, sender.Send(ctx(t), &goamqp.Message{Value: ""}, nil))
			code, _ = statusOf(request(c))
			require.Equal(t, good, code)
			s.AddFault(broker.Fault{On: op, Times: 1, Condition: "amqp:connection:forced"})
			_ = sender.Send(ctx(t), &goamqp.Message{Value: ""}, nil) // its outcome and the close arrive together: go-amqp may see either first
			require.Equal(t, goamqp.ErrCondConnectionForced, lost(t, c).RemoteErr.Condition)
			c = s.open(t)
			s.AddFault(broker.Fault{On: op, Times: 1, DropConnection: true})
			_ = c.sender(map[broker.Operation]string{broker.OnToken: "$cbs", broker.OnManagement: "$management"}[op]).Send(ctx(t), &goamqp.Message{Value: ""}, nil)
			require.Nil(t, lost(t, c).RemoteErr)
		})
	}
}

func TestAttachFaults(t *testing.T) {
	s := serve(t, broker.Options{})
	c := s.open(t)
	s.AddFault(broker.Fault{On: broker.OnAttach, Hub: "HUB", ConsumerGroup: "OTHER", Partition: "1", Times: 1, Condition: "com.microsoft:entity-disabled", Description: "off"})
	c.sender("hub/Partitions/1")
	c.mustRead(group, "", nil)
	c.mustRead("hub/ConsumerGroups/Other/Partitions/0", "", nil)
	c.mustRead("hub/ConsumerGroups/$Default/Partitions/1", "", nil)
	_, err := c.reader("hub/ConsumerGroups/Other/Partitions/1", "", nil)
	requireCondition(t, err, "com.microsoft:entity-disabled", "off")
	c.mustRead("hub/ConsumerGroups/Other/Partitions/1", "", nil)

	s.AddFault(broker.Fault{On: broker.OnAttach, Times: 1, Delay: delay, After: true}) // After means nothing here
	start := time.Now()
	c.sender("hub")
	took(t, start)
	s.AddFault(broker.Fault{On: broker.OnAttach, Times: 1, Delay: delay, Condition: "amqp:link:detach-forced"})
	_, err = c.sess.NewSender(ctx(t), "hub", nil)
	requireCondition(t, err, "amqp:link:detach-forced", "a fault was asked for")
	s.AddFault(broker.Fault{On: broker.OnAttach, Times: 1, Condition: "amqp:connection:forced"})
	_, err = c.sess.NewSender(ctx(t), "hub", nil)
	require.Error(t, err)
	require.Equal(t, goamqp.ErrCondConnectionForced, lost(t, c).RemoteErr.Condition)
	c = s.open(t)
	s.AddFault(broker.Fault{On: broker.OnAttach, Times: 1, DropConnection: true, Condition: "amqp:not-found"})
	_, err = c.sess.NewSender(ctx(t), "hub", nil)
	require.Error(t, err)
	require.Nil(t, lost(t, c).RemoteErr)
}

// An attach that is held up is not carried out once its connection is gone: it would evict the reader that is there.
func TestAttachOfTheDead(t *testing.T) {
	s := serve(t, broker.Options{})
	alive := s.open(t).mustRead(group, "", with("alive", int64(1)))
	s.AddFault(broker.Fault{On: broker.OnAttach, ConsumerGroup: "$default", Times: 1, Delay: delay})
	dead := s.open(t)
	sent := dead.nc.await("the dead")
	failed := make(chan error, 1)
	go func() {
		_, err := dead.reader(group, "", with("the dead", int64(2)))
		failed <- err
	}()
	<-sent
	require.NoError(t, dead.nc.Close())
	require.Error(t, <-failed)
	s.AddFault(broker.Fault{On: broker.OnPublish, Times: 1, Delay: 2 * delay})
	s.open(t).send("hub/Partitions/0", "x") // it takes longer than the attach would
	require.Equal(t, "x", string(next(t, alive).GetData()))
	s.open(t).send("hub/Partitions/0", "y")
	require.Equal(t, "y", string(next(t, alive).GetData()))
}

func TestPublishFaults(t *testing.T) {
	s := serve(t, broker.Options{})
	c := s.open(t)
	publish := func(body string) error {
		return c.sender("hub/Partitions/0").Send(ctx(t), goamqp.NewMessage([]byte(body)), nil)
	}
	s.AddFault(broker.Fault{On: broker.OnPublish, Partition: "0", Skip: 2, Times: 2, Condition: "com.microsoft:server-busy", Description: "later"})
	require.NoError(t, publish("1"))
	c.send("hub/Partitions/1", "elsewhere")
	c.send("hub", "anywhere") // it goes to 0, but doesn't name it
	require.NoError(t, publish("2"))
	for range 2 {
		requireCondition(t, publish("no"), "com.microsoft:server-busy", "later")
	}
	require.NoError(t, publish("3"))

	remove := s.AddFault(broker.Fault{On: broker.OnPublish, Hub: "Hub", Condition: "amqp:internal-error"}) // until it is taken back
	for range 3 {
		requireCondition(t, publish("no"), "amqp:internal-error")
	}
	remove()
	remove()
	s.AddFault(broker.Fault{On: broker.OnPublish, Times: 1, Condition: "amqp:internal-error", After: true})
	requireCondition(t, publish("4"), "amqp:internal-error")
	s.AddFault(broker.Fault{On: broker.OnPublish, Times: 1, Condition: "amqp:link:detach-forced", Delay: delay})
	start := time.Now()
	requireCondition(t, publish("no"), "amqp:link:detach-forced")
	took(t, start)
	s.AddFault(broker.Fault{On: broker.OnPublish, Times: 1, Delay: delay})
	start = time.Now()
	require.NoError(t, publish("5"))
	took(t, start)
	require.Equal(t, []string{"1", "anywhere", "2", "3", "4", "5"}, bodies(t, s, "0"))

	// An answer that is lost: the message is stored, and the sender waits in vain.
	s.AddFault(broker.Fault{On: broker.OnPublish, Times: 1, After: true})
	sender := c.sender("hub/Partitions/0")
	unanswered := make(chan error, 1)
	go func() { unanswered <- sender.Send(ctx(t), goamqp.NewMessage([]byte("6")), nil) }()
	require.Eventually(t, func() bool { return len(bodies(t, s, "0")) == 7 }, patience, 1e6)
	require.NoError(t, publish("7"))
	require.Empty(t, unanswered)
	require.NoError(t, sender.Close(ctx(t)))
	require.Error(t, <-unanswered)

	s.AddFault(broker.Fault{On: broker.OnPublish, Times: 1, DropConnection: true, After: true})
	require.Error(t, publish("8"))
	require.Nil(t, lost(t, c).RemoteErr)
	require.Equal(t, []string{"6", "7", "8"}, bodies(t, s, "0")[6:])
	c = s.open(t)
	s.AddFault(broker.Fault{On: broker.OnPublish, Times: 1, Condition: "amqp:connection:forced"})
	require.Error(t, publish("no"))
	require.Equal(t, goamqp.ErrCondConnectionForced, lost(t, c).RemoteErr.Condition)
	require.Len(t, bodies(t, s, "0"), 9)
}

func TestReceiveFaults(t *testing.T) {
	s := serve(t, broker.Options{})
	c := s.open(t)
	c.send("hub/Partitions/0", "0", "1", "2")
	s.AddFault(broker.Fault{On: broker.OnReceive, Skip: 1, Times: 1, Condition: "amqp:link:detach-forced", Description: "off"})
	r := c.mustRead(group, earliest, nil)
	require.Equal(t, "0", string(next(t, r).GetData()))
	require.Equal(t, &goamqp.Error{Condition: "amqp:link:detach-forced", Description: "off"}, ended(t, r))
	r, err := c.sess.NewReceiver(ctx(t), group, &goamqp.ReceiverOptions{
		Credit: -1, Filters: []goamqp.LinkFilter{goamqp.NewSelectorFilter("amqp.annotation.x-opt-sequence-number > '0'")},
	})
	require.NoError(t, err)
	require.NoError(t, r.IssueCredit(100))
	require.Equal(t, "1", string(next(t, r).GetData()), "it was not lost with the link")
	require.Equal(t, "2", string(next(t, r).GetData()))

	// Each delay is for one delivery, whatever else happens meanwhile.
	for range 2 {
		s.AddFault(broker.Fault{On: broker.OnReceive, Partition: "0", ConsumerGroup: "$DEFAULT", Times: 2, Delay: delay})
		start := time.Now()
		c.send("hub/Partitions/0", "held", "held too")
		c.send("hub/Partitions/0", "free")
		require.NoError(t, r.IssueCredit(1)) // this wakes the link
		require.Equal(t, "held", string(next(t, r).GetData()))
		took(t, start)
		require.Equal(t, "held too", string(next(t, r).GetData()))
		took(t, start.Add(delay))
		require.Equal(t, "free", string(next(t, r).GetData()))
	}

	// What was held up goes on without meeting the next fault.
	s.AddFault(broker.Fault{On: broker.OnReceive, Times: 1, Delay: delay})
	s.AddFault(broker.Fault{On: broker.OnReceive, Times: 1, Condition: "amqp:link:detach-forced"})
	c.send("hub/Partitions/0", "held", "not delivered")
	require.Equal(t, "held", string(next(t, r).GetData()))
	require.Equal(t, goamqp.ErrCondDetachForced, ended(t, r).Condition)

	c.mustRead(group, "", nil)
	s.AddFault(broker.Fault{On: broker.OnReceive, Times: 1, Condition: "amqp:connection:forced", Delay: delay})
	c.send("hub/Partitions/0", "x")
	require.Equal(t, goamqp.ErrCondConnectionForced, lost(t, c).RemoteErr.Condition)
	c = s.open(t)
	s.AddFault(broker.Fault{On: broker.OnReceive, Times: 1, DropConnection: true})
	c.mustRead(group, earliest, nil)
	require.Nil(t, lost(t, c).RemoteErr)
}

// The fault that was declared first happens first, and the next one afterwards.
func TestFaultsInTurn(t *testing.T) {
	s := serve(t, broker.Options{})
	sender := s.open(t).sender("hub")
	remove := s.AddFault(broker.Fault{On: broker.OnPublish, Times: 1, Condition: "a:one"})
	s.AddFault(broker.Fault{On: broker.OnPublish, Times: 1, Skip: 1, Condition: "a:two"})
	forever := s.AddFault(broker.Fault{On: broker.OnPublish, Condition: "a:three"})
	for _, condition := range []string{"a:one", "a:three", "a:two", "a:three", "a:three"} {
		requireCondition(t, sender.Send(ctx(t), goamqp.NewMessage(nil), nil), condition)
	}
	remove() // used up already
	forever()
	require.NoError(t, sender.Send(ctx(t), goamqp.NewMessage(nil), nil))
}

// Close doesn't wait for faults that hold something up, and nothing of them is left.
func TestCloseDuringFaults(t *testing.T) {
	s := serve(t, broker.Options{})
	c := s.open(t)
	c.send("hub/Partitions/0", "x")
	sender := c.sender("hub/Partitions/0")
	for _, op := range []broker.Operation{broker.OnConnect, broker.OnToken, broker.OnManagement, broker.OnAttach, broker.OnPublish, broker.OnReceive} {
		s.AddFault(broker.Fault{On: op, Delay: time.Hour, Condition: "amqp:not-found", Skip: map[broker.Operation]int{broker.OnAttach: 1}[op]})
	}
	c.mustRead(group, earliest, nil) // its first delivery is held up
	failed := make(chan error, 2)
	go func() { failed <- sender.Send(ctx(t), goamqp.NewMessage(nil), nil) }()
	go func() {
		_, err := c.sess.NewSender(ctx(t), "hub", nil)
		failed <- err
	}()
	require.NoError(t, c.sender("$management").Send(ctx(t), &goamqp.Message{Value: ""}, nil))
	require.NoError(t, c.sender("$cbs").Send(ctx(t), &goamqp.Message{Value: ""}, nil))
	connecting := make(chan error, 1)
	go func() {
		_, err := goamqp.Dial(ctx(t), "amqp://"+s.addr, nil)
		connecting <- err
	}()
	start := time.Now()
	s.Close()
	s.Close()
	require.Less(t, time.Since(start), 2*time.Second)
	require.Error(t, <-failed)
	require.Error(t, <-failed)
	require.Error(t, <-connecting)
}

// Clients are told that the namespace goes.
func TestCloseTells(t *testing.T) {
	s := serve(t, broker.Options{})
	c := s.open(t)
	s.Close()
	require.Equal(t, &goamqp.Error{Condition: "amqp:connection:forced", Description: "the namespace is shutting down"}, lost(t, c).RemoteErr)
	_, err := goamqp.Dial(ctx(t), "amqp://"+s.addr, nil)
	require.Error(t, err)
}
