package broker_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
	"github.com/go-eventhubs/eventhubs/internal/server/memnet"
)

const (
	// patience is how long a test waits for something that must happen. If all is well, no wait takes that long.
	patience = 10 * time.Second
	rootKey  = "the root's key"
	group    = "hub/ConsumerGroups/$Default/Partitions/0"
	earliest = "amqp.annotation.x-opt-offset > '-1'"
	latest   = "amqp.annotation.x-opt-offset > '@latest'"
)

// namespace is a broker behind a socket.
type namespace struct {
	*broker.Broker
	addr    string
	connect func(ctx context.Context, network, address string) (net.Conn, error)
}

// serve starts a namespace that ends with the test. By default it has a hub with four partitions and one more group,
// and one rule with all rights and one for each right.
func serve(t *testing.T, o broker.Options) *namespace {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return serveOn(t, o, ln, new(net.Dialer).DialContext)
}

// virtual runs a test in virtual time, with a namespace in memory.
func virtual(t *testing.T, o broker.Options, test func(t *testing.T, s *namespace)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var network memnet.Network
		ln, err := network.Listen("127.0.0.1:0")
		require.NoError(t, err)
		test(t, serveOn(t, o, ln, network.DialContext))
	})
}

func serveOn(t *testing.T, o broker.Options, ln net.Listener,
	connect func(context.Context, string, string) (net.Conn, error),
) *namespace {
	t.Helper()
	if o.Hubs == nil {
		o.Hubs = []broker.Hub{{Name: "hub", Partitions: 4, ConsumerGroups: []string{"Other"}}}
	}
	if o.Rules == nil {
		o.Rules = []broker.Rule{
			{Name: "root", Key: rootKey, Rights: []broker.Right{broker.RightManage}},
			{Name: "sender", Key: "s", Rights: []broker.Right{broker.RightSend}},
			{Name: "listener", Key: "l", Rights: []broker.Right{broker.RightListen}},
		}
	}
	if o.RetentionBytes == 0 {
		o.RetentionBytes = 64 << 20
	}
	b, err := broker.New(o)
	require.NoError(t, err)
	var served sync.WaitGroup
	served.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			served.Go(func() { b.Serve(nc) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		b.Close()
		served.Wait()
	})
	return &namespace{b, ln.Addr().String(), connect}
}

// connectionString returns a connection string for the SDKs, with all rights.
func (n *namespace) connectionString() string {
	return fmt.Sprintf(
		"Endpoint=sb://%s;SharedAccessKeyName=root;SharedAccessKey=%s;UseDevelopmentEmulator=true", n.addr, rootKey,
	)
}

var quick = azeventhubs.RetryOptions{RetryDelay: 10 * time.Millisecond, MaxRetryDelay: 50 * time.Millisecond}

func (n *namespace) producer(t *testing.T, hub string) *azeventhubs.ProducerClient {
	t.Helper()
	p, err := azeventhubs.NewProducerClientFromConnectionString(
		n.connectionString(), hub, &azeventhubs.ProducerClientOptions{RetryOptions: quick},
	)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close(context.Background()) })
	return p
}

func (n *namespace) consumer(t *testing.T, hub string) *azeventhubs.ConsumerClient {
	t.Helper()
	c, err := azeventhubs.NewConsumerClientFromConnectionString(
		n.connectionString(), hub, azeventhubs.DefaultConsumerGroup, &azeventhubs.ConsumerClientOptions{RetryOptions: quick})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// tap is a socket that records how much was read from it, and how it ended.
type tap struct {
	net.Conn
	closing atomic.Bool // by the client

	seenMu sync.Mutex
	read   int   // bytes
	ended  error // the error of a read, unless the client had closed
}

func (n *tap) Read(b []byte) (int, error) {
	read, err := n.Conn.Read(b)
	n.seenMu.Lock()
	defer n.seenMu.Unlock()
	n.read += read
	if err != nil && !n.closing.Load() && !errors.Is(err, os.ErrDeadlineExceeded) {
		n.ended = err
	}
	return read, err
}

func (n *tap) Close() error {
	n.closing.Store(true)
	return n.Conn.Close()
}

// seen returns how much was read, and how the connection ended if the client did not close it.
func (n *tap) seen() (bytes int, ended error) {
	n.seenMu.Lock()
	defer n.seenMu.Unlock()
	return n.read, n.ended
}

// client is a connection of go-amqp, with one session.
type client struct {
	t         *testing.T
	namespace *namespace
	nc        *tap
	conn      *goamqp.Conn
	sess      *goamqp.Session
}

// dial connects without a token.
func (n *namespace) dial(t *testing.T) *client {
	t.Helper()
	c := &client{t: t, namespace: n}
	require.NoError(t, c.hello(ctx(t), nil))
	sess, err := c.conn.NewSession(ctx(t), nil)
	require.NoError(t, err)
	c.sess = sess
	return c
}

// hello connects.
func (c *client) hello(ctx context.Context, o *goamqp.ConnOptions) error {
	nc, err := c.namespace.connect(ctx, "tcp", c.namespace.addr)
	if err != nil {
		return err
	}
	c.t.Cleanup(func() { nc.Close() })
	c.nc = &tap{Conn: nc}
	conn, err := goamqp.NewConn(ctx, c.nc, o)
	if err == nil {
		c.conn = conn
		c.t.Cleanup(func() { _ = conn.Close() })
	}
	return err
}

// open connects, and puts a token for the whole namespace with all rights.
func (n *namespace) open(t *testing.T) *client {
	t.Helper()
	c := n.dial(t)
	c.authorize("sb://host/", "root", rootKey)
	return c
}

// authorize puts a valid token for an audience.
func (c *client) authorize(audience, rule, key string) {
	c.t.Helper()
	code, description := c.put(audience, sas(audience, rule, key, time.Now().Add(time.Hour)))
	require.Equal(c.t, int32(202), code, description)
}

// put puts a token, and returns the status.
func (c *client) put(audience, token string) (code any, description any) {
	c.t.Helper()
	return statusOf(c.putAnswer(audience, token))
}

func (c *client) putAnswer(audience, token string) *goamqp.Message {
	c.t.Helper()
	return c.request("$cbs", &goamqp.Message{Value: token, ApplicationProperties: map[string]any{
		"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": audience,
	}})
}

func statusOf(m *goamqp.Message) (code any, description any) {
	return m.ApplicationProperties["status-code"], m.ApplicationProperties["status-description"]
}

// request sends a request to a node and returns the answer. It uses a session of its own, as the SDK does: go-amqp may
// give credit to a link that it has detached (receiver.go, mux), which ends the session.
func (c *client) request(node string, m *goamqp.Message) *goamqp.Message {
	c.t.Helper()
	sess := c.session()
	sender, err := sess.NewSender(ctx(c.t), node, nil)
	require.NoError(c.t, err)
	receiver, err := sess.NewReceiver(ctx(c.t), node, &goamqp.ReceiverOptions{TargetAddress: "answers"})
	require.NoError(c.t, err)
	m.Properties = &goamqp.MessageProperties{MessageID: "the request", ReplyTo: ptr("answers")}
	require.NoError(c.t, sender.Send(ctx(c.t), m, nil))
	answer, err := receiver.Receive(ctx(c.t), nil)
	require.NoError(c.t, err)
	require.Equal(c.t, "the request", answer.Properties.CorrelationID)
	require.NoError(c.t, sess.Close(ctx(c.t)))
	return answer
}

func (c *client) sender(address string) *goamqp.Sender {
	c.t.Helper()
	s, err := c.sess.NewSender(ctx(c.t), address, nil)
	require.NoError(c.t, err)
	return s
}

// send sends messages with these bodies.
func (c *client) send(address string, bodies ...string) {
	c.t.Helper()
	s := c.sender(address)
	for _, body := range bodies {
		require.NoError(c.t, s.Send(ctx(c.t), goamqp.NewMessage([]byte(body)), nil))
	}
	require.NoError(c.t, s.Close(ctx(c.t)))
}

// reader attaches a receiver in a session of its own, as the SDK does: if the server detaches a link again, go-amqp
// reuses its handle before it has answered the detach (session.go, mux).
func (c *client) reader(address, selector string, properties map[string]any) (*goamqp.Receiver, error) {
	o := &goamqp.ReceiverOptions{Properties: properties, Credit: 100}
	if selector != "" {
		o.Filters = []goamqp.LinkFilter{goamqp.NewSelectorFilter(selector)}
	}
	sess, err := c.conn.NewSession(ctx(c.t), nil)
	if err != nil {
		return nil, err
	}
	return sess.NewReceiver(ctx(c.t), address, o)
}

func (c *client) mustRead(address, selector string, properties map[string]any) *goamqp.Receiver {
	c.t.Helper()
	r, err := c.reader(address, selector, properties)
	require.NoError(c.t, err)
	return r
}

// next returns the next message.
func next(t *testing.T, r *goamqp.Receiver) *goamqp.Message {
	t.Helper()
	m, err := r.Receive(ctx(t), nil)
	require.NoError(t, err)
	return m
}

// ended waits until the server has detached a receiver, and returns why.
func ended(t *testing.T, r *goamqp.Receiver) *goamqp.Error {
	t.Helper()
	for {
		_, err := r.Receive(ctx(t), nil)
		var le *goamqp.LinkError
		if err == nil {
			continue
		}
		require.ErrorAs(t, err, &le)
		require.NotNil(t, le.RemoteErr, "%v", err)
		return le.RemoteErr
	}
}

// requireCondition checks the condition of a refusal, and what its description must contain.
func requireCondition(t *testing.T, err error, condition string, parts ...string) {
	t.Helper()
	var e *goamqp.Error
	var le *goamqp.LinkError
	if errors.As(err, &le) {
		e = le.RemoteErr
	} else {
		require.ErrorAs(t, err, &e)
	}
	require.NotNil(t, e)
	require.Equal(t, goamqp.ErrCond(condition), e.Condition, e.Description)
	for _, part := range parts {
		require.Contains(t, e.Description, part)
	}
}

// sas returns a shared access signature as Microsoft documents it.
func sas(audience, rule, key string, expires time.Time) string {
	return signed(url.QueryEscape(audience), rule, key, strconv.FormatInt(expires.Unix(), 10))
}

func signature(escaped, key, expiry string) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(escaped + "\n" + expiry))
	return mac.Sum(nil)
}

func signed(escaped, rule, key, expiry string) string {
	return "SharedAccessSignature sr=" + escaped + "&sig=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature(
		escaped, key, expiry,
	))) +
		"&se=" + expiry + "&skn=" + url.QueryEscape(rule)
}

func ctx(t *testing.T) context.Context {
	c, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return c
}

func ptr[T any](v T) *T { return &v }
