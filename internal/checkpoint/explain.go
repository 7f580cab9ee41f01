package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"github.com/go-eventhubs/eventhubs/internal/signin"
)

// Auth is how the calls to the storage account are signed.
type Auth int

// The ways of signing.
const (
	AuthToken Auth = iota // an identity's token
	AuthKey               // the account's key
	AuthSAS               // a shared access signature
)

// advice by error code, where it doesn't depend on how calls are signed. Not every code is in bloberror.
var advice = map[bloberror.Code]string{
	bloberror.AuthorizationSourceIPMismatch:  "not authorized: the SAS does not allow this address",
	bloberror.AuthorizationProtocolMismatch:  "not authorized: the SAS does not allow this protocol: use https",
	bloberror.InsufficientAccountPermissions: "not authorized: the account is read-only or disabled",
	bloberror.AccountIsDisabled:              "the storage account is disabled",
	bloberror.ContainerBeingDeleted: "the container is being deleted: wait until it is gone (30 seconds or more), " +
		"or use another one",
	bloberror.ContainerDisabled: "the container is disabled",
	bloberror.ContainerNotFound: "the container does not exist: it was created, and deleted again",
	bloberror.ResourceNotFound:  "there is no such resource: check the account URL",
	bloberror.InvalidURI: "the service does not understand the address: check the account URL and " +
		"the container's name",
	bloberror.InvalidResourceName:        "the service refuses the name: check the container's name",
	"KeyBasedAuthenticationNotPermitted": "not authorized: the account accepts no keys: use AccountURL with a credential",
	"PublicAccessNotPermitted":           "not authorized: the account accepts no anonymous access",
	bloberror.ServerBusy:                 "the storage account is busy",
	bloberror.LeaseIDMissing:             "somebody holds a lease on it: break the lease, or use another container",
	bloberror.BlobImmutableDueToPolicy:   "an immutability policy forbids changes: use another container",
	bloberror.InvalidHeaderValue: "the service refuses a header: an emulator may be older than this API version " +
		"(Azurite: --skipApiVersionCheck)",
	bloberror.NoAuthenticationInformation: "not authorized: the account accepts no anonymous access",
}

// denied says what to do about a refusal that depends on how calls are signed.
func denied(code bloberror.Code, auth Auth) string {
	text := `not authorized: give this identity the role "Storage Blob Data Contributor" (a new role can take 8 minutes)`
	switch {
	case auth == AuthKey:
		text = "not authorized: check the account name and key in the connection string, and this machine's clock"
	case auth == AuthSAS:
		text = "not authorized: check the SAS: its signature, its dates, and that it allows read, write, create and list " +
			"in this container"
	case code == bloberror.AuthenticationFailed || code == bloberror.InvalidAuthenticationInfo:
		text = "not authorized: the account does not accept this identity's token: check that it is of the account's " +
			"tenant, and this machine's clock"
	}
	if code == bloberror.AuthorizationFailure {
		text += "; the account's network rules may also refuse this address"
	}
	return text
}

// forbidden tells a refusal from other failures.
func forbidden(err error) bool {
	var re *azcore.ResponseError
	return errors.As(err, &re) && (re.StatusCode == http.StatusUnauthorized || re.StatusCode == http.StatusForbidden)
}

// reason is one line for an error whose own text is long, or holds an address with a signature in it.
type reason struct {
	text string
	err  error
}

func (r *reason) Error() string { return r.text }
func (r *reason) Unwrap() error { return r.err }

// explain turns an error of azblob into one line that says why, and what to do. errors.Is and errors.As find what
// they found before, except a *url.Error: its text is the whole address, with the signature of a SAS.
func explain(err error, auth Auth) error {
	if r := (*reason)(nil); errors.As(err, &r) {
		return err
	}
	var cutOff *cutOffError
	if errors.As(err, &cutOff) {
		return fmt.Errorf("%w: no time was left to try again: %w", explain(cutOff.answer, auth), cutOff.ctx)
	}
	var sign *signin.Error
	if errors.As(err, &sign) {
		return &reason{signin.Advice + ": " + sign.Error(), sign.Err}
	}
	var re *azcore.ResponseError
	if errors.As(err, &re) {
		return &reason{fmt.Sprintf("%s [%d %s]", refusal(re, auth), re.StatusCode, re.ErrorCode), re}
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return &reason{fmt.Sprintf("the host %q is not known: check the account's name and the network", dns.Name), err}
	case errors.Is(err, context.DeadlineExceeded):
		return &reason{"no answer in time: " + err.Error(), err}
	}
	return err
}

func refusal(re *azcore.ResponseError, auth Auth) string {
	code := bloberror.Code(re.ErrorCode)
	if text := advice[code]; text != "" {
		return text
	}
	if re.StatusCode == http.StatusUnauthorized || re.StatusCode == http.StatusForbidden {
		return denied(code, auth)
	}
	return "the service refused it: " + strings.ToLower(http.StatusText(re.StatusCode))
}
