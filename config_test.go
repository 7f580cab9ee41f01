package eventhubs_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

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
				t,
				consumer.Receive(ctx, func(context.Context, *eventhubs.ReceivedEvent) error { cancel(); return nil }),
				name,
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
