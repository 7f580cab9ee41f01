package dial_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/dial"
)

// childEnv has a process connect to what childTo names, and begin AMQP: over WebSockets if it is "yes". net/http looks
// at the environment for a proxy once in a process, so each test needs its own.
const (
	childEnv = "DIAL_TEST_WEBSOCKETS"
	childTo  = "DIAL_TEST_NAMESPACE"
	emulated = "DIAL_TEST_EMULATOR" // is set for an emulator
)

func beChild() int {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d := dial.New(dial.Options{
		Namespace: os.Getenv(childTo), WebSockets: os.Getenv(childEnv) == "yes", Plaintext: os.Getenv(emulated) != "",
	})
	nc, err := d.Dial(ctx, azeventhubs.WebSocketConnParams{})
	if err != nil {
		fmt.Println(d.Advice(err.Error()))
		fmt.Println(err)
		return 1
	}
	defer nc.Close()
	answer := make([]byte, len(header))
	if _, err = nc.Write([]byte(header)); err == nil {
		_, err = io.ReadFull(nc, answer)
	}
	fmt.Println(string(answer), err)
	return 0
}

// patience is how long a test waits for what has to happen. It passes only when something is wrong.
const patience = 20 * time.Second

// The user and password of a proxy in tests. They are escaped in its URL, and no output may have them in it.
const (
	proxyUser     = "proxy-user"
	proxyPassword = "pass@word/of:proxy"
	proxyInfo     = "proxy-user:pass%40word%2Fof%3Aproxy@"
)

// proxy is an HTTP proxy that takes CONNECT, and leads to one address whatever it is asked for.
type proxy struct {
	*httptest.Server
	to     string
	status int // of its answer; 0: it does what it is asked for

	mu    sync.Mutex
	asked []string
}

func newProxy(t *testing.T, to string, status int, start func(*httptest.Server)) *proxy {
	t.Helper()
	p := &proxy{to: to, status: status}
	p.Server = httptest.NewUnstartedServer(p)
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	start(p.Server)
	t.Cleanup(p.Close)
	return p
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.Host)
	p.mu.Unlock()
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(proxyUser+":"+proxyPassword))
	switch {
	case r.Header.Get("Proxy-Authorization") != want:
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	case p.status != 0:
		w.WriteHeader(p.status)
		return
	}
	out, err := net.Dial("tcp", p.to)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer out.Close()
	w.WriteHeader(http.StatusOK)
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer nc.Close()
	join(rw, nc, out)
}

func (p *proxy) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// connectIn has a process of its own connect, with these variables in its environment, and returns what it has printed.
func connectIn(t *testing.T, variables ...string) string {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), program)
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); !strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(append(cmd.Env, childEnv+"=yes"), variables...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		var failed *exec.ExitError
		require.ErrorAs(t, err, &failed)
	}
	basic := base64.StdEncoding.EncodeToString([]byte(proxyUser + ":" + proxyPassword))
	for _, secret := range []string{proxyPassword, proxyInfo, "pass%40word", basic} {
		require.NotContains(t, string(out), secret)
	}
	return string(out)
}

func TestProxy(t *testing.T) {
	srv := eventhubstest.Start(t, &eventhubstest.Options{TLS: true})
	p, err := azeventhubs.ParseConnectionString(srv.ConnectionString("hub"))
	require.NoError(t, err)
	to := p.FullyQualifiedNamespace
	plain := func(s *httptest.Server) { s.Start() }
	const target = namespace + ":443"
	asked := "CONNECT " + target
	dialled := func(p *proxy) string {
		return "dial " + target + " over WebSockets through the proxy " + p.Listener.Addr().String() + ": "
	}
	overTLS := newProxy(t, to, 0, func(s *httptest.Server) { s.StartTLS() })
	trusted := filepath.Join(t.TempDir(), "ca.pem")
	cas := append(srv.CA(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: overTLS.Certificate().Raw})...)
	require.NoError(t, os.WriteFile(trusted, cas, 0o600))
	run := func(t *testing.T, variables ...string) string {
		return connectIn(t, append([]string{"SSL_CERT_FILE=" + trusted, childTo + "=" + namespace}, variables...)...)
	}
	through := func(p *proxy) string { return "HTTPS_PROXY=http://" + proxyInfo + p.Listener.Addr().String() }

	t.Run("it lets through", func(t *testing.T) {
		p := newProxy(t, to, 0, plain)
		require.Contains(t, run(t, through(p)), header+" <nil>\n")
		require.Equal(t, []string{asked}, p.requests())
	})
	t.Run("itself over TLS", func(t *testing.T) {
		require.Contains(t, run(t, "https_proxy=https://"+proxyInfo+overTLS.Listener.Addr().String()), header+" <nil>\n")
		require.Equal(t, []string{asked}, overTLS.requests())
	})
	t.Run("SOCKS", func(t *testing.T) {
		p := newSOCKS(t, to)
		require.Contains(t, run(t, "HTTPS_PROXY=socks5://"+p.Addr().String()), header+" <nil>\n")
		require.Equal(t, []string{target}, p.requests())
	})
	t.Run("it is not for plain TCP", func(t *testing.T) {
		p := newProxy(t, to, 0, plain)
		const invalid = childTo + "=nowhere.invalid"
		require.Contains(t, run(t, through(p), invalid, childEnv+"=no"), "dial nowhere.invalid:5671 over TLS: ")
		require.Empty(t, p.requests())
	})
	t.Run("it is not for an emulator", func(t *testing.T) {
		p := newProxy(t, to, 0, plain)
		emulator := []string{childTo + "=emulator.invalid", emulated + "=yes"}
		out := run(t, append(emulator, through(p), "HTTP_PROXY=http://"+p.Listener.Addr().String())...)
		require.Contains(t, out, "dial emulator.invalid:5672 over WebSockets without TLS: ")
		require.Empty(t, p.requests())
	})
	t.Run("NO_PROXY", func(t *testing.T) {
		p := newProxy(t, to, 0, plain)
		const invalid = childTo + "=nowhere.invalid"
		out := run(t, through(p), invalid, "NO_PROXY=.invalid")
		require.Contains(t, out, "the name does not resolve: check the namespace nowhere.invalid")
		require.Empty(t, p.requests())
		out = run(t, through(p), invalid, "NO_PROXY=.example.com")
		require.Contains(t, out, "the server's certificate is not trusted")
		require.Contains(t, p.requests(), "CONNECT nowhere.invalid:443")
	})
	t.Run("it wants another password", func(t *testing.T) {
		p := newProxy(t, to, 0, plain)
		out := run(t, "HTTPS_PROXY=http://"+strings.ToUpper(proxyInfo)+p.Listener.Addr().String())
		require.Contains(t, out, "the proxy wants to know who is asking: give user and password in HTTPS_PROXY")
		require.Contains(t, out, dialled(p)+"the proxy refused to connect: 407 Proxy Authentication Required")
		require.NotContains(t, out, strings.ToUpper(proxyUser))
	})
	t.Run("it refuses", func(t *testing.T) {
		p := newProxy(t, to, http.StatusForbidden, plain)
		out := run(t, through(p))
		require.Contains(t, out, "the proxy doesn't let this through: have it allow CONNECT to "+target+
			", or name "+namespace+" in NO_PROXY")
		require.Contains(t, out, dialled(p)+"the proxy refused to connect: 403 Forbidden")
	})
	t.Run("it isn't there", func(t *testing.T) {
		p := newProxy(t, to, 0, plain)
		p.Close()
		out := run(t, through(p))
		require.Contains(t, out, "check HTTPS_PROXY; to go without the proxy, name "+namespace+" in NO_PROXY")
		require.Contains(t, out, dialled(p)+"the proxy can't be reached: dial tcp "+p.Listener.Addr().String()+
			": connect: connection refused")
	})
	t.Run("it is not trusted", func(t *testing.T) {
		p := newProxy(t, to, 0, func(s *httptest.Server) { s.StartTLS() })
		address := p.Listener.Addr().String()
		out := run(t, "HTTPS_PROXY=https://"+proxyInfo+address, "SSL_CERT_FILE="+os.DevNull)
		require.Contains(t, out, "check HTTPS_PROXY; ")
		require.Contains(t, out, "the proxy can't be reached: tls: failed to verify certificate")
	})
	for name, variable := range map[string]string{
		"slash in secret":  "http://" + proxyUser + ":1234/secret@127.0.0.1:3128",
		"unknown protocol": "ftp://" + proxyUser + ":secret@127.0.0.1:3128",
	} {
		t.Run("malformed: "+name, func(t *testing.T) {
			out := run(t, "HTTPS_PROXY="+variable)
			require.Contains(t, out, "write HTTPS_PROXY like http://user:password@proxy.example.com:3128")
			for _, part := range []string{"secret", "1234", proxyUser} {
				require.NotContains(t, out, part)
			}
		})
	}
}

// socks is a SOCKS5 proxy that leads to one address whatever it is asked for.
type socks struct {
	net.Listener
	to string

	mu    sync.Mutex
	asked []string
}

func newSOCKS(t *testing.T, to string) *socks {
	t.Helper()
	p := &socks{to: to}
	p.Listener = listening(t, p.serve)
	return p
}

// serve takes a client without a password, and its request for a host name (RFC 1928).
func (p *socks) serve(nc net.Conn) {
	defer nc.Close()
	in := bufio.NewReader(nc)
	take := func(n int) []byte {
		b := make([]byte, n)
		_, _ = io.ReadFull(in, b)
		return b
	}
	take(int(take(2)[1]))
	_, _ = nc.Write([]byte{5, 0})
	host := take(int(take(5)[4]))
	port := take(2)
	p.mu.Lock()
	p.asked = append(p.asked, fmt.Sprintf("%s:%d", host, int(port[0])<<8|int(port[1])))
	p.mu.Unlock()
	_, _ = nc.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	out, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer out.Close()
	join(in, nc, out)
}

func (p *socks) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// listening serves each connection that is made to a listener of the test's.
func listening(t *testing.T, serve func(net.Conn)) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { serve(nc) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		serving.Wait()
	})
	return ln
}

// join copies between two connections until one of them ends. in is what is read from the first.
func join(in io.Reader, a, b net.Conn) {
	var copying sync.WaitGroup
	copying.Go(func() {
		defer b.Close()
		_, _ = io.Copy(b, in)
	})
	_, _ = io.Copy(a, b)
	a.Close()
	copying.Wait()
}
