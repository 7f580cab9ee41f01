package sdkerr_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/connection"
	"github.com/go-eventhubs/eventhubs/internal/dial"
)

// scene is a server in memory, and what the SDK's clients need to reach it.
type scene struct {
	*testing.T
	srv        *eventhubstest.Server
	connection string
	retry      azeventhubs.RetryOptions
}

// bubble runs a test in virtual time, with an SDK that retries and with one that does not: past its own retries the SDK
// hands out errors of another form.
func bubble(t *testing.T, test func(s *scene)) {
	for name, retry := range map[string]azeventhubs.RetryOptions{
		"no retries": {MaxRetries: -1}, "retries": {MaxRetries: 1, RetryDelay: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &scene{T: t, retry: retry}
				s.srv = eventhubstest.Start(t, &eventhubstest.Options{
					InMemory: true, Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 1}},
				})
				s.connection = s.srv.ConnectionString("hub")
				test(s)
			})
		})
	}
}

// dialer makes the connections of a client. change, if it is not nil, sees what the client writes.
func (s *scene) dialer(change func([]byte) []byte) *dial.Dialer {
	s.Helper()
	p, err := azeventhubs.ParseConnectionString(s.connection)
	require.NoError(s, err)
	return dial.New(dial.Options{
		Namespace: p.FullyQualifiedNamespace, Plaintext: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := s.srv.DialContext(ctx, network, address)
			if err == nil && change != nil {
				nc = changedConn{nc, change}
			}
			return nc, err
		},
	})
}

// changedConn changes what is written.
type changedConn struct {
	net.Conn
	change func([]byte) []byte
}

func (c changedConn) Write(b []byte) (int, error) { return c.Conn.Write(c.change(b)) }

// consumer returns a client that is closed when the test ends. "" as its name means a new UUID.
func (s *scene) consumer(group, name string) *azeventhubs.ConsumerClient {
	s.Helper()
	d := s.dialer(nil)
	c, err := azeventhubs.NewConsumerClientFromConnectionString(s.connection, "", group,
		&azeventhubs.ConsumerClientOptions{InstanceID: name, RetryOptions: s.retry, NewWebSocketConn: d.Dial})
	require.NoError(s, err)
	s.Cleanup(func() { _ = connection.CloseConsumer(context.Background(), c, d) })
	return c
}

// producer is consumer for sending.
func (s *scene) producer(change func([]byte) []byte) *azeventhubs.ProducerClient {
	s.Helper()
	d := s.dialer(change)
	p, err := azeventhubs.NewProducerClientFromConnectionString(s.connection, "",
		&azeventhubs.ProducerClientOptions{RetryOptions: s.retry, NewWebSocketConn: d.Dial})
	require.NoError(s, err)
	s.Cleanup(func() { _ = p.Close(context.Background()) })
	return p
}

// reader opens nothing yet: receive does.
func (s *scene) reader(
	c *azeventhubs.ConsumerClient, partition string, at azeventhubs.StartPosition,
) *azeventhubs.PartitionClient {
	s.Helper()
	o := &azeventhubs.PartitionClientOptions{StartPosition: at, OwnerLevel: new(int64)}
	p, err := c.NewPartitionClient(partition, o)
	require.NoError(s, err)
	s.Cleanup(func() { _ = p.Close(context.Background()) })
	return p
}

// receive waits up to 30 seconds for an event, and returns why there is none.
func (s *scene) receive(p *azeventhubs.PartitionClient) error {
	ctx, cancel := context.WithTimeout(s.Context(), 30*time.Second)
	defer cancel()
	_, err := p.ReceiveEvents(ctx, 1, nil)
	return err
}

// earliest is where readers begin. At the latest event, the SDK would skip what has come when it opens a link again.
var earliest = azeventhubs.StartPosition{Earliest: ptr(true)}

func ptr[T any](v T) *T { return &v }

// read is receive with a new reader of the only partition.
func (s *scene) read() error { return s.readAt(earliest) }

func (s *scene) readAt(at azeventhubs.StartPosition) error {
	return s.receive(s.reader(s.consumer(azeventhubs.DefaultConsumerGroup, ""), "0", at))
}

// opened returns a reader whose link is open.
func (s *scene) opened() *azeventhubs.PartitionClient {
	s.Helper()
	p := s.reader(s.consumer(azeventhubs.DefaultConsumerGroup, ""), "0", earliest)
	require.ErrorIs(s, s.receive(p), context.DeadlineExceeded)
	return p
}

// stolen returns what a reader gets when another one takes its place.
func (s *scene) stolen(by string) error {
	s.Helper()
	p := s.opened()
	thief := s.reader(s.consumer(azeventhubs.DefaultConsumerGroup, by), "0", earliest)
	require.ErrorIs(s, s.receive(thief), context.DeadlineExceeded)
	return s.receive(p)
}

// outrank opens a reader with a higher epoch than the others have.
func (s *scene) outrank(name string) {
	s.Helper()
	p, err := s.consumer(azeventhubs.DefaultConsumerGroup, name).NewPartitionClient("0",
		&azeventhubs.PartitionClientOptions{OwnerLevel: ptr(int64(7)), StartPosition: earliest})
	require.NoError(s, err)
	s.Cleanup(func() { _ = p.Close(context.Background()) })
	require.ErrorIs(s, s.receive(p), context.DeadlineExceeded)
}

// list lists blobs, with an azblob that retries nothing.
func (s *scene) list() error {
	cfg := s.srv.BlobConfig("checkpoints")
	cfg.ClientOptions.Retry = policy.RetryOptions{MaxRetries: -1}
	c, err := container.NewClientFromConnectionString(cfg.ConnectionString, cfg.Container,
		&container.ClientOptions{ClientOptions: cfg.ClientOptions})
	require.NoError(s, err)
	_, err = c.NewListBlobsFlatPager(nil).NextPage(s.Context())
	return err
}

func (s *scene) askHub() error {
	_, err := s.consumer(azeventhubs.DefaultConsumerGroup, "").GetEventHubProperties(s.Context(), nil)
	return err
}

func (s *scene) askPartition() error {
	_, err := s.consumer(azeventhubs.DefaultConsumerGroup, "").GetPartitionProperties(s.Context(), "0", nil)
	return err
}

func (s *scene) sendOne() error { return s.send(s.producer(nil), nil, &azeventhubs.EventData{}) }

// replaced changes the connection string.
func replaced(was, is string, do func(*scene) error) func(*scene) error {
	return func(s *scene) error {
		require.Contains(s, s.connection, was)
		s.connection = strings.Replace(s.connection, was, is, 1)
		return do(s)
	}
}

// send sends one event, and returns why it can't.
func (s *scene) send(
	p *azeventhubs.ProducerClient, to *azeventhubs.EventDataBatchOptions, e *azeventhubs.EventData,
) error {
	batch, err := p.NewEventDataBatch(s.Context(), to)
	if err != nil {
		return err
	}
	require.NoError(s, batch.AddEventData(e, nil))
	return p.SendEventDataBatch(s.Context(), batch, nil)
}

// sendDecimal stores an event that go-amqp can't decode, as .NET programs do: with a decimal in its properties.
func (s *scene) sendDecimal() {
	s.Helper()
	const uuidCode, decimal128Code = 0x98, 0x94
	price := amqp.UUID([]byte("a decimal number"))
	uuid, decimal := append([]byte{uuidCode}, price[:]...), append([]byte{decimal128Code}, price[:]...)
	p := s.producer(func(b []byte) []byte { return bytes.ReplaceAll(b, uuid, decimal) })
	require.NoError(s, s.send(p, nil, &azeventhubs.EventData{Properties: map[string]any{"price": price}}))
}
