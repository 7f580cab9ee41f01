package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/coder/websocket"

	"github.com/go-eventhubs/eventhubs/internal/wsconn"
)

const (
	webSocketPath     = "/$servicebus/websocket"
	webSocketProtocol = "amqp"
)

// proxyPorts are the ports of proxies whose address has none.
var proxyPorts = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}

// route is the way to the namespace: straight, or through a proxy.
type route struct {
	first string   // host:port of the first hop
	proxy *url.URL // nil: none
}

// route asks the environment for a proxy, as HTTPS_PROXY and NO_PROXY say. Only WebSockets go through one, and an
// emulator is never behind it.
func (d *Dialer) route() (route, error) {
	straight := route{first: d.address}
	if !d.options.WebSockets || d.options.Plaintext {
		return straight, nil
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: "https", Host: d.address}})
	if proxy == nil && err == nil {
		return straight, nil
	}
	// The reason would quote the variable, which may hold a password; so would the host of an address that a "/" in a
	// password has cut short. A variable that can't be parsed at all comes back as no proxy
	// (golang.org/x/net/http/httpproxy, Config.init).
	if err != nil || proxyPorts[proxy.Scheme] == "" || strings.Contains(proxy.Path+proxy.RawQuery+proxy.Fragment, "@") {
		return straight, errBadProxy
	}
	port := proxy.Port()
	if port == "" {
		port = proxyPorts[proxy.Scheme]
	}
	return route{net.JoinHostPort(proxy.Hostname(), port), proxy}, nil
}

// unreached is the error of a first hop that can't be reached.
func (r route) unreached(err error) error {
	if r.proxy != nil {
		return &proxyError{err: err}
	}
	return err
}

// upgrade makes a WebSocket over a socket to the first hop.
func (d *Dialer) upgrade(socket net.Conn, r route) (net.Conn, error) {
	scheme := "ws://"
	if d.tls != nil {
		scheme = "wss://"
	}
	transport := d.transport(socket, r)
	defer transport.CloseIdleConnections()
	// The dial watches its context by itself, so nothing of it is left in the connection, which outlives it.
	ws, answer, err := websocket.Dial(context.Background(), scheme+d.address+webSocketPath, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transport, CheckRedirect: noRedirect},
		Host:         d.options.Namespace,
		Subprotocols: []string{webSocketProtocol},
	})
	if err == nil {
		return wsconn.New(ws, socket), nil
	}
	if answer != nil && answer.StatusCode != http.StatusSwitchingProtocols {
		return nil, &upgradeError{answer.StatusCode}
	}
	var request *url.Error // says what was asked for, which the Error says as well
	if errors.As(err, &request) {
		err = request.Err
	}
	return nil, err
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// transport speaks HTTP over the socket, through the proxy if there is one.
func (d *Dialer) transport(socket net.Conn, r route) *http.Transport {
	// It is called once: there is one request, and redirects are not followed.
	dial := func(context.Context, string, string) (net.Conn, error) { return socket, nil }
	t := &http.Transport{DialContext: dial, TLSClientConfig: d.tls}
	if r.proxy == nil {
		return t
	}
	t.Proxy = http.ProxyURL(r.proxy)
	t.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
		if answer.StatusCode == http.StatusOK {
			return nil
		}
		return &proxyError{status: answer.StatusCode}
	}
	// For the TLS of a proxy itself: TLSClientConfig has the namespace's name in it. What follows on CONNECT doesn't come
	// here.
	t.DialTLSContext = func(context.Context, string, string) (net.Conn, error) {
		config := d.tls.Clone()
		config.ServerName = r.proxy.Hostname()
		secured := tls.Client(socket, config)
		if err := secured.Handshake(); err != nil {
			return nil, &proxyError{err: err}
		}
		return secured, nil
	}
	return t
}
