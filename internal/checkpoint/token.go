package checkpoint

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/go-eventhubs/eventhubs/internal/signin"
)

// scope is what tokens for Azure Storage are for (azblob, internal/shared/shared.go, TokenScope).
const scope = "https://storage.azure.com/.default"

const (
	// renewAhead is how long before its end a token is renewed, or half of its lifetime if that is shorter.
	renewAhead = 5 * time.Minute
	// renewPatience bounds one attempt to renew a token that still holds, as does half of the time that the call has
	// left: after that the call uses the token that it has.
	renewPatience = 5 * time.Second
	// renewPause is how long such attempts are apart.
	renewPause = 30 * time.Second
)

// newTokenPolicy returns the policy that signs each try of a call with an identity's token.
//
// It is azcore's policy, not azblob's, which has a data race when the service refuses a token while another call is
// made (azblob v1.8.0 to v1.8.3, internal/shared/challenge_policy.go, parseChallenge). Before azcore's policy is
// asked for a token there is one at hand, because in there a call would wait for the token that another call asks
// for, in a sync.Cond that ignores its context (sdk/internal, temporal/resource.go, Get).
func newTokenPolicy(cred azcore.TokenCredential, insecure bool) policy.Policy {
	t := &tokens{cred: signin.Credential(cred), turn: make(chan struct{}, 1)}
	return runtime.NewBearerTokenPolicy(t, []string{scope}, &policy.BearerTokenOptions{
		AuthorizationHandler:            policy.AuthorizationHandler{OnRequest: t.onRequest, OnChallenge: t.onChallenge},
		InsecureAllowCredentialWithHTTP: insecure,
	})
}

// tokens keeps the token of one credential. While it is valid, only the call that renews it waits for a new one.
type tokens struct {
	cred azcore.TokenCredential
	turn chan struct{} // is full while the credential is asked

	currentMu sync.Mutex
	current   azcore.AccessToken
	renewAt   time.Time // when to ask for another one
}

// onRequest signs a request. The wait for a token ends with the request's context, which is that of one try.
func (t *tokens) onRequest(r *policy.Request, sign func(policy.TokenRequestOptions) error) error {
	if err := t.await(r.Raw().Context()); err != nil {
		return err
	}
	return sign(policy.TokenRequestOptions{Scopes: []string{scope}})
}

// onChallenge signs a request again whose token was refused, once.
func (t *tokens) onChallenge(
	r *policy.Request, _ *http.Response, sign func(policy.TokenRequestOptions) error,
) error {
	t.forget(strings.TrimPrefix(r.Raw().Header.Get("Authorization"), "Bearer "))
	return t.onRequest(r, sign)
}

// GetToken hands azcore's policy the token at hand, and only goes to the credential for claims that the service has
// asked for. The policy is told no expiration, so that it keeps no token of its own.
func (t *tokens) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if o.Claims != "" {
		if err := t.ask(ctx, o); err != nil {
			return azcore.AccessToken{}, err
		}
	}
	t.currentMu.Lock()
	defer t.currentMu.Unlock()
	return azcore.AccessToken{Token: t.current.Token}, nil
}

// await returns when there is a token that holds, or ctx ends.
func (t *tokens) await(ctx context.Context) error {
	holds, due := t.look()
	switch {
	case holds && !due:
		return nil
	case holds:
		select {
		case t.turn <- struct{}{}:
		default: // another call renews it
			return nil
		}
	default:
		select {
		case t.turn <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("waiting for a token: %w", ctx.Err())
		}
	}
	defer func() { <-t.turn }()
	if holds, due = t.look(); holds && !due { // another call was faster
		return nil
	}
	if holds {
		patience := renewPatience
		if deadline, ok := ctx.Deadline(); ok {
			patience = min(patience, time.Until(deadline)/2)
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	if err := t.ask(ctx, policy.TokenRequestOptions{Scopes: []string{scope}, EnableCAE: true}); err != nil && !holds {
		return err
	}
	return nil
}

// look reports whether there is a token that holds, and whether it is time to ask for another one.
func (t *tokens) look() (holds, due bool) {
	now := time.Now()
	t.currentMu.Lock()
	defer t.currentMu.Unlock()
	return t.current.Token != "" && now.Before(t.current.ExpiresOn), !now.Before(t.renewAt)
}

// ask gets a token from the credential.
func (t *tokens) ask(ctx context.Context, o policy.TokenRequestOptions) error {
	asked := time.Now()
	token, err := t.cred.GetToken(ctx, o)
	t.currentMu.Lock()
	defer t.currentMu.Unlock()
	t.renewAt = time.Now().Add(renewPause)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for a token: %w", err)
		}
		return err
	}
	ahead := min(renewAhead, token.ExpiresOn.Sub(asked)/2)
	at := token.ExpiresOn.Add(-ahead)
	if !token.RefreshOn.IsZero() {
		at = token.RefreshOn
	}
	// A credential may hand out the token it has until the last moment.
	if at.After(t.renewAt) || token.Token != t.current.Token {
		t.renewAt = at
	}
	t.current = token
	return nil
}

// forget has a token that was refused replaced.
func (t *tokens) forget(refused string) {
	t.currentMu.Lock()
	defer t.currentMu.Unlock()
	if t.current.Token == refused {
		t.current.ExpiresOn = time.Time{}
	}
}
