//go:build unix

package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func shell(t *testing.T, script string) (*program, context.Context) {
	t.Helper()
	// A shell can't trap a signal that its parent ignores, and programs in the background ignore interrupts. So catch
	// them.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, os.Interrupt)
	t.Cleanup(func() { signal.Stop(caught) })
	p, err := startProgram("program", variables("GREETING=hello"), "sh", "-c", script)
	require.NoError(t, err)
	t.Cleanup(p.close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return p, ctx
}

func TestProgramPrints(t *testing.T) {
	p, ctx := shell(t, `echo "$GREETING"; echo more`)
	line, ok, err := p.line(ctx)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "hello", line)
	lines, err := p.rest(ctx, false)
	require.NoError(t, err)
	require.Equal(t, []string{"more"}, lines)
}

func TestProgramThatFailsSaysWhy(t *testing.T) {
	p, ctx := shell(t, `echo out; echo why >&2; exit 3`)
	lines, err := p.rest(ctx, false)
	require.ErrorContains(t, err, "exit status 3: why")
	require.Equal(t, []string{"out"}, lines)
}

func TestProgramEndsWithAnInterrupt(t *testing.T) {
	p, ctx := shell(t, `trap 'echo bye; exit 130' INT; echo ready; while :; do sleep 0.1; done`)
	line, _, err := p.line(ctx)
	require.NoError(t, err)
	require.Equal(t, "ready", line)
	lines, err := p.rest(ctx, true)
	require.NoError(t, err)
	require.Equal(t, []string{"bye"}, lines)
}

func TestProgramIsKilledWithItsChildren(t *testing.T) {
	p, ctx := shell(t, `trap '' INT; sleep 1000 & echo ready; wait`)
	_, _, err := p.line(ctx)
	require.NoError(t, err)
	p.close()
	require.Error(t, p.err)
	p.close() // a second time does nothing
}

func TestVariablesLeaveOutWhatPointsElsewhere(t *testing.T) {
	t.Setenv("AZURE_CLIENT_ID", "somebody")
	t.Setenv("EVENT_HUB_NAME", "another")
	env := strings.Join(variables("EVENT_HUB_NAME=mine"), "\n")
	require.NotContains(t, env, "somebody")
	require.NotContains(t, env, "another")
	require.Contains(t, env, "EVENT_HUB_NAME=mine")
	require.Contains(t, env, "PATH=")
}
