package eventhubstest

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/internal/server/blob"
	"github.com/go-eventhubs/eventhubs/internal/server/broker"
	"github.com/go-eventhubs/eventhubs/internal/server/identity"
)

// Role is what an identity may do: a role of Azure, by its name there.
type Role string

// The roles that the server knows.
const (
	EventHubsDataSender        = Role(identity.EventHubsSender)
	EventHubsDataReceiver      = Role(identity.EventHubsReceiver)
	EventHubsDataOwner         = Role(identity.EventHubsOwner) // both of these
	StorageBlobDataContributor = Role(identity.BlobContributor)
)

// Identity signs in without a password. It needs a server with TLS.
type Identity struct {
	// ClientID tells identities apart. "" is the machine's own identity, which DefaultAzureCredential uses if
	// AZURE_CLIENT_ID is not set.
	ClientID string
	// Roles say what the identity may do. Without roles it gets tokens, but is refused everywhere.
	Roles []Role
}

// IdentityFault is something that goes wrong when a program asks the server's identity endpoint for a token.
type IdentityFault struct {
	// Times is how often the fault happens; 0 means until it is removed.
	Times int
	// Status is the answer's HTTP status; 0 means 500.
	Status int
	// Delay comes before the answer.
	Delay time.Duration
}

// errNeedsTLS is why a server without TLS has no tokens: the SDKs send none without TLS.
var errNeedsTLS = errors.New("identities need Options.TLS: no SDK sends a token without it")

// serveIdentities creates the directory of identities and the endpoint that hands out their tokens. The endpoint is
// that of App Service, which DefaultAzureCredential finds through IDENTITY_ENDPOINT and IDENTITY_HEADER. It is plain
// HTTP there, and here.
func (s *Server) serveIdentities(o Options) (err error) {
	if !o.TLS {
		if len(o.Identities) > 0 {
			return errNeedsTLS
		}
		return nil
	}
	identities := []identity.Identity{{Roles: []identity.Role{identity.EventHubsOwner, identity.BlobContributor}}}
	if len(o.Identities) > 0 {
		identities = nil
	}
	for _, i := range o.Identities {
		identities = append(identities, identity.Identity{ClientID: i.ClientID, Roles: ownRoles(i.Roles)})
	}
	s.firstIdentity = identities[0].ClientID
	if s.directory, err = identity.New(tokenLife(o), identities...); err != nil {
		return err
	}
	if s.identities, err = s.listenTCP(loopback); err != nil {
		return err
	}
	s.identities = newHTTPListener(s.identities, maxHTTPConnections, httpRequestTimeout)
	s.identityHTTP = httpServer(s.directory)
	return nil
}

func ownRoles(roles []Role) (out []identity.Role) {
	for _, r := range roles {
		out = append(out, identity.Role(r))
	}
	return out
}

// directory is the identities as the broker sees them: see broker.Directory.
type directory struct{ *identity.Directory }

func (d directory) Check(token string) (string, time.Time, error) {
	return d.Directory.Check(token, identity.EventHubs)
}

func (d directory) Rights(clientID string) (rights []broker.Right) {
	if d.Has(clientID, identity.EventHubsSender, identity.EventHubsOwner) {
		rights = append(rights, broker.RightSend)
	}
	if d.Has(clientID, identity.EventHubsReceiver, identity.EventHubsOwner) {
		rights = append(rights, broker.RightListen)
	}
	return rights
}

// mayUseBlobs returns nil if a token gives access to the storage account, and otherwise why not.
func (s *Server) mayUseBlobs(token string, _ *http.Request) error {
	clientID, _, err := s.directory.Check(token, identity.Storage)
	if err == nil && !s.directory.Has(clientID, identity.BlobContributor) {
		err = blob.ErrNoRole
	}
	return err
}

// Credential returns a credential of the first of the server's identities. It uses no identity endpoint. Tokens need a
// server with TLS; without TLS, GetToken fails.
func (s *Server) Credential() azcore.TokenCredential {
	if s.directory == nil {
		return noCredential{}
	}
	return s.directory.Credential(s.firstIdentity)
}

// SetRoles gives an identity these roles, and no others. It takes effect at once: links that need a removed role are
// closed. It is an error if there is no such identity or role.
func (s *Server) SetRoles(clientID string, roles ...Role) error {
	if s.directory == nil {
		return fmt.Errorf("eventhubstest: %w", errNeedsTLS)
	}
	if err := s.directory.SetRoles(clientID, ownRoles(roles)...); err != nil {
		return fmt.Errorf("eventhubstest: %w", err)
	}
	s.broker.RightsChanged()
	return nil
}

// IdentityFault declares a fault that can happen from now on when a program asks for a token, and returns a function
// that removes it. A server without TLS has no identity endpoint: there nothing happens.
func (s *Server) IdentityFault(f IdentityFault) (remove func()) {
	if s.directory == nil {
		return func() {}
	}
	return s.directory.AddFault(identity.Fault(f))
}

// PasswordlessConfig returns what producers and consumers need to reach an event hub of the server without a connection
// string. It signs in with Credential. The server needs TLS.
func (s *Server) PasswordlessConfig(hub string) eventhubs.Config {
	return eventhubs.Config{
		Namespace: s.namespace(), EventHub: hub, Credential: s.Credential(), TLSConfig: s.clientTLS(),
		DialContext: s.clientDial(),
	}
}

// PasswordlessBlobConfig returns what a checkpoint store needs to reach a container of the server's storage account
// without a connection string. It signs in with Credential. The server needs TLS.
func (s *Server) PasswordlessBlobConfig(container string) eventhubs.BlobConfig {
	cfg := eventhubs.BlobConfig{AccountURL: s.accountURL(), Container: container, Credential: s.Credential()}
	s.reach(&cfg)
	return cfg
}

// PasswordlessEnv returns the environment variables with which programs find an event hub of the server and sign in
// with DefaultAzureCredential: entries like those of os.Environ. The programs must also trust CA: see WriteTrust.
// Without TLS it returns nil.
func (s *Server) PasswordlessEnv(hub string) []string {
	if s.directory == nil {
		return nil
	}
	return []string{
		"EVENT_HUB_FULLY_QUALIFIED_NAMESPACE=" + s.namespace(),
		"EVENT_HUB_NAME=" + hub,
		"BLOB_STORAGE_ACCOUNT_URL=" + s.accountURL(),
		"BLOB_CONTAINER_NAME=" + envContainer,
		"IDENTITY_ENDPOINT=http://" + s.identities.Addr().String() + "/msi/token",
		"IDENTITY_HEADER=" + s.directory.Secret(),
	}
}

// namespace is the name under which clients on this machine find the server, and for which its certificate is valid. It
// leaves out the port that clients assume by default. Some clients make a port part of the names of checkpoints
// (Python's) and others don't (ours, JavaScript's and Java's), so they would not find each other's.
func (s *Server) namespace() string {
	host, port, err := net.SplitHostPort(dialable(s.amqp[0]))
	if err != nil {
		return dialable(s.amqp[0])
	}
	if net.ParseIP(host).IsLoopback() && !strings.Contains(host, ":") {
		host = certificateName // KEDA can't parse an address with a port
	}
	if s.tls != nil && port == amqpsPort || s.tls == nil && port == amqpPort {
		return host
	}
	return net.JoinHostPort(host, port)
}

// The ports of a namespace that names none.
const (
	amqpsPort = "5671"
	amqpPort  = "5672" // without TLS
)
