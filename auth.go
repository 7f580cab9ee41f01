package eventhubs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/dial"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
	"github.com/go-eventhubs/eventhubs/internal/signin"
)

// Config says which event hub to talk to and how to sign in. It is a plain value: copy it, and share it between
// producers and consumers. There are two ways to sign in:
//
//   - passwordless: Namespace, EventHub, and a Credential or nothing, which means [azidentity.DefaultAzureCredential];
//   - a connection string, whose EntityPath, if it has one, is the event hub.
//
// It never prints its secrets, whichever way it is printed, logged or marshalled.
type Config struct {
	// Namespace is the fully qualified namespace, such as "contoso.servicebus.windows.net".
	// With a ConnectionString, leave it empty.
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
// DefaultAzureCredential. The error names every variable that is missing or contradicts another.
func ConfigFromEnv() (Config, error) {
	cfg := Config{
		ConnectionString: os.Getenv(envConnectionString),
		Namespace:        os.Getenv(envNamespace),
		EventHub:         os.Getenv(envEventHub),
	}
	switch {
	case cfg.ConnectionString != "" && cfg.Namespace != "":
		return Config{}, fmt.Errorf("eventhubs: environment: %s and %s are both set: unset one of them", envConnectionString, envNamespace)
	case cfg.ConnectionString == "" && cfg.Namespace == "" && cfg.EventHub == "":
		return Config{}, fmt.Errorf("eventhubs: environment: set %s and %s, or %s", envNamespace, envEventHub, envConnectionString)
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
	s := fmt.Sprintf("%s/%s (%s)", redact(known.Namespace), redact(known.EventHub), signIn)
	if c.WebSockets {
		s += " over WebSockets"
	}
	if c.Endpoint != "" {
		s += " through " + redact(c.Endpoint)
	}
	return s
}

// Format is String, whatever the verb, so that no way of printing shows a secret. (A Config in an unexported field of a
// struct that is printed is out of its reach: package fmt calls no methods there.)
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalText is String, for encoding/json and the like.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// GoString is String.
func (c Config) GoString() string { return c.String() }

// LogValue is String, for slog.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// target is a Config that was checked, and what follows from it. Its cfg has a Namespace, an EventHub, a Logger and a
// Retry.
type target struct {
	cfg       Config
	plaintext bool // an emulator, which is spoken to without TLS
	path      bool // the connection string names the event hub
	signIn    sdkerr.SignIn
}

// resolve checks the Config and fills in what the connection string says.
func (c Config) resolve() (target, error) {
	setDefault(&c.Logger, slog.Default())
	setDefaultRetry(&c.Retry)
	t := target{cfg: c}
	resolve := t.resolveNames
	if c.ConnectionString != "" {
		resolve = t.resolveConnectionString
	}
	if err := resolve(); err != nil {
		return target{}, err
	}
	return t, t.cfg.checkNames()
}

func setDefaultRetry(r *azeventhubs.RetryOptions) {
	setDefault(r, azeventhubs.RetryOptions{MaxRetries: 3, RetryDelay: 500 * time.Millisecond, MaxRetryDelay: 8 * time.Second})
}

func (t *target) resolveNames() error {
	c := &t.cfg
	switch {
	case c.Namespace == "":
		return errors.New("eventhubs: config: set Namespace and EventHub, or ConnectionString")
	case strings.ContainsAny(c.Namespace, "/;= "):
		return fmt.Errorf("eventhubs: config: Namespace %q is not a host name: write it like contoso.servicebus.windows.net", redact(c.Namespace))
	case !strings.ContainsAny(c.Namespace, ".:") && c.Namespace != "localhost":
		return fmt.Errorf("eventhubs: config: Namespace %q has no domain: did you mean %q?", c.Namespace, c.Namespace+".servicebus.windows.net")
	case c.EventHub == "":
		return fmt.Errorf("eventhubs: config: EventHub is empty: name the event hub in %s", c.Namespace)
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
	if c.Endpoint == "" {
		c.Endpoint = namespace
	}
	return host
}

// redact cuts a value that may be a connection string in the wrong field.
func redact(s string) string {
	if i := strings.IndexAny(s, ";="); i >= 0 {
		return s[:i] + "…"
	}
	return s
}

func (t *target) resolveConnectionString() error {
	c := &t.cfg
	if c.Credential != nil {
		return errors.New("eventhubs: config: Credential and ConnectionString are both set: use one of them")
	}
	p, err := azeventhubs.ParseConnectionString(c.ConnectionString)
	if err != nil {
		// The SDK's reason can quote a part of the string, so it is not passed on.
		return errors.New(`eventhubs: config: ConnectionString is malformed: copy it from the portal; it reads "Endpoint=sb://…/;SharedAccessKeyName=…;SharedAccessKey=…" and may end in ";EntityPath=…"`)
	}
	if c.Namespace != "" && !strings.EqualFold(c.Namespace, p.FullyQualifiedNamespace) {
		return fmt.Errorf("eventhubs: config: Namespace is %q, but ConnectionString is for %q: set one of them", redact(c.Namespace), p.FullyQualifiedNamespace)
	}
	t.plaintext, t.signIn = p.Emulator, sdkerr.WithKey
	if p.SharedAccessSignature != nil {
		t.signIn = sdkerr.WithSignature
	}
	c.Namespace = p.FullyQualifiedNamespace
	if !p.Emulator { // which is spoken to without TLS
		c.Namespace = c.splitPort(p.FullyQualifiedNamespace)
		c.ConnectionString = strings.Replace(c.ConnectionString, p.Endpoint, "sb://"+c.Namespace, 1)
	}
	path := ""
	if t.path = p.EntityPath != nil; t.path {
		path = *p.EntityPath
	}
	switch {
	case path == "" && c.EventHub == "":
		return fmt.Errorf("eventhubs: config: ConnectionString has no EntityPath: set EventHub to the event hub's name in %s", c.Namespace)
	case path != "" && c.EventHub != "" && !strings.EqualFold(path, c.EventHub):
		return fmt.Errorf("eventhubs: config: EventHub is %q, but ConnectionString has EntityPath %q: they have to be equal, or one of them empty", redact(c.EventHub), redact(path))
	case c.EventHub == "":
		c.EventHub = path
	}
	return nil
}

// checkNames finds what is in the wrong field.
func (c Config) checkNames() error {
	switch {
	case strings.ContainsAny(c.Endpoint, "/;= "):
		return fmt.Errorf("eventhubs: config: Endpoint %q is not a host or host:port", redact(c.Endpoint))
	case strings.ContainsAny(c.EventHub, "/;= ?#"):
		return fmt.Errorf("eventhubs: config: EventHub %q is not the name of an event hub: it has letters, digits, and the characters . - _", redact(c.EventHub))
	}
	return nil
}

// sdkHub is what the SDK takes beside a connection string: nothing if the string has an EntityPath (producer_client.go,
// parseConn).
func (t target) sdkHub() string {
	if t.path {
		return ""
	}
	return t.cfg.EventHub
}

// dialer makes the connections of one client.
func (t target) dialer() *dial.Dialer {
	return dial.New(dial.Options{
		Namespace: t.cfg.Namespace, Endpoint: t.cfg.Endpoint, Plaintext: t.plaintext, WebSockets: t.cfg.WebSockets, TLS: t.cfg.TLSConfig,
		DialContext: t.cfg.DialContext,
	})
}

// newProducerClient makes a client of the SDK, which connects when it is first used, and the dialer of its connections.
func (t target) newProducerClient(retry azeventhubs.RetryOptions) (client *azeventhubs.ProducerClient, d *dial.Dialer, err error) {
	d = t.dialer()
	o := &azeventhubs.ProducerClientOptions{ApplicationID: t.cfg.ApplicationID, RetryOptions: retry, NewWebSocketConn: d.Dial}
	if t.cfg.ConnectionString != "" {
		client, err = azeventhubs.NewProducerClientFromConnectionString(t.cfg.ConnectionString, t.sdkHub(), o)
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
func (t target) newConsumerClient(group, instance string, retry azeventhubs.RetryOptions) (client *azeventhubs.ConsumerClient, d *dial.Dialer, err error) {
	d = t.dialer()
	o := &azeventhubs.ConsumerClientOptions{
		ApplicationID: t.cfg.ApplicationID, InstanceID: instance, RetryOptions: retry, NewWebSocketConn: d.Dial,
	}
	if t.cfg.ConnectionString != "" {
		client, err = azeventhubs.NewConsumerClientFromConnectionString(t.cfg.ConnectionString, t.sdkHub(), group, o)
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
	about := sdkerr.Target{Namespace: t.cfg.Namespace, EventHub: t.cfg.EventHub, SignIn: t.signIn, DialAdvice: t.dialer().Advice}
	explained := fmt.Errorf("eventhubs: %w", about.Explain(do, on, withoutPrefix(err)))
	switch {
	case sdkerr.IsUnauthorized(err):
		return kindOfError{explained, ErrNotAuthorized}
	case sdkerr.IsNotFound(err):
		return kindOfError{explained, ErrNotFound}
	}
	return explained
}

// kindOfError is an error that is one of this package's kinds, too.
type kindOfError struct{ err, kind error }

func (e kindOfError) Error() string   { return e.err.Error() }
func (e kindOfError) Unwrap() []error { return []error{e.err, e.kind} }

// credential is the one to sign in with, when there is no connection string.
func (c Config) credential() (azcore.TokenCredential, error) {
	if c.Credential != nil {
		return signin.Credential(c.Credential), nil
	}
	cred, err := defaultCredential()
	if err != nil {
		return nil, err
	}
	return signin.Credential(cred), nil
}

// shared is the process's DefaultAzureCredential. Each credential keeps its own tokens and asks for them anew, so
// producers, consumers and stores that are told nothing else use one.
var shared struct {
	sync.Mutex
	credential azcore.TokenCredential
}

// defaultCredential returns the shared DefaultAzureCredential, and makes it when it is first wanted.
func defaultCredential() (azcore.TokenCredential, error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.credential == nil {
		c, err := azidentity.NewDefaultAzureCredential(nil)
		if err != nil {
			return nil, fmt.Errorf("eventhubs: sign in with DefaultAzureCredential: %w", err)
		}
		shared.credential = c
	}
	return shared.credential, nil
}

// withoutPrefix drops the package's name from an error that is wrapped in another of ours.
func withoutPrefix(err error) error {
	return prefixless{err}
}

type prefixless struct{ err error }

func (p prefixless) Error() string { return strings.TrimPrefix(p.err.Error(), "eventhubs: ") }
func (p prefixless) Unwrap() error { return p.err }
