// Package identity is a directory of identities in one process. It issues tokens as Microsoft Entra does, checks
// tokens, knows the roles of their holders, and hands tokens out as the managed identity endpoint of App Service does.
// With it, DefaultAzureCredential works on one machine.
package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Role is what an identity may do: a role of Azure, by its name there.
type Role string

// The roles that have a meaning here.
const (
	EventHubsSender   Role = "Azure Event Hubs Data Sender"
	EventHubsReceiver Role = "Azure Event Hubs Data Receiver"
	EventHubsOwner    Role = "Azure Event Hubs Data Owner"
	BlobContributor   Role = "Storage Blob Data Contributor"
)

func (r Role) known() bool {
	return r == EventHubsSender || r == EventHubsReceiver || r == EventHubsOwner || r == BlobContributor
}

// Resources that tokens are for.
const (
	EventHubs = "https://eventhubs.azure.net"
	Storage   = "https://storage.azure.com"
	// serviceBus is what older clients of Event Hubs ask for.
	serviceBus = "https://servicebus.azure.net"
)

// Identity is someone who can sign in.
type Identity struct {
	ClientID string // empty: the system-assigned identity
	Roles    []Role
}

const (
	// defaultLifetime is that of the tokens of managed identities.
	defaultLifetime = 24 * time.Hour
	issuer          = "https://sts.windows.net/eventhubstest/"
	// maxToken bounds the tokens that are parsed: real ones have a few KB.
	maxToken = 16 << 10
)

// Directory knows identities, and signs tokens with a key of its own. It is safe for concurrent use.
type Directory struct {
	key    *ecdsa.PrivateKey
	secret string // see Secret

	rolesMu  sync.Mutex
	roles    map[string][]Role // by client id
	lifetime time.Duration
	faults   []*Fault
}

// New returns a directory. Tokens are valid for the lifetime; 0 means 24 hours.
func New(lifetime time.Duration, identities ...Identity) (*Directory, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // it never fails
	d := &Directory{key: key, secret: hex.EncodeToString(secret[:]), roles: map[string][]Role{}, lifetime: lifetime}
	if d.lifetime == 0 {
		d.lifetime = defaultLifetime
	}
	for _, i := range identities {
		if _, twice := d.roles[i.ClientID]; twice {
			return nil, fmt.Errorf("identity %q is there twice", i.ClientID)
		}
		d.roles[i.ClientID] = nil
		if err := d.SetRoles(i.ClientID, i.Roles...); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// SetRoles gives an identity these roles, and no others.
func (d *Directory) SetRoles(clientID string, roles ...Role) error {
	for _, r := range roles {
		if !r.known() {
			return fmt.Errorf("identity %q: there is no role %q", clientID, r)
		}
	}
	d.rolesMu.Lock()
	defer d.rolesMu.Unlock()
	if _, ok := d.roles[clientID]; !ok {
		return fmt.Errorf("there is no identity %q", clientID)
	}
	d.roles[clientID] = slices.Clone(roles)
	return nil
}

// Has reports whether an identity has one of the roles.
func (d *Directory) Has(clientID string, roles ...Role) bool {
	d.rolesMu.Lock()
	defer d.rolesMu.Unlock()
	return slices.ContainsFunc(d.roles[clientID], func(r Role) bool { return slices.Contains(roles, r) })
}

// claims are the contents of a token.
type claims struct {
	jwt.RegisteredClaims
	ClientID string `json:"appid"`
}

var (
	errNoIdentity = errors.New("there is no such identity")
	errNoResource = errors.New("there is no such resource")
)

// Issue returns a token with which an identity can sign in to a resource.
func (d *Directory) Issue(clientID, resource string) (token string, expires time.Time, err error) {
	d.rolesMu.Lock()
	_, known := d.roles[clientID]
	lifetime := d.lifetime
	d.rolesMu.Unlock()
	switch {
	case !known:
		return "", expires, errNoIdentity
	case !audienceFits(resource, EventHubs) && !audienceFits(resource, Storage):
		return "", expires, errNoResource
	}
	now := time.Now()
	expires = now.Add(lifetime).Truncate(time.Second)
	token, err = jwt.NewWithClaims(jwt.SigningMethodES256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Audience: jwt.ClaimStrings{resource}, Subject: clientID,
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now.Add(-time.Minute)),
			ExpiresAt: jwt.NewNumericDate(expires),
		},
		ClientID: clientID,
	}).SignedString(d.key)
	return token, expires, err
}

// Check returns whose token it is and when it expires. An error begins with the service's name for the problem, and
// holds nothing of the token.
func (d *Directory) Check(token, resource string) (clientID string, expires time.Time, err error) {
	if len(token) > maxToken {
		return "", expires, errors.New("InvalidToken: the token is too long")
	}
	var c claims
	_, err = jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return &d.key.PublicKey, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodES256.Alg()}), jwt.WithIssuer(issuer), jwt.WithExpirationRequired())
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return "", expires, errors.New("InvalidToken: the token is not a JWT")
	case errors.Is(err, jwt.ErrTokenExpired):
		return "", expires,
			fmt.Errorf(
				"ExpiredToken: The token is expired. Expiration time: '%s'", c.ExpiresAt.UTC().Format("2006-01-02 15:04:05Z"),
			)
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return "", expires, errors.New("InvalidSignature: The token has an invalid signature.")
	case err != nil:
		return "", expires, errors.New("InvalidToken: the token was not issued here")
	case len(c.Audience) != 1 || !audienceFits(c.Audience[0], resource):
		return "", expires, fmt.Errorf("InvalidAudience: The token was issued for another resource than %s.", resource)
	}
	return c.ClientID, c.ExpiresAt.Time, nil
}

// audienceFits compares resources: some clients end them with a slash.
func audienceFits(asked, resource string) bool {
	asked = strings.TrimRight(asked, "/")
	return strings.EqualFold(asked, resource) || resource == EventHubs && strings.EqualFold(asked, serviceBus)
}
