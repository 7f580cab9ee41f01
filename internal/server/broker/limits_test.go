package broker_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

// requireClosed waits until the server has closed a connection, and checks why.
func requireClosed(t *testing.T, c *client, condition goamqp.ErrCond, parts ...string) {
	t.Helper()
	e := lost(t, c)
	require.NotNil(t, e.RemoteErr, "%v", e)
	require.Equal(t, condition, e.RemoteErr.Condition)
	for _, part := range parts {
		require.Contains(t, e.RemoteErr.Description, part)
	}
}

// A connection must put a token in time.
func TestTokenTimeout(t *testing.T) {
	s := serve(t, broker.Options{TokenTimeout: 200 * time.Millisecond})
	good := s.open(t)
	bad := s.dial(t)
	code, _ := bad.put("hub", sas("sb://host/", "root", "wrong", time.Now().Add(time.Hour)))
	require.Equal(t, int32(401), code)
	requireClosed(t, bad, goamqp.ErrCondConnectionForced, "no valid token")
	good.send("hub", "later")
	require.Zero(t, len(s.dial(t).conn.Properties()), "others can connect")
}

// A connection without a token may have few sessions and links; one with a token may have many.
func TestUntrustedLimits(t *testing.T) {
	s := serve(t, broker.Options{})
	sessions := func(c *client) error {
		for range 150 {
			if _, err := c.conn.NewSession(ctx(t), nil); err != nil {
				return err
			}
		}
		return nil
	}
	links := func(c *client) error {
		for range 300 {
			if _, err := c.sess.NewSender(ctx(t), "$management", nil); err != nil {
				return err
			}
		}
		return nil
	}
	for name, open := range map[string]func(c *client) error{"sessions": sessions, "links": links} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, open(s.dial(t)), "resource-limit-exceeded")
			require.NoError(t, open(s.open(t)))
		})
	}
}

// Incomplete messages are bounded over all links of a connection.
func TestHeldBytes(t *testing.T) {
	s := serve(t, broker.Options{HeldBytesPerConnection: 2 << 20, HeldBytes: 64 << 20})
	c := s.open(t)
	before := s.Held()
	c.send("hub/Partitions/0", "x")
	require.Less(t, s.Held()-before, int64(4<<10), "a message of one frame leaves nothing")
	var senders []*goamqp.Sender
	for range 64 {
		senders = append(senders, c.sender("hub/Partitions/0"))
	}
	failed := make(chan error, len(senders))
	for _, sender := range senders { // their frames come in turn
		go func() { failed <- sender.Send(ctx(t), goamqp.NewMessage(make([]byte, 1_000_000)), nil) }()
	}
	requireClosed(t, c, "amqp:resource-limit-exceeded", "2097152 bytes")
	for range senders {
		<-failed
	}
	require.Eventually(t, func() bool { return s.Held() == 0 }, patience, time.Millisecond)
	s.open(t).send("hub", "y")
}

// Answers count until the peer reads them.
func TestAnswersAreCounted(t *testing.T) {
	s := serve(t, broker.Options{})
	c := s.open(t)
	r, err := c.sess.NewReceiver(ctx(t), "$management", &goamqp.ReceiverOptions{TargetAddress: "me", Credit: -1})
	require.NoError(t, err)
	sender := c.sender("$management")
	before := s.Held()
	for range 10 {
		m := ask("me")
		m.Properties.MessageID = strings.Repeat("x", 10_000)
		require.NoError(t, sender.Send(ctx(t), m, nil))
	}
	require.Greater(t, s.Held()-before, int64(100_000))
	require.NoError(t, r.IssueCredit(10))
	for range 10 {
		next(t, r)
	}
	require.Eventually(t, func() bool { return s.Held()-before < 20_000 }, patience, time.Millisecond)
	require.NoError(t, c.conn.Close())
	require.Eventually(t, func() bool { return s.Held() == 0 }, patience, time.Millisecond)
}

// Names with very many parts are refused without a search for each part, which would take minutes.
func TestLongNames(t *testing.T) {
	s := serve(t, broker.Options{})
	c := s.open(t)
	long := strings.Repeat("a/", 400_000)
	start := time.Now()
	m := ask("")
	m.ApplicationProperties["name"] = long
	code, _ := statusOf(c.request("$management", m))
	require.Equal(t, int32(401), code)
	_, err := c.sess.NewSender(ctx(t), long[:60_000], nil)
	requireCondition(t, err, "amqp:not-found", "59999 characters")
	code, _ = c.put("hub", "SharedAccessSignature "+strings.Repeat("&x=", 100_000))
	require.Equal(t, int32(400), code)
	require.Less(t, time.Since(start), 2*time.Second)
}

// The parts of a message that are not stored do not stay in memory with those that are.
func TestEventsKeepOnlyThemselves(t *testing.T) {
	const n, junk = 40, 900_000
	s := serve(t, broker.Options{})
	sender := s.open(t).sender("hub/Partitions/0")
	require.NoError(t, sender.Send(ctx(t), goamqp.NewMessage([]byte("x")), nil))
	before := heap()
	for range n {
		m := goamqp.NewMessage([]byte("x"))
		m.DeliveryAnnotations = goamqp.Annotations{"junk": make([]byte, junk)}
		require.NoError(t, sender.Send(ctx(t), m, nil))
	}
	require.Less(t, heap()-before, int64(n*junk/4))
	require.Len(t, bodies(t, s, "0"), n+1)
}

// A long partition key counts for the retention bound.
func TestKeysAreCounted(t *testing.T) {
	s := serve(t, broker.Options{Hubs: []broker.Hub{{Name: "hub", Partitions: 1}}, RetentionBytes: 1 << 20})
	sender := s.open(t).sender("hub")
	for range 20 {
		m := goamqp.NewMessage([]byte("x"))
		m.Annotations = goamqp.Annotations{"x-opt-partition-key": strings.Repeat("k", 300_000)}
		require.NoError(t, sender.Send(ctx(t), m, nil))
	}
	require.Len(t, bodies(t, s, "0"), 3)
}

// heap returns how many bytes are in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
