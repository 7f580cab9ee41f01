package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
)

// Error says what was dialled, how, and why it failed. It is a net.Error, so that the SDK takes it for a lost
// connection (azeventhubs, internal/errors.go, GetRecoveryKind).
type Error struct {
	what    string
	cause   error
	timeout bool
}

func (e *Error) Error() string   { return e.what + ": " + e.cause.Error() }
func (e *Error) Timeout() bool   { return e.timeout }
func (e *Error) Temporary() bool { return true }

// Unwrap hides the cause of a timeout from errors.Is. Package net says that it is a context.DeadlineExceeded even if no
// context has ended, and the SDK would give up as it does when its caller has.
func (e *Error) Unwrap() error {
	if e.timeout {
		return os.ErrDeadlineExceeded
	}
	return e.cause
}

// As finds the cause of a timeout all the same.
func (e *Error) As(target any) bool { return errors.As(e.cause, target) }

// failed describes a dial that has failed. If its context has ended, or the Dialer was closed, that is the reason.
func (d *Dialer) failed(ctx context.Context, r route, err error) error {
	if d.open.Err() != nil {
		return ErrClosed
	}
	what := d.what()
	if r.proxy != nil {
		what += " through the proxy " + r.first // without its user and password
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	var network net.Error
	return &Error{what, err, errors.As(err, &network) && network.Timeout()}
}

// what begins the text of an Error. An error that is not about a dial doesn't hold it.
func (d *Dialer) what() string {
	how := "over TLS"
	switch {
	case d.options.WebSockets && !d.options.Plaintext:
		how = "over WebSockets"
	case d.options.WebSockets:
		how = "over WebSockets without TLS"
	case d.options.Plaintext:
		how = "without TLS"
	}
	return "dial " + d.address + " " + how
}

// errBadProxy doesn't quote the variable: it may hold a password.
var errBadProxy = errors.New("HTTPS_PROXY is not the URL of a proxy")

// Parts of the texts of errors, by which Advice recognizes them.
const (
	proxyUnreached = "the proxy can't be reached"
	proxyRefused   = "the proxy refused to connect"
	upgradeRefused = "the WebSocket was refused"
)

// proxyError says that the proxy of a route can't be reached, or what it has answered.
type proxyError struct {
	err    error
	status int // 0: it can't be reached
}

func (e *proxyError) Error() string {
	if e.status == 0 {
		return proxyUnreached + ": " + e.err.Error()
	}
	return fmt.Sprintf("%s: %d %s", proxyRefused, e.status, http.StatusText(e.status))
}

func (e *proxyError) Unwrap() error { return e.err }

// upgradeError is the status that a server has answered with, where it should have begun to speak WebSocket.
type upgradeError struct{ status int }

func (e *upgradeError) Error() string {
	return fmt.Sprintf("%s: %d %s", upgradeRefused, e.status, http.StatusText(e.status))
}

// Advice is what an operator can do about an error whose text has that of an [Error] of this Dialer in it, or "".
func (d *Dialer) Advice(text string) string {
	if !strings.Contains(text, d.what()) {
		return ""
	}
	check := "check the namespace " + hostOf(d.options.Namespace)
	if d.options.Endpoint != "" {
		check += " and the endpoint " + d.options.Endpoint
	}
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(text, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has(errBadProxy.Error()):
		return "write HTTPS_PROXY like http://user:password@proxy.example.com:3128, with %-escapes in user and password"
	case has(proxyUnreached):
		return "check HTTPS_PROXY; to go without the proxy, name " + hostOf(d.address) + " in NO_PROXY"
	case has(proxyRefused + ": 407"):
		return "the proxy wants to know who is asking: give user and password in HTTPS_PROXY"
	case has(proxyRefused):
		return "the proxy doesn't let this through: have it allow CONNECT to " + d.address + ", or name " +
			hostOf(d.address) + " in NO_PROXY"
	case has(upgradeRefused):
		return "this is not an Event Hubs namespace, or something stands between here and it: " + check
	case has("no such host", "server misbehaving"):
		return "the name does not resolve: " + check + ", and this machine's DNS"
	case has("failed to verify certificate"):
		return "the server's certificate is not trusted: give the CA in TLSConfig, or check that nothing stands between " +
			"here and " + hostOf(d.options.Namespace)
	case has("tls: "):
		return ""
	case d.options.Plaintext && has("connection refused"):
		return "nothing listens there: " + check
	case d.options.Plaintext:
		return "it can't be reached: " + check
	}
	host, port, _ := net.SplitHostPort(d.address)
	if d.options.WebSockets {
		return fmt.Sprintf(
			"port %s of %s can't be reached: %s; where the way out is a proxy, name it in HTTPS_PROXY", port, host, check,
		)
	}
	return fmt.Sprintf(
		"port %s of %s can't be reached, and may be blocked: set Config.WebSockets, which uses port %s; or %s", port, host,
		portWebSockets, check,
	)
}
