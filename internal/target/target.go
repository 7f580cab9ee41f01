// Package target turns a configuration into the one thing that clients work with: an event hub, how to sign in, how to
// connect, and what an operator can do about its errors. Nothing else parses a connection string of the user's.
package target

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
	"github.com/go-eventhubs/eventhubs/internal/signin"
)

// Config has the fields of the public Config, so that one converts to the other. They are described there.
type Config struct {
	Namespace        string
	EventHub         string
	Credential       azcore.TokenCredential
	ConnectionString string
	WebSockets       bool
	Endpoint         string
	TLSConfig        *tls.Config
	DialContext      func(ctx context.Context, network, address string) (net.Conn, error)
	Retry            azeventhubs.RetryOptions
	ApplicationID    string
	Logger           *slog.Logger
}

// Target is a Config that was checked and completed: it has a Namespace, an EventHub, a Logger and a Retry. Its
// ConnectionString, if there is one, names no event hub, as the SDK takes either an EntityPath or a name beside the
// string (producer_client.go, parseConn).
type Target struct {
	Config    Config
	plaintext bool // an emulator, which is spoken to without TLS
	signIn    sdkerr.SignIn
}

// Resolve checks a Config and fills in what its connection string says.
func Resolve(c Config) (Target, error) {
	c.Logger = cmp.Or(c.Logger, slog.Default())
	c.Retry = cmp.Or(c.Retry, azeventhubs.RetryOptions{
		MaxRetries: 3, RetryDelay: 500 * time.Millisecond, MaxRetryDelay: 8 * time.Second,
	})
	c.Namespace, c.Endpoint = signin.Host(c.Namespace), signin.Host(c.Endpoint)
	c.EventHub, c.ConnectionString = signin.Pasted(c.EventHub), signin.Pasted(c.ConnectionString)
	c.ApplicationID = signin.Pasted(c.ApplicationID)
	t := Target{Config: c}
	resolve := t.resolveNames
	if c.ConnectionString != "" {
		resolve = t.resolveConnectionString
	}
	err := signin.CheckNames(c.Namespace, c.EventHub, c.Endpoint)
	if err == nil {
		err = resolve()
	}
	if err != nil {
		return Target{}, fmt.Errorf("config: %w", err)
	}
	return t, nil
}

func (t *Target) resolveNames() error {
	c := &t.Config
	switch {
	case c.Namespace == "":
		return errors.New("set Namespace and EventHub, or ConnectionString")
	case !strings.ContainsAny(c.Namespace, ".:") && c.Namespace != "localhost":
		return fmt.Errorf("Namespace %q has no domain: did you mean %q?", c.Namespace, c.Namespace+".servicebus.windows.net")
	case c.EventHub == "":
		return fmt.Errorf("EventHub is empty: name the event hub in %s", c.Namespace)
	}
	c.Namespace = c.splitPort(c.Namespace)
	return nil
}

// splitPort takes the port off a namespace, and makes it the Endpoint so that it is dialled all the same. The SDK would
// make it a part of the tokens' audience (internal/namespace.go, GetEntityAudience) and of the names of checkpoints,
// under which other languages would not find them.
func (c *Config) splitPort(namespace string) string {
	host, _, err := net.SplitHostPort(namespace)
	if err != nil {
		return namespace
	}
	c.Endpoint = cmp.Or(c.Endpoint, namespace)
	return host
}

func (t *Target) resolveConnectionString() error {
	c := &t.Config
	if c.Credential != nil {
		return errors.New("Credential and ConnectionString are both set: use one of them")
	}
	parsed, err := signin.ParseConnectionString(c.ConnectionString)
	if err != nil {
		return fmt.Errorf("ConnectionString %w", err)
	}
	t.plaintext, t.signIn = parsed.Emulator, sdkerr.WithKey
	if parsed.Signature {
		t.signIn = sdkerr.WithSignature
	}
	if !strings.EqualFold(cmp.Or(c.Namespace, parsed.Namespace), parsed.Namespace) {
		return fmt.Errorf("Namespace is %q, but ConnectionString is for %q: set one of them", c.Namespace, parsed.Namespace)
	}
	if !parsed.Emulator {
		parsed.Namespace = c.splitPort(parsed.Namespace)
	}
	c.Namespace, c.ConnectionString = parsed.Namespace, parsed.SDK()
	switch path := parsed.EntityPath; {
	case path == "" && c.EventHub == "":
		return fmt.Errorf("ConnectionString has no EntityPath: set EventHub to the event hub's name in %s", c.Namespace)
	case path != "" && c.EventHub != "" && !strings.EqualFold(path, c.EventHub):
		return fmt.Errorf("EventHub is %q, but ConnectionString has EntityPath %q: they have to be equal, or one of them "+
			"empty (Config.Hub makes the Config of another event hub)", c.EventHub, path)
	case c.EventHub == "":
		c.EventHub = path
	}
	return nil
}

// String describes the Config without its secrets.
func (c Config) String() string {
	signIn := "DefaultAzureCredential"
	switch {
	case c.ConnectionString != "":
		signIn = "connection string"
	case c.Credential != nil:
		signIn = fmt.Sprintf("%T", c.Credential)
	}
	known := c
	if t, err := Resolve(c); err == nil {
		known = t.Config
	}
	s := fmt.Sprintf("%s/%s (%s)", signin.Redact(known.Namespace), signin.Redact(known.EventHub), signIn)
	if c.WebSockets {
		s += " over WebSockets"
	}
	if c.Endpoint != "" {
		s += " through " + signin.Redact(known.Endpoint)
	}
	return s
}

// Explain turns an SDK error into one that says what was attempted, on what, why it failed and what to do. It leaves
// the library: see sdkerr.Public. do is sdkerr.Send or sdkerr.Receive, on is what it was done to.
func (t Target) Explain(do, on string, err error) error {
	if err == nil {
		return nil
	}
	about := sdkerr.Target{
		Namespace: t.Config.Namespace, EventHub: t.Config.EventHub, SignIn: t.signIn, DialAdvice: t.dialer().Advice,
	}
	return sdkerr.Public(about.Explain(do, on, sdkerr.WithoutPrefix(err)))
}
