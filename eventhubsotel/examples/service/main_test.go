package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// What is posted is handled, and shows in the metrics. SIGTERM ends the program.
func TestService(t *testing.T) {
	srv := eventhubstest.Start(t, nil)
	program := filepath.Join(t.TempDir(), "service")
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	cmd := exec.Command(program)
	cmd.Env = append(append(os.Environ(), "HTTP_ADDRESS=127.0.0.1:0"), srv.Env("hub")...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill() }()
	line := make([]byte, 100)
	n, err := stdout.Read(line)
	require.NoError(t, err, "%s", &stderr)
	url := strings.TrimPrefix(strings.TrimSpace(string(line[:n])), "Listening on ")

	r, err := http.Post(url+"/events", "text/plain", strings.NewReader("x"))
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, r.StatusCode)
	r.Body.Close()
	require.Eventually(t, func() bool {
		text := get(t, url+"/metrics")
		return strings.Contains(text, "messaging_client_sent_messages_total{") &&
			strings.Contains(text, "messaging_client_consumed_messages_total{") &&
			strings.Contains(text, "eventhubs_consumer_partitions{")
	}, 30*time.Second, 20*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait(), "%s", &stderr)
	require.Contains(t, stderr.String(), `"msg":"handled"`)
}

func get(t *testing.T, url string) string {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(text)
}
