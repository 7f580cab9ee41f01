package checkpoint_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/checkpoint"
	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

// The names that the tests use, and what the blobs must then be called: written out, because other SDKs depend on it.
const (
	ns    = "Contoso.servicebus.windows.net"
	hub   = "Orders"
	group = "$Default"

	lowerCheckpoint = "contoso.servicebus.windows.net/orders/$default/checkpoint/"
	lowerOwnership  = "contoso.servicebus.windows.net/orders/$default/ownership/"
	exactCheckpoint = "Contoso.servicebus.windows.net/Orders/$Default/checkpoint/"
	exactOwnership  = "Contoso.servicebus.windows.net/Orders/$Default/ownership/"
)

// server is a storage account behind a socket, with a container "chk", that keeps a record of what it is asked.
type server struct {
	*blob.Account
	url  string
	http *http.Client

	mu       sync.Mutex
	requests []request
	flying   int
	most     int // requests at once
}

type request struct {
	method   string
	path     string
	sequence string // x-ms-meta-sequencenumber
	status   int
}

func (r request) write() bool { return r.method == http.MethodPut }

func startServer(t *testing.T) *server {
	t.Helper()
	account, err := blob.New(blob.Options{})
	require.NoError(t, err)
	require.NoError(t, account.CreateContainer("chk"))
	s := &server{Account: account, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	listener := httptest.NewServer(s)
	s.url = listener.URL
	t.Cleanup(func() {
		account.Close()
		listener.Close()
		s.http.CloseIdleConnections()
	})
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.flying++
	s.most = max(s.most, s.flying)
	s.mu.Unlock()
	status := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	s.Account.ServeHTTP(status, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying--
	s.requests = append(s.requests, request{
		method: r.Method, path: r.URL.Path, sequence: r.Header.Get("x-ms-meta-sequencenumber"), status: status.status,
	})
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// take is what was asked since it was last called.
func (s *server) take() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.requests
	s.requests = nil
	return out
}

// open makes a store that doesn't retry.
func (s *server) open(t *testing.T, opts checkpoint.BlobOptions) *checkpoint.BlobStore {
	t.Helper()
	return s.openOver(t, s.http, opts)
}

// openOver is open, over a transport of the test's own.
func (s *server) openOver(
	t *testing.T, transport policy.Transporter, opts checkpoint.BlobOptions,
) *checkpoint.BlobStore {
	t.Helper()
	key, err := container.NewSharedKeyCredential(blob.DevelopmentAccount, blob.DevelopmentKey)
	require.NoError(t, err)
	address := s.url + "/" + blob.DevelopmentAccount + "/chk"
	client, err := container.NewClientWithSharedKeyCredential(address, key, &container.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: transport, Retry: policy.RetryOptions{MaxRetries: -1}},
	})
	require.NoError(t, err)
	opts.Name, opts.Auth = "chk", checkpoint.AuthKey
	return checkpoint.NewBlobStore(client, opts)
}

func (s *server) put(t *testing.T, name string, metadata map[string]string) {
	t.Helper()
	require.NoError(t, s.Put("chk", name, nil, metadata))
}

func (s *server) metadata(t *testing.T, name string) map[string]string {
	t.Helper()
	b, ok := s.Get("chk", name)
	require.True(t, ok, "no blob %s", name)
	require.Empty(t, b.Content)
	return b.Metadata
}

func at(sequence int64) map[string]string {
	return map[string]string{
		"sequencenumber": strconv.FormatInt(sequence, 10), "offset": strconv.FormatInt(sequence*10, 10),
	}
}

func point(partition string, sequence int64) azeventhubs.Checkpoint {
	offset := strconv.FormatInt(sequence*10, 10)
	return azeventhubs.Checkpoint{
		FullyQualifiedNamespace: ns, EventHubName: hub, ConsumerGroup: group,
		PartitionID: partition, SequenceNumber: &sequence, Offset: &offset,
	}
}

func owned(partition, owner string) azeventhubs.Ownership {
	return azeventhubs.Ownership{
		FullyQualifiedNamespace: ns, EventHubName: hub, ConsumerGroup: group, PartitionID: partition, OwnerID: owner,
	}
}

// listed is what a store lists, as text: "partition@sequence/offset".
func listed(t *testing.T, s *checkpoint.BlobStore) []string {
	t.Helper()
	list, err := s.ListCheckpoints(t.Context(), ns, hub, group, nil)
	require.NoError(t, err)
	var out []string
	for _, c := range list {
		require.Equal(t, []string{ns, hub, group}, []string{c.FullyQualifiedNamespace, c.EventHubName, c.ConsumerGroup})
		text := c.PartitionID + "@"
		if c.SequenceNumber != nil {
			text += strconv.FormatInt(*c.SequenceNumber, 10)
		}
		if text += "/"; c.Offset != nil {
			text += *c.Offset
		}
		out = append(out, text)
	}
	return out
}

// logs collects what a store logs.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// take is what was logged since it was last called: level and blob.
func (l *logs) take(t *testing.T) []string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for line := range strings.Lines(l.buf.String()) {
		var record struct{ Level, Blob string }
		require.NoError(t, json.Unmarshal([]byte(line), &record))
		out = append(out, record.Level+" "+record.Blob)
	}
	l.buf.Reset()
	return out
}

// requireNoGoroutines waits until none is left that a store has started.
func requireNoGoroutines(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		buf := make([]byte, 1<<20)
		stacks := string(buf[:runtime.Stack(buf, true)])
		return !strings.Contains(stacks, "created by github.com/go-eventhubs/eventhubs/internal/checkpoint.")
	}, 5*time.Second, 5*time.Millisecond, "a goroutine is left")
}
