package eventhubs_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

type tlsState = tls.ConnectionState

// silent is the address of a listener that never says anything. Nobody accepts: connections wait in the kernel.
func silent(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String()
}

// refusing is an address where nobody listens.
func refusing(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ln.Close()
	return ln.Addr().String()
}

// at is a Config for contoso whose endpoint is somewhere else.
func at(address string, webSockets bool) eventhubs.Config {
	return eventhubs.Config{ConnectionString: keyed, EventHub: "hub", Endpoint: address, WebSockets: webSockets, Retry: quickRetry}
}

// atSilent is a Config whose endpoint doesn't answer.
func atSilent(address string, webSockets bool) eventhubs.Config {
	return eventhubs.WithDialTimeouts(at(address, webSockets), 0, 50*time.Millisecond)
}

// What can't be reached is said soon, with what was dialled, why it failed, and what to do.
func TestAdviceUnreachable(t *testing.T) {
	quiet, closed := silent(t), refusing(t)
	_, quietPort, _ := net.SplitHostPort(quiet)
	_, closedPort, _ := net.SplitHostPort(closed)
	srv := eventhubstest.Start(t, &eventhubstest.Options{TLS: true})
	web := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	moved := httptest.NewTLSServer(http.RedirectHandler("https://"+web.Listener.Addr().String(), http.StatusFound))
	t.Cleanup(moved.Close)
	untrusted := at(namespaceOf(srv), true)
	elsewhere := at(web.Listener.Addr().String(), true)
	elsewhere.TLSConfig = web.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	elsewhere.TLSConfig.ServerName = "example.com"
	redirected := elsewhere
	redirected.Endpoint = moved.Listener.Addr().String()
	slow := eventhubs.WithDialTimeouts(at(quiet, false), time.Nanosecond, 0)
	emulator := at(closed, false)
	emulator.ConnectionString += ";UseDevelopmentEmulator=true"
	silentEmulator := atSilent(quiet, true)
	silentEmulator.ConnectionString = emulator.ConnectionString
	const check = "check the namespace contoso.servicebus.windows.net and the endpoint "

	for name, tc := range map[string]struct {
		cfg  eventhubs.Config
		want string // the beginning
		why  string
	}{
		"TLS, refused": {at(closed, false), "port " + closedPort + " of 127.0.0.1 can't be reached, and may be blocked: set Config.WebSockets, which uses port 443; or " + check + closed,
			"dial " + closed + " over TLS: dial tcp " + closed + ": connect: connection refused"},
		"TLS, no answer": {atSilent(quiet, false), "port " + quietPort + " of 127.0.0.1 can't be reached, and may be blocked: set Config.WebSockets, which uses port 443; or " + check + quiet,
			"i/o timeout"},
		"TLS, no connection": {slow, "port " + quietPort + " of 127.0.0.1 can't be reached, and may be blocked", "dial " + quiet + " over TLS: dial tcp " + quiet + ": i/o timeout"},
		"WebSockets, refused": {at(closed, true), "port " + closedPort + " of 127.0.0.1 can't be reached: " + check + closed + "; where the way out is a proxy, name it in HTTPS_PROXY",
			"dial " + closed + " over WebSockets: dial tcp " + closed + ": connect: connection refused"},
		"WebSockets, no answer": {atSilent(quiet, true), "port " + quietPort + " of 127.0.0.1 can't be reached: ", "i/o timeout"},
		"WebSockets, untrusted": {untrusted, "the server's certificate is not trusted: give the CA in TLSConfig", "tls: failed to verify certificate"},
		"no namespace":          {elsewhere, "this is not an Event Hubs namespace, or something stands between here and it: " + check, "the WebSocket was refused: 404 Not Found"},
		"redirected":            {redirected, "this is not an Event Hubs namespace", "the WebSocket was refused: 302 Found"},
		"emulator, refused":     {emulator, "nothing listens there: " + check + closed, "dial " + closed + " without TLS: "},
		"emulator, no answer":   {silentEmulator, "it can't be reached: " + check + quiet, "dial " + quiet + " over WebSockets without TLS: "},
		"no such name": {at("nowhere.invalid", true), "the name does not resolve: " + check + "nowhere.invalid, and this machine's DNS",
			"dial nowhere.invalid:443 over WebSockets: dial tcp: lookup nowhere.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			err := newProducer(t, tc.cfg).Send(t.Context(), eventhubs.Event{})
			require.ErrorContains(t, err, tc.why)
			require.True(t, strings.HasPrefix(err.Error(), "eventhubs: send hub: "+tc.want), "%v", err)
			require.Contains(t, err.Error(), "(connlost)", "the SDK tries again")
			require.NotContains(t, err.Error(), secret)
			require.Less(t, time.Since(began), patience)
			endsWith(t, tc.cfg, memory(), "", "eventhubs: receive hub/$Default: "+tc.want)
		})
	}
}

// A peer that is connected to and says nothing is given up, over plaintext too, where there is nothing to shake hands about before AMQP.
func TestSilentEmulator(t *testing.T) {
	cfg := atSilent(silent(t), false)
	cfg.ConnectionString += ";UseDevelopmentEmulator=true"
	require.ErrorContains(t, newProducer(t, cfg).Send(t.Context(), eventhubs.Event{}), "i/o timeout")
}

// The error of a dial keeps its cause, is one that the SDK tries again after, and is the context's if that has ended.
func TestDialErrors(t *testing.T) {
	_, err := eventhubs.Dial(t.Context(), at(refusing(t), false))
	var network net.Error
	require.ErrorAs(t, err, &network)
	require.False(t, network.Timeout())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)

	for name, cfg := range map[string]eventhubs.Config{
		"connect":   eventhubs.WithDialTimeouts(at(silent(t), false), time.Nanosecond, 0),
		"TLS":       atSilent(silent(t), false),
		"WebSocket": atSilent(silent(t), true),
	} {
		_, err := eventhubs.Dial(t.Context(), cfg)
		require.ErrorAs(t, err, &network, name)
		require.True(t, network.Timeout(), name)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, name)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "no context has ended: "+name)
		var op *net.OpError
		require.ErrorAs(t, err, &op, name)
	}

	_, err = eventhubs.Dial(t.Context(), at("nowhere.invalid", false))
	var dns *net.DNSError
	require.ErrorAs(t, err, &dns)

	srv := eventhubstest.Start(t, &eventhubstest.Options{TLS: true})
	for _, webSockets := range []bool{false, true} {
		_, err = eventhubs.Dial(t.Context(), at(namespaceOf(srv), webSockets))
		var certificate *tls.CertificateVerificationError
		require.ErrorAs(t, err, &certificate)
	}
}

// A dial ends with its context.
func TestDialIsCancelled(t *testing.T) {
	for name, webSockets := range map[string]bool{"TLS": false, "WebSockets": true} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer ln.Close()
			ctx, cancel := context.WithCancelCause(t.Context())
			ended := make(chan error, 1)
			go func() {
				_, err := eventhubs.Dial(ctx, eventhubs.WithDialTimeouts(at(ln.Addr().String(), webSockets), 0, time.Hour))
				ended <- err
			}()
			nc, err := ln.Accept()
			require.NoError(t, err)
			defer nc.Close()
			_, err = nc.Read(make([]byte, 1))
			require.NoError(t, err) // the client waits for an answer now
			cancel(errors.New("no more"))
			require.ErrorIs(t, take(t, ended), context.Canceled)
			_, err = io.Copy(io.Discard, nc)
			require.NoError(t, err, "the socket is closed")
		})
	}
}
