// Package examples_test runs the examples as processes, against a namespace of the test.
package examples_test

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// TestExamples builds them once.
func TestExamples(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process can't be sent a signal there")
	}
	bin := build(t)
	for name, test := range map[string]func(t *testing.T, path string, srv *eventhubstest.Server){
		"send": send, "recv": recv, "batch": batch, "deadletter": deadLetter, "service": service, "emulator": emulator,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := eventhubstest.Start(t, &eventhubstest.Options{Hubs: []eventhubstest.Hub{
				{Name: "orders", Partitions: 1}, {Name: "dead-letters", Partitions: 1},
			}})
			test(t, filepath.Join(bin, name), srv)
			if name == "send" || name == "emulator" {
				return
			}
			// The variables that ConfigFromEnv's comment names are read.
			env := append(
				srv.Env("orders"), "HTTP_ADDRESS=127.0.0.1:0", "EVENT_HUB_CONSUMER_GROUP=nowhere\n", "INSTANCE_ID=pod-1",
			)
			program := start(t, filepath.Join(bin, name), env)
			program.fails("receive orders/nowhere")
			require.Contains(t, program.log.String(), "owner=pod-1")
		})
	}
}

func send(t *testing.T, path string, srv *eventhubstest.Server) {
	require.Equal(t, []string{"Sent 3 events"}, start(t, path, srv.Env("orders")).exit())
	require.Equal(t, []string{"First event", "Second event", "Third event"}, bodies(srv, "orders"))
}

func recv(t *testing.T, path string, srv *eventhubstest.Server) {
	for _, text := range []string{"before the restart", "after the restart"} {
		publish(t, srv, eventhubs.Event{Body: []byte(text)})
		p := start(t, path, srv.Env("orders"))
		require.Contains(t, p.line("Received"), fmt.Sprintf("Received event %q from partition 0", text))
		require.Empty(t, p.end(syscall.SIGINT))
	}
}

func batch(t *testing.T, path string, srv *eventhubstest.Server) {
	publish(t, srv, make([]eventhubs.Event, 1200)...)
	p := start(t, path, srv.Env("orders"))
	var writes int
	for next := 0; next < 1200; writes++ {
		var rows, first, last int
		_, err := fmt.Sscanf(p.line("Wrote"), "Wrote %d rows of partition 0, sequence numbers %d to %d", &rows, &first, &last)
		require.NoError(t, err)
		require.Equal(t, next, first)
		require.Equal(t, last-first+1, rows)
		require.LessOrEqual(t, rows, 500)
		next = last + 1
	}
	require.Less(t, writes, 600, "they are written in bulk")
	require.Empty(t, p.end(syscall.SIGTERM))
}

func deadLetter(t *testing.T, path string, srv *eventhubstest.Server) {
	publish(t, srv,
		eventhubs.Event{Body: []byte(`{"ID": 1, "Amount": 10}`), PartitionKey: "device-7"},
		eventhubs.Event{Body: []byte(`{"ID": `), PartitionKey: "device-7", Properties: map[string]any{"kind": "order"}},
		eventhubs.Event{Body: []byte(`{"ID": 2, "Amount": 20}`), PartitionKey: "device-7"})
	p := start(t, path, srv.Env("orders"))
	require.Equal(t, "Order 1: 10 units", p.line("Order"))
	require.Equal(t, "Order 2: 20 units", p.line("Order"))
	require.Empty(t, p.end(syscall.SIGTERM))
	letters := srv.AllEvents("dead-letters")
	require.Len(t, letters, 1)
	require.Equal(t, `{"ID": `, string(letters[0].Body))
	require.Equal(t, "device-7", letters[0].PartitionKey)
	require.Equal(t, "order", letters[0].Properties["kind"])
	require.Equal(t, "unexpected end of JSON input", letters[0].Properties["dead_letter_reason"])
	require.Equal(t, "0", letters[0].Properties["dead_letter_partition"])
	require.EqualValues(t, 1, letters[0].Properties["dead_letter_sequence_number"])
}

// service is told to end while a request waits for the event hub's answer: the request is answered, and what was
// handled is not handled again.
func service(t *testing.T, path string, srv *eventhubstest.Server) {
	env := append(srv.Env("orders"), "HTTP_ADDRESS=127.0.0.1:0", "UNHEALTHY_AFTER=100ms")
	p := start(t, path, env)
	address := strings.TrimPrefix(p.line("Listening on "), "Listening on ")
	require.Equal(t, http.StatusAccepted, call(t, http.MethodPost, address+"/events?key=7", "first"))
	require.Equal(t, "Handled first from partition 0", p.line("Handled"))
	require.Contains(t, get(t, address+"/status"), `"partition_id":"0"`)
	require.Equal(t, http.StatusOK, call(t, http.MethodGet, address+"/healthz", ""))
	heal := srv.Fault(eventhubstest.Fault{
		On: eventhubstest.OnAttach, Link: eventhubstest.ReaderLink, Condition: "com.microsoft:server-busy",
	})
	srv.DropConnections()
	untilHealth(t, address, http.StatusServiceUnavailable)
	require.Contains(t, get(t, address+"/healthz"), "partition 0 can't be read")
	heal()
	require.Equal(
		t, http.StatusRequestEntityTooLarge, call(t, http.MethodPost, address+"/events", strings.Repeat("x", 1<<20)),
	)

	// stored at once, and acknowledged late
	srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, Delay: 500 * time.Millisecond})
	answered := make(chan int, 1)
	go func() { answered <- call(t, http.MethodPost, address+"/events", "second") }()
	require.Equal(t, "Handled second from partition 0", p.line("Handled"))
	require.Empty(t, p.end(syscall.SIGTERM))
	require.Equal(t, http.StatusAccepted, <-answered)
	require.Equal(t, "7", srv.Events("orders", "0")[0].PartitionKey)

	publish(t, srv, eventhubs.Event{Body: []byte("third")})
	p = start(t, path, env)
	require.Equal(t, "Handled third from partition 0", p.line("Handled"))
	require.Empty(t, p.end(syscall.SIGTERM))
}

// untilHealth waits for an answer of /healthz.
func untilHealth(t *testing.T, address string, status int) {
	t.Helper()
	require.Eventually(t, func() bool { return call(t, http.MethodGet, address+"/healthz", "") == status },
		patience, 10*time.Millisecond)
}

// emulator prints the environment in which the other programs find it: with a connection string, and without a password
// over TLS, whose CA they trust. It prints the connection strings of more policies.
func emulator(t *testing.T, path string, _ *eventhubstest.Server) {
	emulatorFlags(t, path)
	env := emulated(t, path, nil)
	require.Len(t, env, 4)
	policies := map[string]string{}
	emulated(t, path, policies, "-rules", "sender:Send,both:Send+Listen")
	require.Len(t, policies, 2)
	require.Contains(t, policies["sender"], "SharedAccessKeyName=sender;")
	require.Contains(t, policies["both"], "SharedAccessKeyName=both;")
	if runtime.GOOS == "linux" { // where Go reads SSL_CERT_FILE
		env = emulated(t, path, nil, "-passwordless", "-amqp", "127.0.0.1:0,127.0.0.1:0")
		require.Contains(t, strings.Join(env, "\n"), "NODE_EXTRA_CA_CERTS=/")
		require.NotContains(t, strings.Join(env, "\n"), "CONNECTION_STRING")
	}
}

// emulatorFlags are refused if they are wrong, and their values are quoted for the shell.
func emulatorFlags(t *testing.T, path string) {
	free := []string{"-amqp", "127.0.0.1:0", "-blob", "127.0.0.1:0"}
	for _, c := range []struct {
		want  string
		flags []string
	}{
		{"\"now\" is not a flag", []string{"now"}},
		{"-ca: there is a CA only with -tls", []string{"-ca", "ca.pem"}},
		{"an address is empty", []string{"-amqp", "127.0.0.1:0,"}},
		{`"x" does not say what it allows`, []string{"-rules", "x"}},
		{`the right ""`, []string{"-rules", "x:Send+"}},
		{"-ca: write the CA's certificate: open nowhere/ca.pem", []string{"-tls", "-ca", "nowhere/ca.pem"}},
	} {
		start(t, path, nil, append(slices.Clone(free), c.flags...)...).fails(c.want)
	}
	start(t, path, []string{"TMPDIR=/nowhere"}, append(slices.Clone(free), "-tls")...).fails("TMPDIR says where")
	p := start(t, path, nil, append(free, "-hubs", "it's:1, b:1", "-groups", "a, b", "-rules", "x: Send + Listen")...)
	require.Equal(t, `export EVENT_HUB_NAME='it'\''s'`, p.line("export EVENT_HUB_NAME"))
	p.line("# The emulator is ready")
	require.Empty(t, p.end(syscall.SIGINT))
}

// emulated starts the emulator, tries it with other programs, and ends it. It returns the environment that was printed,
// and adds the connection strings of policies.
func emulated(t *testing.T, path string, policies map[string]string, flags ...string) (env []string) {
	p := start(t, path, nil, append([]string{
		"-hubs", "orders:2,dead-letters:1", "-amqp", "127.0.0.1:0", "-blob", "127.0.0.1:0"}, flags...)...)
	for !strings.HasPrefix(last(env), "# The emulator is ready") {
		line := p.line("")
		if name, connection, ok := strings.Cut(strings.TrimPrefix(line, "# With "), ": "); ok {
			policies[name] = connection
			continue
		}
		name, value, _ := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		env = append(env, name+"="+strings.Trim(value, "'"))
	}
	env = env[:len(env)-1]
	require.Equal(t, []string{"Sent 3 events"}, start(t, filepath.Join(filepath.Dir(path), "send"), env).exit())
	receiver := start(t, filepath.Join(filepath.Dir(path), "recv"), env)
	for range 3 {
		receiver.line("Received event")
	}
	require.Empty(t, receiver.end(syscall.SIGINT))
	require.Empty(t, p.end(syscall.SIGINT))
	for _, e := range env {
		if _, file, ok := strings.Cut(e, "SSL_CERT_FILE="); ok {
			require.NoFileExists(t, file)
		}
	}
	return env
}

// last is the last of some texts, or nothing.
func last(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return texts[len(texts)-1]
}

func publish(t *testing.T, srv *eventhubstest.Server, events ...eventhubs.Event) {
	t.Helper()
	p, err := eventhubs.NewProducer(srv.Config("orders"), nil)
	require.NoError(t, err)
	require.NoError(t, p.Send(t.Context(), events...))
	require.NoError(t, p.Close(t.Context()))
}

func bodies(srv *eventhubstest.Server, hub string) (out []string) {
	for _, e := range srv.AllEvents(hub) {
		out = append(out, string(e.Body))
	}
	return out
}

// get returns the body of an HTTP answer.
func get(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return string(body)
}

// call makes an HTTP request and returns the status of the answer, or 0 if there is none.
func call(t *testing.T, method, url, body string) int {
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		return 0
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Log(err)
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}
