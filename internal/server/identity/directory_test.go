package identity_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/identity"
)

func open(t testing.TB, lifetime time.Duration) *identity.Directory {
	t.Helper()
	d, err := identity.New(lifetime,
		identity.Identity{Roles: []identity.Role{identity.EventHubsOwner}},
		identity.Identity{ClientID: "sender", Roles: []identity.Role{identity.EventHubsSender}})
	require.NoError(t, err)
	return d
}

func TestIssueAndCheck(t *testing.T) {
	d := open(t, time.Hour)
	for _, tt := range []struct{ asked, resource, why string }{
		{identity.EventHubs, identity.EventHubs, ""},
		{identity.EventHubs + "/", identity.EventHubs, ""},
		{"https://servicebus.azure.net", identity.EventHubs, ""},
		{identity.Storage, identity.Storage, ""},
		{
			identity.Storage, identity.EventHubs,
			"InvalidAudience: The token was issued for another resource than https://eventhubs.azure.net.",
		},
		{
			identity.EventHubs, identity.Storage,
			"InvalidAudience: The token was issued for another resource than https://storage.azure.com.",
		},
		{
			"https://servicebus.azure.net", identity.Storage,
			"InvalidAudience: The token was issued for another resource than https://storage.azure.com.",
		},
	} {
		token, expires, err := d.Issue("sender", tt.asked)
		require.NoError(t, err)
		require.WithinDuration(t, time.Now().Add(time.Hour), expires, time.Minute)
		who, until, err := d.Check(token, tt.resource)
		if tt.why != "" {
			require.EqualError(t, err, tt.why)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, "sender", who)
		require.True(t, until.Equal(expires))
	}
	_, _, err := d.Issue("nobody", identity.EventHubs)
	require.EqualError(t, err, "there is no such identity")
	_, _, err = d.Issue("sender", "https://graph.microsoft.com")
	require.EqualError(t, err, "there is no such resource")
}

// Anything that is not a token of this directory is refused, whatever it says.
func TestForged(t *testing.T) {
	d, another := open(t, time.Hour), open(t, time.Hour)
	good, _, err := d.Issue("", identity.EventHubs)
	require.NoError(t, err)
	foreign, _, err := another.Issue("", identity.EventHubs)
	require.NoError(t, err)
	header, rest, _ := strings.Cut(good, ".")
	body, signature, _ := strings.Cut(rest, ".")
	claims := map[string]any{}
	decoded, err := base64.RawURLEncoding.DecodeString(body)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(decoded, &claims))
	none, err := jwt.NewWithClaims(
		jwt.SigningMethodNone, jwt.MapClaims(claims),
	).SignedString(jwt.UnsafeAllowNoneSignatureType)
	require.NoError(t, err)
	claims["exp"] = time.Now().Add(1000 * time.Hour).Unix()
	longer, err := json.Marshal(claims)
	require.NoError(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	own, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims(claims)).SignedString(key)
	require.NoError(t, err)
	for name, tt := range map[string]struct{ token, why string }{
		"of another directory": {foreign, "InvalidSignature: The token has an invalid signature."},
		"a key of its own":     {own, "InvalidSignature: The token has an invalid signature."},
		"changed": {
			header + "." + base64.RawURLEncoding.EncodeToString(longer) + "." + signature,
			"InvalidSignature: The token has an invalid signature.",
		},
		"no algorithm": {none, "InvalidSignature: The token has an invalid signature."},
		"no signature": {header + "." + body + ".", "InvalidSignature: The token has an invalid signature."},
		"not a token":  {"SharedAccessSignature sr=x", "InvalidToken: the token is not a JWT"},
		"empty":        {"", "InvalidToken: the token is not a JWT"},
		"huge":         {strings.Repeat("x", 1<<20), "InvalidToken: the token is too long"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := d.Check(tt.token, identity.EventHubs)
			require.EqualError(t, err, tt.why)
		})
	}
}

func TestExpired(t *testing.T) {
	d := open(t, -time.Hour)
	token, _, err := d.Issue("", identity.EventHubs)
	require.NoError(t, err)
	_, _, err = d.Check(token, identity.EventHubs)
	require.ErrorContains(t, err, "ExpiredToken: The token is expired. Expiration time: '20")
}

func TestRoles(t *testing.T) {
	d := open(t, 0)
	require.True(t, d.Has("", identity.EventHubsSender, identity.EventHubsOwner))
	require.False(t, d.Has("", identity.BlobContributor))
	require.False(t, d.Has("nobody", identity.EventHubsOwner))
	require.NoError(t, d.SetRoles("sender", identity.BlobContributor))
	require.False(t, d.Has("sender", identity.EventHubsSender))
	require.True(t, d.Has("sender", identity.BlobContributor))
	require.EqualError(t, d.SetRoles("nobody"), `there is no identity "nobody"`)
	require.EqualError(t, d.SetRoles("", "Owner"), `identity "": there is no role "Owner"`)
	_, err := identity.New(0, identity.Identity{ClientID: "a"}, identity.Identity{ClientID: "a"})
	require.EqualError(t, err, `identity "a" is there twice`)
	_, err = identity.New(0, identity.Identity{Roles: []identity.Role{"Reader"}})
	require.EqualError(t, err, `identity "": there is no role "Reader"`)
}

// A token that was not signed here is refused.
func FuzzCheck(f *testing.F) {
	d := open(f, time.Hour)
	good := map[string]bool{}
	for _, resource := range []string{identity.EventHubs, identity.Storage} {
		token, _, err := d.Issue("sender", resource)
		require.NoError(f, err)
		good[token] = true
		f.Add(token)
		f.Add(strings.Replace(token, ".", "..", 1))
	}
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		if _, _, err := d.Check(token, identity.EventHubs); err == nil && !good[token] {
			header, rest, _ := strings.Cut(token, ".")
			for g := range good { // the signature's own encoding has spare bits
				if h, r, _ := strings.Cut(g, "."); h == header && strings.HasPrefix(rest, r[:strings.LastIndexByte(r, '.')]) {
					return
				}
			}
			t.Fatalf("%q is taken", token)
		}
	})
}
