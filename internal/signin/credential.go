// Package signin stands between a credential and the SDKs that ask it for tokens.
package signin

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/go-eventhubs/eventhubs/internal/retry"
)

// Error is a failure of a credential, as opposed to an answer of a service.
type Error struct{ Err error }

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Advice is what to do when a credential fails. It is one line, and the error's own text, which may have more, comes
// after it.
const Advice = `signing in failed: on your own machine run "az login"; in Azure give the machine a managed identity; ` +
	`or set Credential or ConnectionString`

const (
	// timeout bounds the wait for a token where the SDK sets no bound: azeventhubs asks with context.TODO
	// (internal/sbauth/token_provider.go, getAZCoreToken).
	timeout = time.Minute
	// pause comes before a failed renewal is reported. A client of azeventhubs whose retries are off asks again at once,
	// for as long as it is open (internal/namespace.go, startNegotiateClaimRenewer).
	pause = time.Second
)

// Credential returns cred with its failures marked as Error, and with a bound on how long it may take.
//
// Once it has given a token, a failure no longer counts as final: azeventhubs would stop renewing the token of a link
// for good, and the link would end with the token (internal/namespace.go, startNegotiateClaimRenewer), although the
// failure may be transient.
func Credential(cred azcore.TokenCredential) azcore.TokenCredential {
	return &credential{cred: cred}
}

type credential struct {
	cred  azcore.TokenCredential
	given atomic.Bool
}

func (c *credential) GetToken(ctx context.Context, opts policy.TokenRequestOptions) (azcore.AccessToken, error) {
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	token, err := c.cred.GetToken(bounded, opts)
	switch {
	case err == nil:
		c.given.Store(true)
		return token, nil
	case ctx.Err() != nil: // the caller has left, and no sign-in has failed
		return token, ctx.Err()
	case c.given.Load():
		retry.Sleep(ctx, pause)
		return token, &Error{renewal{err}}
	}
	return token, &Error{err}
}

// renewal hides from the SDKs that an error is final: they look for a method NonRetriable, with errors.As.
type renewal struct{ err error }

func (r renewal) Error() string { return r.err.Error() }

// Is still finds the error, except the end of a context that is not the caller's.
func (r renewal) Is(target error) bool {
	return target != context.DeadlineExceeded && target != context.Canceled && errors.Is(r.err, target)
}
