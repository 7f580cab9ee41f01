package eventhubs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/go-amqp"

	"github.com/go-eventhubs/eventhubs/internal/signin"
)

// explain turns an SDK error into one that says what was attempted, on what, why it failed and what to do.
// do is "send" or "receive", on is the entity.
func (c Config) explain(do, on string, err error) error {
	if err == nil {
		return nil
	}
	prefix := fmt.Sprintf("eventhubs: %s %s", do, on)
	if why := c.advice(do, err); why != "" {
		return fmt.Errorf("%s: %s: %w", prefix, why, err)
	}
	return fmt.Errorf("%s: %w", prefix, withoutPrefix(err))
}

// advice is what an operator can do about an error, or "".
func (c Config) advice(do string, err error) string {
	// Past its own retries the SDK hands out an error that hides its cause (internal/exported/error.go), so its text has to do.
	text := err.Error()
	var sign *signin.Error
	switch {
	case errors.As(err, &sign):
		return signin.Advice
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return ""
	case isUnauthorized(err):
		return c.unauthorized(do, text)
	case isMissing(err):
		return "there is no such event hub or consumer group: check the name " + c.EventHub + " in namespace " + c.Namespace + ", and the consumer group"
	case hasCondition(err, "com.microsoft:argument-out-of-range"):
		return "there is no such partition: partitions are numbered from 0"
	case isRefusedPosition(err) && do == "receive":
		return "the partition has no such position: it is read from its earliest event; if the event hub was deleted and made anew, delete its checkpoints, or none will be written"
	case strings.Contains(text, c.dialer().what()):
		return c.dialAdvice(text)
	}
	return ""
}

// refusedToken is what the service calls what is wrong with a token, when it doesn't look at roles.
var refusedToken = regexp.MustCompile(`\b(Invalid(Token|Signature|Issuer|Audience)|ExpiredToken)\b`)

func (c Config) unauthorized(do, text string) string {
	right, role := "Send", "Azure Event Hubs Data Sender"
	if do == "receive" {
		right, role = "Listen", "Azure Event Hubs Data Receiver"
	}
	p, _ := azeventhubs.ParseConnectionString(c.ConnectionString)
	switch {
	case c.ConnectionString == "" && refusedToken.MatchString(text):
		return "not authorized: the namespace does not accept this identity's token: check that it is of the namespace's tenant, and this machine's clock"
	case c.ConnectionString == "":
		return fmt.Sprintf("not authorized: give this identity the role %q (a new role can take 8 minutes)", role)
	case p.SharedAccessSignature == nil:
		return "not authorized: check the key in the connection string, and that its policy has the claim " + right
	case strings.Contains(text, "ExpiredToken"):
		return "not authorized: the shared access signature has expired: make a new one, or use a key or Credential, which renew theirs"
	}
	return "not authorized: check the shared access signature: it has to be for " + c.EventHub + " in " + c.Namespace + ", and its policy needs the claim " + right
}

// isTransient reports whether an error of sending may pass by itself: a connection that was lost, or a service that is busy.
func isTransient(err error) bool {
	var sdk *azeventhubs.Error
	return errors.Is(err, errNoAnswer) || errors.As(err, &sdk) && sdk.Code == azeventhubs.ErrorCodeConnectionLost ||
		hasCondition(err, "com.microsoft:server-busy") || hasCondition(err, "com.microsoft:timeout") || hasCondition(err, "com.microsoft:operation-cancelled")
}

// isFatal reports whether waiting is of no use: somebody has to change a name or a right.
func isFatal(err error) bool { return isUnauthorized(err) || isMissing(err) }

func isUnauthorized(err error) bool {
	var sdk *azeventhubs.Error
	return errors.As(err, &sdk) && sdk.Code == azeventhubs.ErrorCodeUnauthorizedAccess ||
		hasCondition(err, amqp.ErrCondUnauthorizedAccess) || hasStatus(err, 401)
}

func isMissing(err error) bool { return hasCondition(err, amqp.ErrCondNotFound) || hasStatus(err, 404) }

func hasCondition(err error, condition amqp.ErrCond) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Condition == condition
}

// isBusy reports whether the service has said that it will pass.
func isBusy(err error) bool {
	return hasCondition(err, "com.microsoft:server-busy") || hasCondition(err, "com.microsoft:timeout") || hasStatus(err, 503) || hasStatus(err, 408)
}

// isRefused reports whether the storage account wants somebody to change a right, or a name.
func isRefused(err error) bool {
	var e *azcore.ResponseError
	return errors.As(err, &e) && (e.StatusCode == http.StatusUnauthorized || e.StatusCode == http.StatusForbidden || e.StatusCode == http.StatusNotFound)
}

// isRefusedPosition reports whether a reader can't begin where it is to begin: behind the end of its partition. To the SDK this is an unknown error, and it makes a new
// connection for it, for all partitions, again and again (internal/errors.go, GetRecoveryKind).
func isRefusedPosition(err error) bool {
	return strings.Contains(err.Error(), "com.microsoft:argument-error")
}

// hasStatus looks for the status code of an answer from $management or $cbs. The SDK's type for it is internal (internal/rpc.go, RPCError),
// so its text has to do.
func hasStatus(err error, code int) bool {
	return strings.Contains(err.Error(), fmt.Sprintf("rpc: failed, status code %d ", code))
}
