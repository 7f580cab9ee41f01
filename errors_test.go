package eventhubs_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// failure is a call that fails, and what its error matches.
type failure struct {
	name string
	do   func() error
	is   error // nil: none of ErrClosed, ErrNotAuthorized and ErrNotFound
}

var kinds = []error{eventhubs.ErrClosed, eventhubs.ErrNotAuthorized, eventhubs.ErrNotFound}

// checkFailures calls what fails: each error begins with the package's name, has it once, and is of one kind.
func checkFailures(t *testing.T, failures []failure) {
	for _, f := range failures {
		err := f.do()
		require.Error(t, err, f.name)
		require.True(t, strings.HasPrefix(err.Error(), "eventhubs: "), "%s: %v", f.name, err)
		require.Equal(t, 1, strings.Count(err.Error(), "eventhubs: "), "%s: %v", f.name, err)
		for _, kind := range kinds {
			require.Equal(t, kind == f.is, errors.Is(err, kind), "%s: %v: %v", f.name, kind, err)
		}
	}
}

func ignore(context.Context, *eventhubs.ReceivedEvent) error { return nil }

// closing is what a test does when it has called f.
func closing[T interface{ Close(context.Context) error }](c T, err error, f func(T) error) error {
	if err != nil {
		panic(err)
	}
	return errors.Join(f(c), c.Close(context.Background()))
}

func sendWith(ctx context.Context, cfg eventhubs.Config, events ...eventhubs.Event) error {
	p, err := eventhubs.NewProducer(cfg, nil)
	return closing(p, err, func(p *eventhubs.Producer) error { return p.Send(ctx, events...) })
}

func receiveWith(
	cfg eventhubs.Config,
	store eventhubs.CheckpointStore,
	o *eventhubs.ConsumerOptions,
	h eventhubs.Handler,
) error {
	c, err := eventhubs.NewConsumer(cfg, store, o)
	return closing(c, err, func(c *eventhubs.Consumer) error { return c.Receive(context.Background(), h) })
}

func TestErrorsOfCheckingArguments(t *testing.T) {
	for _, v := range []string{
		"EVENT_HUB_CONNECTION_STRING", "EVENT_HUB_FULLY_QUALIFIED_NAMESPACE", "EVENT_HUB_NAME",
		"BLOB_CONTAINER_NAME", "BLOB_STORAGE_ACCOUNT_URL", "BLOB_STORAGE_CONNECTION_STRING",
	} {
		t.Setenv(v, "")
	}
	good := eventhubs.Config{Namespace: "contoso.servicebus.windows.net", EventHub: "hub"}
	store := eventhubs.NewMemoryCheckpointStore()
	consumer := func(cfg eventhubs.Config, store eventhubs.CheckpointStore, o *eventhubs.ConsumerOptions) func() error {
		return func() error { _, err := eventhubs.NewConsumer(cfg, store, o); return err }
	}
	idle, err := eventhubs.NewConsumer(good, store, nil)
	require.NoError(t, err)
	defer idle.Close(t.Context())
	checkFailures(t, []failure{
		{"ConfigFromEnv", func() error { _, err := eventhubs.ConfigFromEnv(); return err }, nil},
		{"ConfigFromEnv, malformed", func() error {
			t.Setenv("EVENT_HUB_CONNECTION_STRING", "x")
			_, err := eventhubs.ConfigFromEnv()
			return err
		}, nil},
		{"BlobConfigFromEnv", func() error { _, err := eventhubs.BlobConfigFromEnv(); return err }, nil},
		{"NewProducer", func() error { _, err := eventhubs.NewProducer(eventhubs.Config{}, nil); return err }, nil},
		{"options of a producer", func() error {
			_, err := eventhubs.NewProducer(good, &eventhubs.ProducerOptions{MaxInFlight: -1})
			return err
		}, nil},
		{"NewConsumer", consumer(eventhubs.Config{}, store, nil), nil},
		{"no store", consumer(good, nil, nil), nil},
		{"options", consumer(good, store, &eventhubs.ConsumerOptions{MaxBatch: -1}), nil},
		{"group", consumer(good, store, &eventhubs.ConsumerOptions{ConsumerGroup: "a/b"}), nil},
		{"no handler", func() error { return idle.Receive(t.Context(), nil) }, nil},
		{"no batch handler", func() error { return idle.ReceiveBatch(t.Context(), nil) }, nil},
		{"store", func() error {
			_, err := eventhubs.NewBlobCheckpointStore(t.Context(), eventhubs.BlobConfig{})
			return err
		}, nil},
		{"Event", func() error {
			_, err := (&eventhubs.ReceivedEvent{ReceivedEventData: &azeventhubs.ReceivedEventData{
				RawAMQPMessage: &azeventhubs.AMQPAnnotatedMessage{MessageAnnotations: map[any]any{1.5: 1}},
			}}).Event()
			return err
		}, nil},
	})
	for _, err := range []error{eventhubs.ErrDraining, eventhubs.ErrOwnershipLost} {
		require.True(t, strings.HasPrefix(err.Error(), "eventhubs: "), err)
	}
}

func TestErrorsOfProducers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true, TLS: true})
		cfg := srv.Config("hub")
		wrongKey := cfg
		wrongKey.ConnectionString = strings.Replace(cfg.ConnectionString, "SharedAccessKey=", "SharedAccessKey=b", 1)
		noIdentity := srv.PasswordlessConfig("hub")
		noIdentity.Credential = failing{}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		closed, err := eventhubs.NewProducer(cfg, nil)
		require.NoError(t, err)
		require.NoError(t, closed.Close(t.Context()))
		event := eventhubs.Event{Body: []byte("b")}
		checkFailures(t, []failure{
			{
				"key and partition",
				func() error { return sendWith(t.Context(), cfg, eventhubs.Event{PartitionID: "0", PartitionKey: "k"}) },
				nil,
			},
			{"too large", func() error { return sendWith(t.Context(), cfg, eventhubs.Event{Body: make([]byte, 2<<20)}) }, nil},
			{"not encodable", func() error {
				return sendWith(t.Context(), cfg, eventhubs.Event{Properties: map[string]any{"a": struct{}{}}})
			}, nil},
			{"no event hub", func() error { return sendWith(t.Context(), srv.Config("none"), event) }, eventhubs.ErrNotFound},
			{
				"no partition",
				func() error { return sendWith(t.Context(), cfg, eventhubs.Event{PartitionID: "9"}) },
				eventhubs.ErrNotFound,
			},
			{"wrong key", func() error { return sendWith(t.Context(), wrongKey, event) }, eventhubs.ErrNotAuthorized},
			{"no token", func() error { return sendWith(t.Context(), noIdentity, event) }, nil},
			{"ended context", func() error { return sendWith(ended, cfg, event) }, nil},
			{"closed", func() error { return closed.Send(t.Context(), event) }, eventhubs.ErrClosed},
			{"no answer", func() error {
				p, err := eventhubs.NewProducer(cfg, nil)
				return closing(p, err, func(p *eventhubs.Producer) error {
					if err := p.Send(t.Context(), event); err != nil {
						return err
					}
					defer srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Hang: true})()
					return p.Send(short, event)
				})
			}, nil},
			{"out of reach", func() error {
				defer srv.IgnoreDials()()
				return sendWith(t.Context(), cfg, event)
			}, nil},
		})
	})
}

func TestErrorsOfConsumers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true, TLS: true})
		cfg, memory := srv.Config("hub"), eventhubs.NewMemoryCheckpointStore
		wrongKey := cfg
		wrongKey.ConnectionString = strings.Replace(cfg.ConnectionString, "SharedAccessKey=", "SharedAccessKey=b", 1)
		require.NoError(t, srv.Send(t.Context(), "hub", eventhubs.Event{Body: []byte("b")}))
		blobs, err := eventhubs.NewBlobCheckpointStore(t.Context(), srv.BlobConfig("checkpoints"))
		require.NoError(t, err)
		closed, err := eventhubs.NewConsumer(cfg, memory(), nil)
		require.NoError(t, err)
		require.NoError(t, closed.Close(t.Context()))
		ours := func() error { _, err := eventhubs.NewProducer(eventhubs.Config{}, nil); return err }
		checkFailures(t, []failure{
			{
				"no event hub",
				func() error { return receiveWith(srv.Config("none"), memory(), nil, ignore) },
				eventhubs.ErrNotFound,
			},
			{"no group", func() error {
				return receiveWith(cfg, memory(), &eventhubs.ConsumerOptions{ConsumerGroup: "none"}, ignore)
			}, eventhubs.ErrNotFound},
			{"wrong key", func() error { return receiveWith(wrongKey, memory(), nil, ignore) }, eventhubs.ErrNotAuthorized},
			{"no right to storage", func() error {
				defer srv.BlobFault(eventhubstest.BlobFault{Status: http.StatusForbidden})()
				return receiveWith(cfg, blobs, nil, ignore)
			}, eventhubs.ErrNotAuthorized},
			{"out of reach", func() error {
				defer srv.IgnoreDials()()
				return receiveWith(cfg, memory(), nil, ignore)
			}, nil},
			{"closed", func() error { return closed.Receive(t.Context(), ignore) }, eventhubs.ErrClosed},
			{"stopped", func() error {
				return receiveWith(
					cfg,
					memory(),
					nil,
					func(context.Context, *eventhubs.ReceivedEvent) error { return eventhubs.Stop(ours()) },
				)
			}, nil},
			{"stopped without a reason", func() error {
				return receiveWith(
					cfg,
					memory(),
					nil,
					func(context.Context, *eventhubs.ReceivedEvent) error { return eventhubs.Stop(nil) },
				)
			}, nil},
			{"given up", func() error {
				o := &eventhubs.ConsumerOptions{Backoff: func(int, error) time.Duration { return -1 }}
				return receiveWith(cfg, memory(), o, func(context.Context, *eventhubs.ReceivedEvent) error { return ours() })
			}, nil},
			{"panic", func() error {
				return receiveWith(cfg, memory(), nil, func(context.Context, *eventhubs.ReceivedEvent) error { panic(ours()) })
			}, nil},
			{"twice", func() error {
				c, err := eventhubs.NewConsumer(cfg, memory(), nil)
				return closing(c, err, func(c *eventhubs.Consumer) error {
					received := make(chan error, 1)
					go func() { received <- c.Receive(t.Context(), ignore) }()
					synctest.Wait()
					batch := func(context.Context, []*eventhubs.ReceivedEvent) error { return nil }
					err := c.ReceiveBatch(t.Context(), batch)
					return errors.Join(err, c.Close(t.Context()), <-received)
				})
			}, nil},
			{"no time to close", func() error {
				c, err := eventhubs.NewConsumer(cfg, memory(), nil)
				return closing(c, err, func(c *eventhubs.Consumer) error {
					received := make(chan error, 1)
					wait := func(ctx context.Context, _ *eventhubs.ReceivedEvent) error { <-ctx.Done(); return nil }
					go func() { received <- c.Receive(t.Context(), wait) }()
					time.Sleep(time.Second)
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					return errors.Join(c.Close(ctx), <-received)
				})
			}, nil},
		})
	})
}

func TestErrorsOfStores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true})
		cfg := srv.BlobConfig("checkpoints")
		cfg.ClientOptions.Retry.MaxRetries = -1
		blobs, err := eventhubs.NewBlobCheckpointStore(t.Context(), cfg)
		require.NoError(t, err)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		calls := func(ctx context.Context, s eventhubs.CheckpointStore) map[string]func() error {
			return map[string]func() error{
				"ListOwnership":   func() error { _, err := s.ListOwnership(ctx, "n", "h", "g", nil); return err },
				"ListCheckpoints": func() error { _, err := s.ListCheckpoints(ctx, "n", "h", "g", nil); return err },
				"ClaimOwnership": func() error {
					o := azeventhubs.Ownership{
						FullyQualifiedNamespace: "n",
						EventHubName:            "h",
						ConsumerGroup:           "g",
						PartitionID:             "0",
						OwnerID:                 "o",
					}
					_, err := s.ClaimOwnership(ctx, []azeventhubs.Ownership{o}, nil)
					return err
				},
				"SetCheckpoint": func() error {
					n := int64(1)
					return s.SetCheckpoint(ctx, azeventhubs.Checkpoint{
						FullyQualifiedNamespace: "n", EventHubName: "h", ConsumerGroup: "g", PartitionID: "0", SequenceNumber: &n,
					}, nil)
				},
			}
		}
		var failures []failure
		statuses := map[string]int{"forbidden": http.StatusForbidden, "broken": http.StatusInternalServerError}
		for name, status := range statuses {
			kind := map[int]error{http.StatusForbidden: eventhubs.ErrNotAuthorized}[status]
			during := func(do func() error) func() error {
				return func() error { defer srv.BlobFault(eventhubstest.BlobFault{Status: status})(); return do() }
			}
			for call, do := range calls(t.Context(), blobs) {
				failures = append(failures, failure{name + " " + call, during(do), kind})
			}
			failures = append(failures, failure{name, during(func() error {
				_, err := eventhubs.NewBlobCheckpointStore(t.Context(), cfg)
				return err
			}), kind})
		}
		for call, do := range calls(ended, blobs) {
			failures = append(failures, failure{"ended context " + call, do, nil})
		}
		for call, do := range calls(ended, eventhubs.NewMemoryCheckpointStore()) {
			failures = append(failures, failure{"ended context in memory " + call, do, nil})
		}
		checkFailures(t, failures)
		err = failures[0].do()
		var response *azcore.ResponseError
		require.True(t, errors.As(err, &response), "%v", err)
	})
}

func TestHandlerErrorOfAPanic(t *testing.T) {
	cause := errors.New("no such key")
	err := &eventhubs.HandlerError{PartitionID: "2", SequenceNumber: 7, Panic: cause, Stack: []byte("goroutine 1")}
	require.EqualError(t, err, "eventhubs: receive: handler of partition 2 at sequence number 7 panicked: no such key")
	require.ErrorIs(t, err, cause)
	err.Panic = "text"
	require.EqualError(t, err, "eventhubs: receive: handler of partition 2 at sequence number 7 panicked: text")
	require.NoError(t, errors.Unwrap(err))
}

// failing is a credential that has no token.
type failing struct{}

func (failing) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, errors.New("no identity")
}
