package identity

import (
	"context"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// Credential returns a credential of an identity. It does not use the endpoint.
func (d *Directory) Credential(clientID string) azcore.TokenCredential {
	return credential{d, clientID}
}

type credential struct {
	directory *Directory
	clientID  string
}

func (c credential) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if len(o.Scopes) != 1 {
		return azcore.AccessToken{}, fmt.Errorf("a token is for one scope, not for %q", o.Scopes)
	}
	token, expires, err := c.directory.Issue(c.clientID, strings.TrimSuffix(o.Scopes[0], "/.default"))
	if err != nil {
		return azcore.AccessToken{}, fmt.Errorf("a token for %q: %w", o.Scopes[0], err)
	}
	return azcore.AccessToken{Token: token, ExpiresOn: expires}, nil
}
