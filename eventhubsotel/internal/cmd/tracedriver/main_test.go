package main_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubsotel/internal/spanlines"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// TestRelay follows one trace from a sender, through a handler that sends the event on, to a last handler.
func TestRelay(t *testing.T) {
	t.Parallel()
	srv := eventhubstest.Start(t, &eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "in"}, {Name: "out"}}})
	program := filepath.Join(t.TempDir(), "tracedriver")
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	run := func(args ...string) (spans []spanlines.Span) {
		cmd := exec.Command(program, args...)
		cmd.Env = append(os.Environ(), srv.Env("in")...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		require.NoError(t, err, "%s", &stderr)
		for lines := json.NewDecoder(bytes.NewReader(out)); lines.More(); {
			var s spanlines.Span
			require.NoError(t, lines.Decode(&s))
			spans = append(spans, s)
		}
		return spans
	}
	sent := run("send", "x")
	require.Len(t, sent, 1)
	relayed := run("-to", "out", "handle")
	require.Len(t, relayed, 2)
	last := run("-hub", "out", "handle")
	require.Len(t, last, 1)
	linked := run("-link", "handle")
	require.Len(t, linked, 1)

	all := append(append(sent, relayed...), last...)
	names := []string{"send in", "send out", "process in", "process out"}
	for i, s := range all {
		require.Equal(t, names[i], s.Name)
		require.Equal(t, sent[0].TraceID, s.TraceID)
	}
	require.Equal(t, all[0].SpanID, all[2].ParentID)
	require.Equal(t, all[2].SpanID, all[1].ParentID)
	require.Equal(t, all[1].SpanID, all[3].ParentID)
	require.NotEqual(t, sent[0].TraceID, linked[0].TraceID)
	require.Equal(t, sent[0].SpanID, linked[0].Links[0].SpanID)
}
