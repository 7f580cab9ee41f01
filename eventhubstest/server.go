package eventhubstest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/internal/server/blob"
	"github.com/go-eventhubs/eventhubs/internal/server/broker"
	"github.com/go-eventhubs/eventhubs/internal/server/identity"
)

// Hub is an event hub of the namespace.
type Hub struct {
	Name           string
	Partitions     int      // 0 means 4
	ConsumerGroups []string // in addition to $Default, which always exists
}

// Right is what a [Rule] allows.
type Right string

// The rights of a rule. Manage includes the other two.
const (
	RightSend   Right = "Send"
	RightListen Right = "Listen"
	RightManage Right = "Manage"
)

// Rule is a shared access policy: a name and a key for connection strings, and what they allow.
type Rule struct {
	Name   string
	Key    string
	Rights []Right
}

// DefaultRule and DefaultKey are the name and the key of the rule of a server whose Options have none. It has all
// rights.
const (
	DefaultRule = "RootManageSharedAccessKey"
	DefaultKey  = "SAS_KEY_VALUE"
)

// Options describe a server. Each field says what its zero value means; nil Options have the zero values.
type Options struct {
	// Hubs are the event hubs. None means one called "hub" with 4 partitions.
	Hubs []Hub
	// Rules are the shared access policies. None means DefaultRule with DefaultKey.
	Rules []Rule
	// Address is where the server speaks AMQP, directly and over WebSockets. "" means loopback, on a free port.
	Address string
	// MoreAddresses are further addresses for AMQP, such as port 443 in addition to 5671, as on Azure. The server's
	// configs, connection strings and environments name Address only.
	MoreAddresses []string
	// BlobAddress is where blobs are served. "" means loopback, on a free port.
	BlobAddress string
	// Logger gets a warning when one of the addresses can be reached from other machines. nil means slog.Default().
	Logger *slog.Logger
	// TLS makes the server speak AMQPS and https, with a certificate from a CA of its own.
	TLS bool
	// Identities can sign in without a password, to a server with TLS. None means one, whose ClientID is "" and which may
	// do everything.
	Identities []Identity
	// TokenLifetime is how long tokens of identities are valid. 0 means 24 hours, as for managed identities.
	TokenLifetime time.Duration
	// Storage are settings of the storage account.
	Storage Storage
	// RetentionBytes bounds the bytes that each partition keeps: the oldest events are dropped first. 0 means 64 MiB.
	RetentionBytes int64
	// RoundTrip is added to every round trip over AMQP: what the server sends arrives that much later, in order. It does
	// not limit the bandwidth. 0 means none.
	RoundTrip time.Duration
	// InMemory makes the server listen in memory, for use inside testing/synctest: see the package documentation. Create
	// the server inside the bubble. Config and BlobConfig, and their passwordless variants, reach it as they are. Other
	// clients of this process need Server.DialContext, and other processes can't reach it.
	InMemory bool
}

// Storage has settings of a storage account that Microsoft advises against for checkpoints.
type Storage struct {
	// HierarchicalNamespace makes the account report that it has one. It stores blobs in the same way.
	HierarchicalNamespace bool
	// SoftDelete makes the account report that it keeps overwritten blobs.
	SoftDelete bool
}

const (
	defaultHub        = "hub"
	defaultPartitions = 4
	defaultRetention  = 64 << 20
	defaultTokenLife  = 24 * time.Hour
	loopback          = "127.0.0.1:0"
	acceptPause       = 5 * time.Millisecond
	// envContainer is the container that Env names. New creates it, because quickstarts expect that it was created in the
	// portal.
	envContainer = "checkpoints"
	// keyTokenLife is how long the tokens are valid that the SDK signs with a key (azeventhubs,
	// internal/sbauth/token_provider.go).
	keyTokenLife = 2 * time.Hour
)

// Server is a running namespace and its storage account. Its methods are safe for concurrent use.
type Server struct {
	rules  []Rule
	tls    *authority     // nil: plaintext
	memory *memory        // nil: real sockets
	amqp   []net.Listener // the first is at Options.Address
	blob   net.Listener
	http   *http.Server
	broker *broker.Broker
	store  *blob.Account

	directory     *identity.Directory // nil without TLS, as are identities and identityHTTP
	identities    net.Listener
	identityHTTP  *http.Server
	firstIdentity string

	blobClient *http.Transport // the transport of blob configs; nil: azblob's default

	closing atomic.Bool
	closed  chan struct{} // closed when the first call of Close returns
	served  sync.WaitGroup
}

// TB is the part of testing.TB that Start needs. With it, programs that link this package don't link package testing.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Start returns a running server that closes itself when the test ends. If it can't start, it fails the test. Inside a
// synctest bubble, the test ends only when the last token has expired: until then a consumer client of the SDK leaves a
// goroutine behind (azeventhubs, consumer_client.go, Close), and a bubble must not end before its goroutines. The wait
// takes no real time.
func Start(t TB, o *Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatalf("%v", err)
		return nil
	}
	t.Cleanup(func() {
		s.Close()
		if s.memory != nil && inBubble() {
			time.Sleep(max(keyTokenLife, tokenLife(*o)))
		}
	})
	return s
}

// New returns a running server. Close it when it is no longer needed.
func New(o *Options) (*Server, error) {
	if o == nil {
		o = &Options{}
	}
	s := &Server{rules: o.Rules, closed: make(chan struct{})}
	if o.InMemory {
		s.memory = &memory{}
	}
	if err := s.open(*o); err != nil {
		for _, l := range append(slices.Clone(s.amqp), s.blob, s.identities) {
			if l != nil {
				l.Close()
			}
		}
		return nil, fmt.Errorf("eventhubstest: %w", err)
	}
	s.warn(o.Logger)
	s.http = httpServer(s.store)
	for _, l := range s.amqp {
		s.served.Go(func() { s.acceptAMQP(l) })
	}
	s.served.Go(func() { _ = s.http.Serve(s.blob) }) // it ends with ErrServerClosed, in Close
	if s.identities != nil {
		s.served.Go(func() { _ = s.identityHTTP.Serve(s.identities) })
	}
	return s, nil
}

// tokenLife is how long tokens of identities are valid.
func tokenLife(o Options) time.Duration { return cmp.Or(o.TokenLifetime, defaultTokenLife) }

// open creates the namespace, the account and the directory, and starts to listen. It serves nobody yet.
func (s *Server) open(o Options) error {
	if err := s.serveIdentities(o); err != nil {
		return err
	}
	if err := s.prepare(o); err != nil {
		return err
	}
	return s.listen(o)
}

// prepare creates the namespace and the storage account.
func (s *Server) prepare(o Options) error {
	hubs := o.Hubs
	if len(hubs) == 0 {
		hubs = []Hub{{Name: defaultHub}}
	}
	if len(s.rules) == 0 {
		s.rules = []Rule{{DefaultRule, DefaultKey, []Right{RightManage}}}
	}
	namespace := broker.Options{RetentionBytes: o.RetentionBytes}
	if namespace.RetentionBytes <= 0 {
		namespace.RetentionBytes = defaultRetention
	}
	for _, h := range hubs {
		if h.Partitions == 0 {
			h.Partitions = defaultPartitions
		}
		namespace.Hubs = append(namespace.Hubs, broker.Hub(h))
	}
	for _, r := range s.rules {
		rule := broker.Rule{Name: r.Name, Key: r.Key}
		for _, right := range r.Rights {
			rule.Rights = append(rule.Rights, broker.Right(right))
		}
		namespace.Rules = append(namespace.Rules, rule)
	}
	account := blob.Options{HierarchicalNamespace: o.Storage.HierarchicalNamespace, SoftDelete: o.Storage.SoftDelete}
	if s.directory != nil {
		namespace.Directory, account.Bearer = directory{s.directory}, s.mayUseBlobs
	}
	var err error
	if s.broker, err = broker.New(namespace); err != nil {
		return err
	}
	if s.store, err = blob.New(account); err != nil {
		return err
	}
	return s.store.CreateContainer(envContainer)
}

func (s *Server) acceptAMQP(l net.Listener) {
	for {
		nc, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(acceptPause) // out of file descriptors, or the peer left before Accept
			continue
		}
		s.served.Go(func() { s.broker.Serve(newAMQPConn(nc)) })
	}
}

// Close ends all connections and returns when the server has stopped. It may be called more than once.
func (s *Server) Close() {
	if s.closing.Swap(true) { // a sync.Once would hold a mutex while it waits, which stops the clock of a synctest bubble
		<-s.closed
		return
	}
	defer close(s.closed)
	for _, l := range s.amqp {
		l.Close()
	}
	s.store.Close()
	s.broker.Close()
	ctx, cancel := context.WithTimeout(context.Background(), httpCloseTimeout)
	defer cancel()
	for _, h := range []*http.Server{s.http, s.identityHTTP} {
		if h != nil && h.Shutdown(ctx) != nil {
			h.Close()
		}
	}
	if s.blobClient != nil {
		s.blobClient.CloseIdleConnections()
	}
	s.served.Wait()
}

// DropConnections closes the socket of every AMQP client without a word, as a broken network does. It accepts new
// connections.
func (s *Server) DropConnections() { s.broker.DropConnections() }

// Config returns what producers and consumers need to reach an event hub of the server.
func (s *Server) Config(hub string) eventhubs.Config {
	return eventhubs.Config{
		ConnectionString: s.ConnectionString(hub), TLSConfig: s.clientTLS(), DialContext: s.clientDial(),
	}
}

// BlobConfig returns what a checkpoint store needs to reach a container of the server's storage account.
func (s *Server) BlobConfig(container string) eventhubs.BlobConfig {
	cfg := eventhubs.BlobConfig{ConnectionString: s.blobConnectionString(), Container: container}
	s.reach(&cfg)
	return cfg
}

func (s *Server) blobConnectionString() string {
	scheme, _, _ := strings.Cut(s.accountURL(), ":")
	return fmt.Sprintf(
		"DefaultEndpointsProtocol=%s;AccountName=%s;AccountKey=%s;BlobEndpoint=%s;", scheme, blob.DevelopmentAccount,
		blob.DevelopmentKey, s.accountURL(),
	)
}

func (s *Server) accountURL() string {
	scheme := "http"
	if s.tls != nil {
		scheme = "https"
	}
	return scheme + "://" + dialable(s.blob) + "/" + blob.DevelopmentAccount
}

// Env returns the environment variables with which the quickstart programs of every language, and
// eventhubs.ConfigFromEnv and BlobConfigFromEnv, find an event hub of the server: entries like those of os.Environ. The
// container that it names exists from the start. With TLS, the programs must also trust CA: see WriteTrust.
func (s *Server) Env(hub string) []string {
	return []string{
		// for the namespace, as the portal shows it: a program may use several of its event hubs
		"EVENT_HUB_CONNECTION_STRING=" + s.ConnectionString(""),
		"EVENT_HUB_NAME=" + hub,
		"BLOB_STORAGE_CONNECTION_STRING=" + s.blobConnectionString(),
		"BLOB_CONTAINER_NAME=" + envContainer,
	}
}

// CA returns the certificate, in PEM, that clients have to trust. It is nil without TLS.
func (s *Server) CA() []byte {
	if s.tls == nil {
		return nil
	}
	return s.tls.pem
}
