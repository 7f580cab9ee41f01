package eventhubs

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/dial"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
	"github.com/go-eventhubs/eventhubs/internal/signin"
)

// Config says which event hub to talk to and how to sign in. It is a plain value: copy it, and share it between
// producers and consumers. There are two ways to sign in:
//
//   - passwordless: Namespace, EventHub, and a Credential or nothing, which means [DefaultAzureCredential];
//   - a connection string, whose EntityPath, if it has one, is the event hub.
//
// Its strings may be as they were pasted: white space, quotes and invisible characters around them are dropped, and of
// a URL where a host belongs, the host is taken.
//
// It never prints its secrets, whichever way it is printed, logged or marshalled.
//
// [DefaultAzureCredential]: https://pkg.go.dev/github.com/Azure/azure-sdk-for-go/sdk/azidentity#DefaultAzureCredential
type Config struct {
	// Namespace is the fully qualified namespace, such as "contoso.servicebus.windows.net". A port that is named is
	// dialled. With a ConnectionString, leave it empty.
	Namespace string
	// EventHub is the name of the event hub. With a ConnectionString that has an EntityPath it may be empty, and has to be
	// equal to it otherwise.
	EventHub string
	// Credential signs in to Namespace. Nil means DefaultAzureCredential, of which the process makes one and shares it.
	Credential azcore.TokenCredential
	// ConnectionString is what the Azure portal shows for a namespace or an event hub. It holds a key: prefer
	// passwordless.
	ConnectionString string

	// WebSockets has AMQP go over WebSockets (wss, port 443), for networks that let nothing else out. The environment's
	// HTTPS_PROXY and NO_PROXY are honoured then, as by http.ProxyFromEnvironment; without WebSockets they are not. False
	// means AMQP over TLS, port 5671. An emulator is spoken to without TLS (ws), on its port.
	WebSockets bool
	// Endpoint is the host or host:port to dial in place of the namespace: a private endpoint, or a proxy for TCP. The
	// port is 5671, or 443 with WebSockets, if it names none. Tokens, certificates and HTTP's Host are still for the
	// namespace. A proxy from the environment is asked for the endpoint.
	Endpoint string
	// TLSConfig is used for the connection. It is copied. Nil means the system's roots; the ServerName is the namespace,
	// unless one is given.
	TLSConfig *tls.Config
	// DialContext makes the socket to the first hop, as http.Transport's field of that name does: for SSH tunnels, private
	// networks, and tests in memory. TLS, proxies and WebSockets run on top of what it returns. It is given 5 seconds. Nil
	// means a net.Dialer. It must be safe for concurrent use.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// Retry is how the SDK tries an operation again. If it is zero as a whole, it is set to 3 tries, after 0.5, 1.5 and
	// 3.5 seconds, give or take 30 %, so that what waiting can't mend is reported within 10 seconds; the SDK's own default
	// would take 44 (internal/utils/retrier.go). Receive goes on trying after that.
	Retry azeventhubs.RetryOptions
	// ApplicationID is added to what the connection says of itself to the service. Empty adds nothing.
	ApplicationID string
	// Logger takes what an operator has to know. Nil means [slog.Default]. What goes well is logged at debug level.
	Logger *slog.Logger
}

// Names of the environment variables that [ConfigFromEnv] reads: those of the Python quickstart.
const (
	envConnectionString = "EVENT_HUB_CONNECTION_STRING"
	envNamespace        = "EVENT_HUB_FULLY_QUALIFIED_NAMESPACE"
	envEventHub         = "EVENT_HUB_NAME"
)

// ConfigFromEnv reads a Config from the environment: either EVENT_HUB_CONNECTION_STRING, with EVENT_HUB_NAME if the
// connection string has no EntityPath, or EVENT_HUB_FULLY_QUALIFIED_NAMESPACE and EVENT_HUB_NAME, which means
// DefaultAzureCredential. White space around them is dropped: a secret from a file often ends with a newline. The error
// names every variable that is missing or contradicts another.
//
// What a consumer takes from the environment has names too, by convention, but is no part of a Config:
// EVENT_HUB_CONSUMER_GROUP for ConsumerOptions.ConsumerGroup, and INSTANCE_ID for ConsumerOptions.InstanceID. If they
// are not set, both options keep their defaults:
//
//	options := &eventhubs.ConsumerOptions{
//		ConsumerGroup: os.Getenv("EVENT_HUB_CONSUMER_GROUP"),
//		InstanceID:    os.Getenv("INSTANCE_ID"), // in Kubernetes, the name of a StatefulSet's pod
//	}
func ConfigFromEnv() (Config, error) {
	get := func(name string) string { return signin.Pasted(os.Getenv(name)) }
	cfg := Config{ConnectionString: get(envConnectionString), Namespace: get(envNamespace), EventHub: get(envEventHub)}
	switch {
	case cfg.ConnectionString != "" && cfg.Namespace != "":
		return Config{}, fmt.Errorf("eventhubs: environment: %s and %s are both set: unset one of them",
			envConnectionString, envNamespace)
	case cfg.ConnectionString == "" && cfg.Namespace == "" && cfg.EventHub == "":
		return Config{}, fmt.Errorf("eventhubs: environment: set %s and %s, or %s",
			envNamespace, envEventHub, envConnectionString)
	case cfg.ConnectionString == "" && cfg.Namespace == "":
		return Config{}, fmt.Errorf("eventhubs: environment: %s is not set (nor is %s)", envNamespace, envConnectionString)
	case cfg.ConnectionString == "" && cfg.EventHub == "":
		return Config{}, fmt.Errorf("eventhubs: environment: %s is not set", envEventHub)
	}
	if _, err := cfg.resolve(); err != nil {
		variables := envNamespace + ", " + envEventHub
		if cfg.ConnectionString != "" {
			variables = envConnectionString + ", " + envEventHub
		}
		return Config{}, fmt.Errorf("eventhubs: environment: %s: %w", variables, withoutPrefix(err))
	}
	return cfg, nil
}

// Hub is the Config of another event hub of the same namespace, also if ConnectionString has an EntityPath. The key of
// a policy that belongs to one event hub does not open another.
func (c Config) Hub(name string) Config {
	c.EventHub, c.ConnectionString = name, signin.WithoutEntityPath(c.ConnectionString)
	return c
}

// String describes the Config without its secrets.
func (c Config) String() string {
	signIn := "DefaultAzureCredential"
	switch {
	case c.ConnectionString != "":
		signIn = "connection string"
	case c.Credential != nil:
		signIn = fmt.Sprintf("%T", c.Credential)
	}
	known := c
	if t, err := c.resolve(); err == nil {
		known = t.cfg
	}
	s := fmt.Sprintf("%s/%s (%s)", signin.Redact(known.Namespace), signin.Redact(known.EventHub), signIn)
	if c.WebSockets {
		s += " over WebSockets"
	}
	if c.Endpoint != "" {
		s += " through " + signin.Redact(known.Endpoint)
	}
	return s
}

// Format is String, whatever the verb, so that no way of printing shows a secret. (A Config in an unexported field of a
// struct that is printed is out of its reach: package fmt calls no methods there.)
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalText is String, for encoding/json and the like.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// LogValue is String, for slog.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// target is a Config that was checked, and what follows from it. Its cfg has a Namespace, an EventHub, a Logger and a
// Retry. Its ConnectionString, if there is one, names no event hub, as the SDK takes either an EntityPath or a name
// beside the string (producer_client.go, parseConn).
type target struct {
	cfg       Config
	plaintext bool // an emulator, which is spoken to without TLS
	signIn    sdkerr.SignIn
}

// resolve checks the Config and fills in what the connection string says.
func (c Config) resolve() (target, error) {
	setDefault(&c.Logger, slog.Default())
	setDefaultRetry(&c.Retry)
	c.Namespace, c.Endpoint = signin.Host(c.Namespace), signin.Host(c.Endpoint)
	c.EventHub, c.ConnectionString = signin.Pasted(c.EventHub), signin.Pasted(c.ConnectionString)
	c.ApplicationID = signin.Pasted(c.ApplicationID)
	t := target{cfg: c}
	resolve := t.resolveNames
	if c.ConnectionString != "" {
		resolve = t.resolveConnectionString
	}
	err := signin.CheckNames(c.Namespace, c.EventHub, c.Endpoint)
	if err == nil {
		err = resolve()
	}
	if err != nil {
		return target{}, fmt.Errorf("eventhubs: config: %w", err)
	}
	return t, nil
}

func setDefaultRetry(r *azeventhubs.RetryOptions) {
	setDefault(r, azeventhubs.RetryOptions{
		MaxRetries: 3, RetryDelay: 500 * time.Millisecond, MaxRetryDelay: 8 * time.Second,
	})
}

func (t *target) resolveNames() error {
	c := &t.cfg
	switch {
	case c.Namespace == "":
		return errors.New("set Namespace and EventHub, or ConnectionString")
	case !strings.ContainsAny(c.Namespace, ".:") && c.Namespace != "localhost":
		return fmt.Errorf("Namespace %q has no domain: did you mean %q?", c.Namespace, c.Namespace+".servicebus.windows.net")
	case c.EventHub == "":
		return fmt.Errorf("EventHub is empty: name the event hub in %s", c.Namespace)
	}
	c.Namespace = c.splitPort(c.Namespace)
	return nil
}

// splitPort takes the port off a namespace and has it be dialled all the same. The SDK would make it a part of what
// tokens are for, and of the names of checkpoints, which other languages would look for in vain (internal/namespace.go,
// GetEntityAudience).
func (c *Config) splitPort(namespace string) string {
	host, _, err := net.SplitHostPort(namespace)
	if err != nil {
		return namespace
	}
	setDefault(&c.Endpoint, namespace)
	return host
}

func (t *target) resolveConnectionString() error {
	c := &t.cfg
	if c.Credential != nil {
		return errors.New("Credential and ConnectionString are both set: use one of them")
	}
	parsed, err := signin.ParseConnectionString(c.ConnectionString)
	if err != nil {
		return fmt.Errorf("ConnectionString %w", err)
	}
	t.plaintext, t.signIn = parsed.Emulator, sdkerr.WithKey
	if parsed.Signature {
		t.signIn = sdkerr.WithSignature
	}
	if !strings.EqualFold(cmp.Or(c.Namespace, parsed.Namespace), parsed.Namespace) {
		return fmt.Errorf("Namespace is %q, but ConnectionString is for %q: set one of them", c.Namespace, parsed.Namespace)
	}
	if !parsed.Emulator {
		parsed.Namespace = c.splitPort(parsed.Namespace)
	}
	c.Namespace, c.ConnectionString = parsed.Namespace, parsed.SDK()
	switch path := parsed.EntityPath; {
	case path == "" && c.EventHub == "":
		return fmt.Errorf("ConnectionString has no EntityPath: set EventHub to the event hub's name in %s", c.Namespace)
	case path != "" && c.EventHub != "" && !strings.EqualFold(path, c.EventHub):
		return fmt.Errorf("EventHub is %q, but ConnectionString has EntityPath %q: they have to be equal, or one of them "+
			"empty (Config.Hub makes the Config of another event hub)", c.EventHub, path)
	case c.EventHub == "":
		c.EventHub = path
	}
	return nil
}

// dialer makes the connections of one client.
func (t target) dialer() *dial.Dialer {
	return dial.New(dial.Options{
		Namespace: t.cfg.Namespace, Endpoint: t.cfg.Endpoint, Plaintext: t.plaintext, WebSockets: t.cfg.WebSockets,
		TLS:         t.cfg.TLSConfig,
		DialContext: t.cfg.DialContext,
	})
}

// newProducerClient makes a client of the SDK, which connects when it is first used, and the dialer of its connections.
func (t target) newProducerClient(retry azeventhubs.RetryOptions) (
	client *azeventhubs.ProducerClient, d *dial.Dialer, err error,
) {
	d = t.dialer()
	o := &azeventhubs.ProducerClientOptions{
		ApplicationID: t.cfg.ApplicationID, RetryOptions: retry, NewWebSocketConn: d.Dial,
	}
	if t.cfg.ConnectionString != "" {
		client, err = azeventhubs.NewProducerClientFromConnectionString(t.cfg.ConnectionString, t.cfg.EventHub, o)
		return client, d, err
	}
	credential, err := t.cfg.credential()
	if err != nil {
		return nil, nil, err
	}
	client, err = azeventhubs.NewProducerClient(t.cfg.Namespace, t.cfg.EventHub, credential, o)
	return client, d, err
}

// newConsumerClient is newProducerClient for reading. "" as the instance means a new UUID.
func (t target) newConsumerClient(group, instance string, retry azeventhubs.RetryOptions) (
	client *azeventhubs.ConsumerClient, d *dial.Dialer, err error,
) {
	d = t.dialer()
	o := &azeventhubs.ConsumerClientOptions{
		ApplicationID: t.cfg.ApplicationID, InstanceID: instance, RetryOptions: retry, NewWebSocketConn: d.Dial,
	}
	if t.cfg.ConnectionString != "" {
		client, err = azeventhubs.NewConsumerClientFromConnectionString(t.cfg.ConnectionString, t.cfg.EventHub, group, o)
		return client, d, err
	}
	credential, err := t.cfg.credential()
	if err != nil {
		return nil, nil, err
	}
	client, err = azeventhubs.NewConsumerClient(t.cfg.Namespace, t.cfg.EventHub, group, credential, o)
	return client, d, err
}

// explain turns an SDK error into one that says what was attempted, on what, why it failed and what to do.
// do is sdkerr.Send or sdkerr.Receive, on is the entity.
func (t target) explain(do, on string, err error) error {
	if err == nil {
		return nil
	}
	about := sdkerr.Target{
		Namespace: t.cfg.Namespace, EventHub: t.cfg.EventHub, SignIn: t.signIn, DialAdvice: t.dialer().Advice,
	}
	return public(about.Explain(do, on, withoutPrefix(err)))
}

// credential is the one to sign in with, when there is no connection string.
func (c Config) credential() (azcore.TokenCredential, error) {
	if c.Credential != nil {
		return signin.Credential(c.Credential), nil
	}
	cred, err := signin.Default()
	if err != nil {
		return nil, fmt.Errorf("eventhubs: %w", err)
	}
	return signin.Credential(cred), nil
}

// public is an error as it leaves this package: it begins with the package's name, and matches ErrNotAuthorized or
// ErrNotFound if that is what it means.
func public(err error) error {
	switch {
	case err == nil:
		return nil
	case sdkerr.NeedsRight(err):
		return &publicError{err, ErrNotAuthorized}
	case sdkerr.NeedsName(err):
		return &publicError{err, ErrNotFound}
	}
	return &publicError{err, nil}
}

type publicError struct{ err, kind error }

func (e *publicError) Error() string        { return "eventhubs: " + withoutPrefix(e.err).Error() }
func (e *publicError) Unwrap() error        { return e.err }
func (e *publicError) Is(target error) bool { return e.kind != nil && target == e.kind }

// withoutPrefix drops the package's name from an error that is wrapped in another of ours.
func withoutPrefix(err error) error { return prefixless{err} }

type prefixless struct{ err error }

func (p prefixless) Error() string { return strings.TrimPrefix(p.err.Error(), "eventhubs: ") }
func (p prefixless) Unwrap() error { return p.err }
