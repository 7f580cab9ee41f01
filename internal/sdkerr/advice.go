package sdkerr

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/go-eventhubs/eventhubs/internal/signin"
)

// SignIn is how a client signs in.
type SignIn int

// The ways to sign in.
const (
	WithToken     SignIn = iota // of an identity
	WithKey                     // of a connection string
	WithSignature               // a shared access signature in a connection string
)

// Target is what a client works with.
type Target struct {
	Namespace, EventHub string
	SignIn              SignIn
	// DialAdvice is what to do about an error that has the text of a failed dial in it, or "".
	DialAdvice func(text string) string
}

// What is done to a Target.
const (
	Send    = "send"
	Receive = "receive"
)

// Advice is what an operator can do about an error of Send or Receive, or "".
func (t Target) Advice(do string, err error) string {
	text := err.Error()
	var sign *signin.Error
	switch {
	case errors.As(err, &sign):
		return signin.Advice
	case IsContext(err):
		return ""
	case IsUnauthorized(err):
		return t.unauthorized(do, text)
	case IsNotFound(err):
		return "there is no such event hub or consumer group: check the name " + t.EventHub + " in namespace " +
			t.Namespace + ", and the consumer group"
	case IsNoPartition(err):
		return "there is no such partition: partitions are numbered from 0"
	case IsRefusedPosition(err) && do == Receive:
		return "the partition has no such position: reading restarts from its earliest event"
	case t.DialAdvice != nil:
		return t.DialAdvice(text)
	}
	return ""
}

// Explain adds to an error what was done, to what, and what an operator can do about it.
func (t Target) Explain(do, on string, err error) error {
	if advice := t.Advice(do, err); advice != "" {
		return fmt.Errorf("%s %s: %s: %w", do, on, advice, err)
	}
	return fmt.Errorf("%s %s: %w", do, on, err)
}

// refusedToken matches the service's words for a token that is wrong in itself, whatever the roles.
var refusedToken = regexp.MustCompile(`\b(Invalid(Token|Signature|Issuer|Audience)|ExpiredToken)\b`)

// Role is the role that an identity needs.
func Role(do string) string {
	if do == Receive {
		return "Azure Event Hubs Data Receiver"
	}
	return "Azure Event Hubs Data Sender"
}

// StorageRole is the role that an identity needs whose calls the storage account refuses, or "" if it does not.
func StorageRole(err error) string {
	if hasStorageStatus(err, http.StatusUnauthorized, http.StatusForbidden) {
		return "Storage Blob Data Contributor"
	}
	return ""
}

func (t Target) unauthorized(do, text string) string {
	right := "Send"
	if do == Receive {
		right = "Listen"
	}
	switch {
	case t.SignIn == WithToken && refusedToken.MatchString(text):
		return "not authorized: the namespace does not accept this identity's token: check that it is of the namespace's " +
			"tenant, and this machine's clock"
	case t.SignIn == WithToken:
		return fmt.Sprintf("not authorized: give this identity the role %q (a new role can take 8 minutes)", Role(do))
	case t.SignIn == WithKey:
		return "not authorized: check the key in the connection string, and that its policy has the claim " + right
	case strings.Contains(text, "ExpiredToken"):
		return "not authorized: the shared access signature has expired: make a new one, or use a key or Credential, " +
			"which renew theirs"
	}
	return "not authorized: check the shared access signature: it has to be for " + t.EventHub + " in " + t.Namespace +
		", and its policy needs the claim " + right
}
