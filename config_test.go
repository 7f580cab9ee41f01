package eventhubs_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// TestPastedConfig uses strings as they come from secrets, files and the portal.
func TestPastedConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := eventhubstest.Start(t, &eventhubstest.Options{
			InMemory: true, TLS: true,
			Hubs: []eventhubstest.Hub{{Name: "orders", Partitions: 1, ConsumerGroups: []string{"app"}}},
		})
		keyed, passwordless := srv.Config("orders"), srv.PasswordlessConfig("orders")
		namespaceOnly := strings.Replace(keyed.ConnectionString, "EntityPath=orders", "EntityPath=", 1)
		require.NotEqual(t, keyed.ConnectionString, namespaceOnly)
		for name, change := range map[string]func(*eventhubs.Config){
			"as it is":  func(*eventhubs.Config) {},
			"a newline": func(c *eventhubs.Config) { c.ConnectionString += "\n" },
			"quotes":    func(c *eventhubs.Config) { c.ConnectionString = `"` + c.ConnectionString + "\"\r\n" },
			"a newline after both": func(c *eventhubs.Config) {
				c.ConnectionString, c.EventHub = c.ConnectionString+"\n", "orders\n"
			},
			"an empty EntityPath": func(c *eventhubs.Config) { c.ConnectionString, c.EventHub = namespaceOnly, " orders" },
			"a URL":               func(c *eventhubs.Config) { *c = passwordless; c.Namespace = "https://" + c.Namespace + "/" },
			"a URL of AMQP":       func(c *eventhubs.Config) { *c = passwordless; c.Namespace = "sb://" + c.Namespace + "/\n" },
			"an endpoint's URL":   func(c *eventhubs.Config) { *c = passwordless; c.Endpoint = "amqps://" + c.Namespace + "/" },
			"names in quotes": func(c *eventhubs.Config) {
				*c = passwordless
				c.Namespace, c.EventHub = "'"+c.Namespace+"'", `"orders"`
			},
		} {
			cfg := keyed
			change(&cfg)
			producer, err := eventhubs.NewProducer(cfg, nil)
			require.NoError(t, err, name)
			require.NoError(t, producer.Send(t.Context(), eventhubs.Event{Body: []byte(name)}), name)
			require.NoError(t, producer.Close(t.Context()))
			want := keyed.String()
			if cfg.ConnectionString == "" {
				want = passwordless.String()
			}
			if cfg.Endpoint != "" {
				want += " through " + passwordless.Namespace
			}
			require.Equal(t, want, cfg.String(), name)

			options := &eventhubs.ConsumerOptions{ConsumerGroup: " app\n", InstanceID: "me\n"}
			consumer, err := eventhubs.NewConsumer(cfg, eventhubs.NewMemoryCheckpointStore(), options)
			require.NoError(t, err, name)
			require.Equal(t, "me", consumer.Client().InstanceID())
			ctx, cancel := context.WithCancel(t.Context())
			require.NoError(
				t, consumer.Receive(ctx, func(context.Context, *eventhubs.ReceivedEvent) error { cancel(); return nil }), name,
			)
			require.NoError(t, consumer.Close(context.Background()))
			cancel()
		}
	})
}

// TestConfigFromASecret reads values that end with a newline, as files and Kubernetes secrets do.
func TestConfigFromASecret(t *testing.T) {
	for _, v := range []string{"EVENT_HUB_CONNECTION_STRING", "EVENT_HUB_FULLY_QUALIFIED_NAMESPACE", "EVENT_HUB_NAME"} {
		t.Setenv(v, "")
	}
	t.Setenv("EVENT_HUB_FULLY_QUALIFIED_NAMESPACE", "contoso.servicebus.windows.net\n")
	t.Setenv("EVENT_HUB_NAME", " orders\r\n")
	cfg, err := eventhubs.ConfigFromEnv()
	require.NoError(t, err)
	require.Equal(t, "contoso.servicebus.windows.net", cfg.Namespace)
	require.Equal(t, "orders", cfg.EventHub)

	t.Setenv("EVENT_HUB_CONNECTION_STRING", " \n") // is not set
	_, err = eventhubs.ConfigFromEnv()
	require.NoError(t, err)

	t.Setenv("EVENT_HUB_NAME", "or ders")
	_, err = eventhubs.ConfigFromEnv()
	require.EqualError(t, err, "eventhubs: environment: EVENT_HUB_FULLY_QUALIFIED_NAMESPACE, EVENT_HUB_NAME: "+
		`config: EventHub "or ders" has white space or an invisible character in it`)

	t.Setenv("EVENT_HUB_FULLY_QUALIFIED_NAMESPACE", "")
	t.Setenv(
		"EVENT_HUB_CONNECTION_STRING",
		"HostName=contoso.azure-devices.net;SharedAccessKeyName=owner;SharedAccessKey=c2VjcmV0",
	)
	t.Setenv("EVENT_HUB_NAME", "orders")
	_, err = eventhubs.ConfigFromEnv()
	require.EqualError(
		t,
		err,
		"eventhubs: environment: EVENT_HUB_CONNECTION_STRING, EVENT_HUB_NAME: config: ConnectionString is "+
			`an IoT Hub's: use that of its Event Hub-compatible endpoint, which the portal shows under "Built-in endpoints"`,
	)
}

// TestHub makes the Config of another event hub.
func TestHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := eventhubstest.Start(t, &eventhubstest.Options{
			InMemory: true, TLS: true, Hubs: []eventhubstest.Hub{{Name: "orders"}, {Name: "dead-letters"}},
		})
		pathFirst := srv.Config("orders")
		pathFirst.ConnectionString = "entitypath=orders;" + strings.Replace(
			pathFirst.ConnectionString,
			";EntityPath=orders",
			"",
			1,
		)
		named := srv.Config("orders")
		named.EventHub = "orders"
		for i, cfg := range []eventhubs.Config{srv.Config("orders"), srv.PasswordlessConfig("orders"), pathFirst, named} {
			before := cfg
			p, err := eventhubs.NewProducer(cfg.Hub("dead-letters"), nil)
			require.NoError(t, err)
			require.NoError(t, p.Send(t.Context(), eventhubs.Event{}))
			require.NoError(t, p.Close(t.Context()))
			require.Len(t, srv.AllEvents("dead-letters"), i+1)
			require.Equal(t, before.String(), cfg.String(), "it is a copy")
			require.Equal(t, before.String(), cfg.Hub("dead-letters").Hub("orders").String())
		}
		require.Empty(t, srv.AllEvents("orders"))
	})
}

func TestConsumerGroupIsAName(t *testing.T) {
	cfg := eventhubs.Config{Namespace: "contoso.servicebus.windows.net", EventHub: "orders"}
	for group, want := range map[string]string{
		"my group": `eventhubs: options: ConsumerGroup "my group" has white space or an invisible character in it`,
		"orders/$Default": `eventhubs: options: ConsumerGroup "orders/$Default" is not the name of a consumer group: ` +
			`give the last part of it alone, such as "$Default"`,
	} {
		_, err := eventhubs.NewConsumer(
			cfg,
			eventhubs.NewMemoryCheckpointStore(),
			&eventhubs.ConsumerOptions{ConsumerGroup: group},
		)
		require.EqualError(t, err, want)
	}
}

// keyed is a connection string with a key that no error may show.
const (
	secret = "c2VjcmV0LWtleS1vZi1hLXRlc3Q="
	keyed  = "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=reader;SharedAccessKey=" + secret
)

func TestBadConfig(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg  eventhubs.Config
		want string
	}{
		"empty": {eventhubs.Config{}, "eventhubs: config: set Namespace and EventHub, or ConnectionString"},
		"no event hub": {
			eventhubs.Config{Namespace: "contoso.servicebus.windows.net"},
			"eventhubs: config: EventHub is empty: name the event hub in contoso.servicebus.windows.net",
		},
		"no namespace": {
			eventhubs.Config{EventHub: "orders"}, "eventhubs: config: set Namespace and EventHub, or ConnectionString",
		},
		"no domain": {
			eventhubs.Config{Namespace: "contoso", EventHub: "orders"},
			`eventhubs: config: Namespace "contoso" has no domain: did you mean "contoso.servicebus.windows.net"?`,
		},
		"a URL": {
			eventhubs.Config{Namespace: "https://contoso.servicebus.windows.net/orders", EventHub: "orders"},
			`eventhubs: config: Namespace "contoso.servicebus.windows.net/orders" is not a host name: write it like ` +
				`contoso.servicebus.windows.net`,
		},
		"in the wrong field": {
			eventhubs.Config{Namespace: keyed, EventHub: "orders"},
			"eventhubs: config: Namespace is a connection string: it belongs in ConnectionString",
		},
		"malformed": {
			eventhubs.Config{ConnectionString: secret, EventHub: "orders"},
			`eventhubs: config: ConnectionString is malformed: copy it from the portal; it reads ` +
				`"Endpoint=sb://…/;SharedAccessKeyName=…;SharedAccessKey=…" and may end in ";EntityPath=…"`,
		},
		"no key": {
			eventhubs.Config{ConnectionString: "Endpoint=sb://contoso.servicebus.windows.net/", EventHub: "orders"},
			`eventhubs: config: ConnectionString is malformed: copy it from the portal; it reads ` +
				`"Endpoint=sb://…/;SharedAccessKeyName=…;SharedAccessKey=…" and may end in ";EntityPath=…"`,
		},
		"no EntityPath": {
			eventhubs.Config{ConnectionString: keyed},
			"eventhubs: config: ConnectionString has no EntityPath: set EventHub to the event hub's name in " +
				"contoso.servicebus.windows.net",
		},
		"two event hubs": {
			eventhubs.Config{ConnectionString: keyed + ";EntityPath=orders", EventHub: "audit"},
			`eventhubs: config: EventHub is "audit", but ConnectionString has EntityPath "orders": they have to be equal, or ` +
				`one of them empty (Config.Hub makes the Config of another event hub)`,
		},
		"two namespaces": {
			eventhubs.Config{ConnectionString: keyed, EventHub: "orders", Namespace: "fabrikam.servicebus.windows.net"},
			`eventhubs: config: Namespace is "fabrikam.servicebus.windows.net", but ConnectionString is for ` +
				`"contoso.servicebus.windows.net": set one of them`,
		},
		"two ways to sign in": {
			eventhubs.Config{ConnectionString: keyed, EventHub: "orders", Credential: fakeCredential{}},
			"eventhubs: config: Credential and ConnectionString are both set: use one of them",
		},
		"endpoint is a URL": {
			eventhubs.Config{ConnectionString: keyed, EventHub: "orders", Endpoint: "http://10.0.0.4"},
			`eventhubs: config: Endpoint "http://10.0.0.4" is not a host or host:port`,
		},
		"endpoint with a port that isn't there": {
			eventhubs.Config{ConnectionString: keyed, EventHub: "orders", Endpoint: "10.0.0.4:567110"},
			`eventhubs: config: Endpoint "10.0.0.4:567110" has a port that does not exist: leave it out, or write 1 to 65535`,
		},
		"namespace with a port that isn't there": {
			eventhubs.Config{Namespace: "contoso.servicebus.windows.net:none", EventHub: "orders"},
			`eventhubs: config: Namespace "contoso.servicebus.windows.net:none" has a port that does not exist: ` +
				`leave it out, or write 1 to 65535`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := eventhubs.NewProducer(tc.cfg, nil)
			require.EqualError(t, err, tc.want)
			_, err = eventhubs.NewConsumer(tc.cfg, eventhubs.NewMemoryCheckpointStore(), nil)
			require.EqualError(t, err, tc.want)
			require.NotContains(t, err.Error(), secret)
		})
	}
}

func TestGoodConfig(t *testing.T) {
	for name, cfg := range map[string]eventhubs.Config{
		"passwordless":       {Namespace: "contoso.servicebus.windows.net", EventHub: "orders", Credential: fakeCredential{}},
		"default credential": {Namespace: "contoso.servicebus.windows.net", EventHub: "orders"},
		"EventHub":           {ConnectionString: keyed, EventHub: "orders"},
		"EntityPath":         {ConnectionString: keyed + ";EntityPath=orders"},
		"both":               {ConnectionString: keyed + ";EntityPath=orders", EventHub: "Orders"},
		"with the namespace": {ConnectionString: keyed, EventHub: "orders", Namespace: "Contoso.servicebus.windows.net"},
		"another port":       {Namespace: "localhost:5671", EventHub: "orders", Credential: fakeCredential{}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := eventhubs.NewProducer(cfg, nil)
			require.NoError(t, err)
			require.NoError(t, p.Close(t.Context()))
			c, err := eventhubs.NewConsumer(cfg, eventhubs.NewMemoryCheckpointStore(), nil)
			require.NoError(t, err)
			require.NoError(t, c.Close(t.Context()))
		})
	}
}

func TestConfigFromEnv(t *testing.T) {
	const (
		connection = "EVENT_HUB_CONNECTION_STRING"
		namespace  = "EVENT_HUB_FULLY_QUALIFIED_NAMESPACE"
		hub        = "EVENT_HUB_NAME"
	)
	for name, tc := range map[string]struct {
		env   map[string]string
		names []string // that the error has to name; none: there is no error
	}{
		"nothing":            {nil, []string{connection, namespace, hub}},
		"only the event hub": {map[string]string{hub: "orders"}, []string{connection, namespace}},
		"only the namespace": {map[string]string{namespace: "contoso.servicebus.windows.net"}, []string{hub}},
		"both ways": {
			map[string]string{namespace: "contoso.servicebus.windows.net", connection: keyed, hub: "orders"},
			[]string{connection, namespace},
		},
		"malformed":    {map[string]string{connection: secret, hub: "orders"}, []string{connection}},
		"no event hub": {map[string]string{connection: keyed}, []string{connection, hub}},
		"two event hubs": {
			map[string]string{connection: keyed + ";EntityPath=orders", hub: "audit"}, []string{connection, hub},
		},
		"no domain":           {map[string]string{namespace: "contoso", hub: "orders"}, []string{namespace}},
		"passwordless":        {map[string]string{namespace: "contoso.servicebus.windows.net", hub: "orders"}, nil},
		"a connection string": {map[string]string{connection: keyed, hub: "orders"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, v := range []string{connection, namespace, hub} {
				t.Setenv(v, tc.env[v])
			}
			cfg, err := eventhubs.ConfigFromEnv()
			if tc.names == nil {
				require.NoError(t, err)
				require.Equal(t, tc.env[namespace], cfg.Namespace)
				require.Equal(t, tc.env[connection], cfg.ConnectionString)
				require.Equal(t, "orders", cfg.EventHub)
				return
			}
			require.Error(t, err)
			require.NotContains(t, err.Error(), secret)
			require.Equal(t, 1, strings.Count(err.Error(), "eventhubs: "), "%v", err)
			for _, v := range tc.names {
				require.Contains(t, err.Error(), v)
			}
		})
	}
}

func TestBadConsumer(t *testing.T) {
	good := eventhubs.Config{ConnectionString: keyed, EventHub: "orders"}
	_, err := eventhubs.NewConsumer(good, nil, nil)
	require.EqualError(
		t, err,
		"eventhubs: consumer: the checkpoint store is nil: make one with NewBlobCheckpointStore, or "+
			"NewMemoryCheckpointStore for a test",
	)
	var none *eventhubs.BlobCheckpointStore // what is left when the error of NewBlobCheckpointStore was overlooked
	_, err = eventhubs.NewConsumer(good, none, nil)
	require.ErrorContains(t, err, "the checkpoint store is nil")

	for name, tc := range map[string]struct {
		options eventhubs.ConsumerOptions
		want    string
	}{
		"MaxBatch":    {eventhubs.ConsumerOptions{MaxBatch: -1}, "MaxBatch is -1"},
		"Prefetch":    {eventhubs.ConsumerOptions{Prefetch: 5001}, "Prefetch is 5001: the most is 5000"},
		"interval":    {eventhubs.ConsumerOptions{CheckpointInterval: -1}, "CheckpointInterval is -1ns: it must not"},
		"count":       {eventhubs.ConsumerOptions{CheckpointCount: -1}, "CheckpointCount is -1: it must not"},
		"lag":         {eventhubs.ConsumerOptions{LagInterval: -1}, "LagInterval is -1ns: it must not"},
		"update":      {eventhubs.ConsumerOptions{UpdateInterval: -1}, "UpdateInterval is -1ns: it must not"},
		"concurrency": {eventhubs.ConsumerOptions{Concurrency: -1}, "Concurrency is -1: it must not"},
		"max ahead":   {eventhubs.ConsumerOptions{MaxAhead: -1}, "MaxAhead is -1: it has to be from 0 to 1000000"},
		"far ahead":   {eventhubs.ConsumerOptions{MaxAhead: math.MaxInt}, "it has to be from 0 to 1000000"},
		"batch wait":  {eventhubs.ConsumerOptions{BatchWait: -1}, "BatchWait is -1ns: it must not"},
		"expiration": {
			eventhubs.ConsumerOptions{UpdateInterval: 60e9},
			"ExpirationInterval (1m0s) has to be longer than UpdateInterval (1m0s)",
		},
		"balance": {eventhubs.ConsumerOptions{Balance: "fair"}, `Balance is "fair"`},
		"start": {eventhubs.ConsumerOptions{Start: azeventhubs.StartPositions{
			Default: azeventhubs.StartPosition{Earliest: ptr(true), SequenceNumber: ptr(int64(1))},
		}},
			"Start: set one of"},
		"start of a partition": {eventhubs.ConsumerOptions{Start: azeventhubs.StartPositions{
			PerPartition: map[string]azeventhubs.StartPosition{"1": {Latest: ptr(true), Offset: ptr("1")}},
		}},
			`Start of partition "1": set one of`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := eventhubs.NewConsumer(good, eventhubs.NewMemoryCheckpointStore(), &tc.options)
			require.ErrorContains(t, err, tc.want)
		})
	}

	c, err := eventhubs.NewConsumer(good, eventhubs.NewMemoryCheckpointStore(), nil)
	require.NoError(t, err)
	require.EqualError(t, c.Receive(t.Context(), nil), "eventhubs: receive: the handler is nil")
	require.EqualError(t, c.ReceiveBatch(t.Context(), nil), "eventhubs: receive: the handler is nil")
	require.NoError(t, c.Close(t.Context()))
	require.EqualError(t, c.Receive(t.Context(), nothing), "eventhubs: receive orders/$Default: the consumer is closed")

	for _, o := range []eventhubs.ConsumerOptions{
		{Concurrency: 2}, {MaxAhead: 1}, {Key: func(*eventhubs.ReceivedEvent) string { return "" }},
	} {
		c, err := eventhubs.NewConsumer(good, eventhubs.NewMemoryCheckpointStore(), &o)
		require.NoError(t, err)
		err = c.ReceiveBatch(t.Context(), func(context.Context, []*eventhubs.ReceivedEvent) error { return nil })
		require.ErrorContains(t, err, "Concurrency, Key and MaxAhead are for Receive")
	}
}

func TestBadProducerOptions(t *testing.T) {
	good := eventhubs.Config{ConnectionString: keyed, EventHub: "orders"}
	for want, o := range map[string]eventhubs.ProducerOptions{
		"eventhubs: producer: MaxInFlight is -1: it must not be negative":     {MaxInFlight: -1},
		"eventhubs: producer: AnswerTimeout is -1ns: it must not be negative": {AnswerTimeout: -1},
		"eventhubs: producer: RetryFor is -1s: it must not be negative":       {RetryFor: -time.Second},
	} {
		_, err := eventhubs.NewProducer(good, &o)
		require.EqualError(t, err, want)
	}
}

func TestWhatIsMissing(t *testing.T) {
	srv := eventhubstest.Start(t, &eventhubstest.Options{
		Rules: []eventhubstest.Rule{{Name: "all", Key: secret, Rights: []eventhubstest.Right{eventhubstest.RightManage}}},
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	receive := func(cfg eventhubs.Config, group string) error {
		c := newConsumer(t, cfg, eventhubs.NewMemoryCheckpointStore(), &eventhubs.ConsumerOptions{ConsumerGroup: group})
		return c.Receive(ctx, nothing)
	}
	wrongKey := srv.Config("hub")
	wrongKey.ConnectionString = strings.Replace(wrongKey.ConnectionString, secret, "d3Jvbmc=", 1)

	for name, tc := range map[string]struct {
		do   func() error
		want string
	}{
		"send to an unknown event hub": {func() error {
			return newProducer(t, srv.Config("nowhere")).Send(ctx, eventhubs.Event{})
		},
			"eventhubs: send nowhere: there is no such event hub or consumer group: check the name nowhere"},
		"receive from an unknown event hub": {func() error { return receive(srv.Config("nowhere"), "") },
			"eventhubs: receive nowhere/$Default: there is no such event hub or consumer group: check the name nowhere"},
		"receive for an unknown consumer group": {func() error { return receive(srv.Config("hub"), "nobody") },
			"eventhubs: receive hub/nobody: there is no such event hub or consumer group"},
		"send with a wrong key": {func() error { return newProducer(t, wrongKey).Send(ctx, eventhubs.Event{}) },
			"eventhubs: send hub: not authorized: check the key in the connection string, and that its policy has the claim " +
				"Send"},
		"receive with a wrong key": {func() error { return receive(wrongKey, "") },
			"eventhubs: receive hub/$Default: not authorized: check the key in the connection string, and that its policy has " +
				"the claim Listen"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.do()
			require.ErrorContains(t, err, tc.want)
			require.False(t, errors.Is(err, context.DeadlineExceeded), "it has to fail at once: %v", err)
			require.NotContains(t, err.Error(), secret)
		})
	}
}

func ptr[T any](v T) *T { return &v }
