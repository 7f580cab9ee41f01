package eventhubs

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/signin"
	"github.com/go-eventhubs/eventhubs/internal/target"
)

// Config says which event hub to use and how to sign in. It is a plain value: copy it, and share it between producers
// and consumers. There are two ways to sign in:
//
//   - passwordless: Namespace, EventHub, and a Credential, or nil for [DefaultAzureCredential];
//   - a connection string, whose EntityPath, if it has one, names the event hub.
//
// Strings may be used as they were pasted: white space, quotes and invisible characters around them are dropped. Where
// a host is expected, the host of a URL is used.
//
// A Config never shows its secrets, however it is printed, logged or marshalled.
//
// [DefaultAzureCredential]: https://pkg.go.dev/github.com/Azure/azure-sdk-for-go/sdk/azidentity#DefaultAzureCredential
type Config struct {
	// Namespace is the fully qualified namespace, such as "contoso.servicebus.windows.net". It may have a port, which is
	// then dialled. Leave it empty with a ConnectionString.
	Namespace string
	// EventHub is the name of the event hub. If ConnectionString has an EntityPath, EventHub must be empty or equal to it.
	EventHub string
	// Credential signs in to Namespace. Nil means a DefaultAzureCredential, which the whole process shares.
	Credential azcore.TokenCredential
	// ConnectionString is that of a namespace or an event hub, as the Azure portal shows it. It holds a key: prefer
	// passwordless.
	ConnectionString string

	// WebSockets sends AMQP over WebSockets (wss, port 443), for networks that block everything else. Only then are the
	// environment's HTTPS_PROXY and NO_PROXY honoured, as http.ProxyFromEnvironment does. False means AMQP over TLS, port
	// 5671. With an emulator, neither uses TLS.
	WebSockets bool
	// Endpoint is a host or host:port to dial instead of the namespace: a private endpoint, or a TCP proxy. The default
	// port is 5671, or 443 with WebSockets. Tokens, certificates and HTTP's Host header still name the namespace. A proxy
	// from the environment is asked to connect to the endpoint.
	Endpoint string
	// TLSConfig is used for the connection. It is copied. Nil means the system's roots. ServerName defaults to the
	// namespace.
	TLSConfig *tls.Config
	// DialContext makes the connection to the first hop, as http.Transport's field of the same name does: for SSH tunnels,
	// private networks, and tests in memory. TLS, proxies and WebSockets run on top of it. It has 5 seconds, and
	// must return when its ctx ends. It must be safe for concurrent use. Nil means a net.Dialer.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// Retry is how the SDK retries an operation. The zero value means 3 retries, after 0.5, 1.5 and 3.5 seconds, give or
	// take 30 %, so that a permanent failure is reported within 10 seconds. (The SDK's own default takes 44: see
	// internal/utils/retrier.go.) Receive keeps retrying after that.
	Retry azeventhubs.RetryOptions
	// ApplicationID is added to the user agent that the connection sends to the service.
	ApplicationID string
	// Logger gets what an operator has to know. What goes well is logged at debug level. Nil means [slog.Default].
	Logger *slog.Logger
}

// ConfigFromEnv reads a Config from the environment. It reads either EVENT_HUB_CONNECTION_STRING, with EVENT_HUB_NAME
// if the connection string has no EntityPath, or EVENT_HUB_FULLY_QUALIFIED_NAMESPACE and EVENT_HUB_NAME, which means
// DefaultAzureCredential. White space around a value is dropped, as a secret that is read from a file often ends with a
// newline. The error names every variable that is missing or contradicts another.
//
// By convention a consumer also takes its group and its name from the environment:
//
//	options := &eventhubs.ConsumerOptions{
//		ConsumerGroup: os.Getenv("EVENT_HUB_CONSUMER_GROUP"),
//		InstanceID:    os.Getenv("INSTANCE_ID"), // in Kubernetes, the name of a StatefulSet's pod
//	}
func ConfigFromEnv() (Config, error) {
	c, err := target.FromEnv()
	if err != nil {
		return Config{}, fmt.Errorf("eventhubs: %w", err)
	}
	return Config(c), nil
}

// Hub returns the Config of another event hub in the same namespace. If ConnectionString has an EntityPath, the path is
// dropped; a key that is valid for one event hub only does not open another.
func (c Config) Hub(name string) Config {
	c.EventHub, c.ConnectionString = name, signin.WithoutEntityPath(c.ConnectionString)
	return c
}

// String describes the Config without its secrets.
func (c Config) String() string { return target.Config(c).String() }

// Format prints String, whatever the verb, so that no way of printing shows a secret. (Package fmt calls no methods on
// unexported fields: a Config in an unexported field of a struct that is printed is out of its reach.)
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalText returns String, for encoding/json and the like.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// LogValue returns String, for log/slog.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// resolve checks the Config and completes it.
func (c Config) resolve() (target.Target, error) {
	t, err := target.Resolve(target.Config(c))
	if err != nil {
		return t, fmt.Errorf("eventhubs: %w", err)
	}
	return t, nil
}
