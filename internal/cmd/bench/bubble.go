package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
)

// bubbles are the measurements in virtual time. Only a test has virtual time (testing/synctest), so the program runs
// itself as one. Each function returns its figure as one line.
var bubbles = map[string]func(t *testing.T, args []string) string{
	storageCommand: storageBubble,
	hourCommand:    hourBubble,
}

// bubbleVariable is the environment variable that tells a child process what to measure: a command and its arguments.
const bubbleVariable = "BENCH_BUBBLE"

// bubbleMark starts the line with the figure.
const bubbleMark = "figure: "

// inBubble runs this program as a test, and returns its figure.
func inBubble(ctx context.Context, command string, args ...string) (line string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), bubbleVariable+"="+strings.Join(append([]string{command}, args...), " "))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	_, line, found := strings.Cut(string(out), bubbleMark)
	if !found {
		return "", errors.New("no figure in " + string(out))
	}
	line, _, _ = strings.Cut(line, "\n")
	return line, nil
}

// beBubble is what the child process runs. It does not return.
func beBubble(what string) {
	words := strings.Fields(what)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	test := testing.InternalTest{Name: words[0], F: func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { fmt.Println(bubbleMark + bubbles[words[0]](t, words[1:])) })
	}}
	matchAll := func(string, string) (bool, error) { return true, nil }
	testing.Main(matchAll, []testing.InternalTest{test}, nil, nil)
}
