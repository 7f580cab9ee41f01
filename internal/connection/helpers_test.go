package connection_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/connection"
	"github.com/go-eventhubs/eventhubs/internal/dial"
)

// roundTrip makes every answer of the server take virtual time, so that a call that waits for one while it holds a lock
// of the SDK, with others blocked on the lock, hangs the test for good.
const roundTrip = 20 * time.Millisecond

// scene is a server in memory and one Shared for producers.
type scene struct {
	t      *testing.T
	srv    *eventhubstest.Server
	dials  atomic.Int32
	shared *connection.Shared[*azeventhubs.ProducerClient]
}

// bubble runs a test in virtual time. It fails if a goroutine is left after the Shared and the server are closed.
func bubble(t *testing.T, change func(*producers), test func(*testing.T, *scene)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, srv: eventhubstest.Start(t, &eventhubstest.Options{InMemory: true, RoundTrip: roundTrip})}
		o := connection.Options[*azeventhubs.ProducerClient]{
			New: s.newProducer,
			Open: func(ctx context.Context, c *azeventhubs.ProducerClient) error {
				_, err := c.NewEventDataBatch(ctx, nil)
				return err
			},
			Close:  func(ctx context.Context, c *azeventhubs.ProducerClient, _ *dial.Dialer) error { return c.Close(ctx) },
			Broken: func(err error) bool { return true },
			AtOnce: 100,
		}
		if change != nil {
			change(&o)
		}
		s.shared = connection.New(o)
		defer s.srv.Close()
		defer func() { require.NoError(t, s.shared.Close(context.Background())) }()
		test(t, s)
	})
}

// dialer counts the connections that it makes.
func (s *scene) dialer() *dial.Dialer {
	p, err := azeventhubs.ParseConnectionString(s.srv.ConnectionString("hub"))
	require.NoError(s.t, err)
	return dial.New(dial.Options{
		Namespace: p.FullyQualifiedNamespace, Plaintext: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			s.dials.Add(1)
			return s.srv.DialContext(ctx, network, address)
		},
	})
}

var noRetries = azeventhubs.RetryOptions{MaxRetries: -1}

func (s *scene) newProducer() (*azeventhubs.ProducerClient, *dial.Dialer, error) {
	d := s.dialer()
	c, err := azeventhubs.NewProducerClientFromConnectionString(s.srv.ConnectionString("hub"), "",
		&azeventhubs.ProducerClientOptions{RetryOptions: noRetries, NewWebSocketConn: d.Dial})
	return c, d, err
}

// send sends one event in a client.
func send(ctx context.Context, c *azeventhubs.ProducerClient) error {
	batch, err := c.NewEventDataBatch(ctx, nil)
	if err != nil {
		return err
	}
	if err := batch.AddEventData(&azeventhubs.EventData{}, nil); err != nil {
		return err
	}
	return c.SendEventDataBatch(ctx, batch, nil)
}

// do sends one event.
func (s *scene) do(ctx context.Context) error { return s.shared.Do(ctx, send) }

// start sends events in goroutines of their own, and returns what the calls will return.
func (s *scene) start(n int) <-chan error {
	errs := make(chan error, n)
	for range n {
		go func() { errs <- s.do(context.Background()) }()
	}
	synctest.Wait()
	return errs
}

// all takes n results.
func all(errs <-chan error, n int) error {
	var got []error
	for range n {
		got = append(got, <-errs)
	}
	return errors.Join(got...)
}

// elapsed is how long a call takes, in virtual time.
func elapsed(call func()) time.Duration {
	began := time.Now()
	call()
	return time.Since(began)
}

// requireLost expects what a call says whose connection was taken from under it. A call that learned it from the
// connection first says so.
func requireLost(t *testing.T, err error) {
	t.Helper()
	var sdk *azeventhubs.Error
	if !errors.As(err, &sdk) || sdk.Code != azeventhubs.ErrorCodeConnectionLost {
		require.ErrorIs(t, err, connection.ErrLost)
	}
}
