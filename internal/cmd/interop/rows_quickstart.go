package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// tools is what rows share that start programs as users do.
type tools struct {
	programs string // the folder of the emulator and of our own quickstart programs
	drivers  string // the folder of the clients' programs; absolute
	// defaultPort holds a token while a row uses the clients' default ports. Only one row can use them at a time.
	defaultPort chan struct{}
}

// newTools compiles the programs that the rows need.
func newTools(ctx context.Context, folder string, rows []row) (*tools, error) {
	t := &tools{programs: filepath.Join(folder, "programs"), defaultPort: make(chan struct{}, 1)}
	var err error
	if t.drivers, err = filepath.Abs(driverFolders); err != nil {
		return nil, err
	}
	if err := os.Mkdir(t.programs, 0o700); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(rows, func(r row) bool { return r.programs }) {
		return t, nil
	}
	return t, t.build(ctx)
}

// build compiles the programs of this repository that rows start.
func (t *tools) build(ctx context.Context) error {
	err := install(ctx, ".", "go", "build", "-o", t.programs+string(os.PathSeparator),
		"./examples/emulator", "./examples/send", "./examples/recv")
	if err != nil {
		return err
	}
	// tracedriver is in a module of its own, because of its dependencies.
	return install(ctx, "eventhubsotel", "go", "build", "-o", t.programs+string(os.PathSeparator),
		"./internal/cmd/tracedriver")
}

// claimDefaultPort waits until no other row uses the clients' default ports. release gives them back.
func (t *tools) claimDefaultPort(ctx context.Context) (release func(), err error) {
	select {
	case t.defaultPort <- struct{}{}:
		return func() { <-t.defaultPort }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the default ports: %w", ctx.Err())
	}
}

// quickstarts are the clients whose programs follow Microsoft's quickstart, and the commands with which their users
// start them.
var quickstarts = map[string]struct{ send, receive string }{
	"python": {"python send.py", "python recv.py"},
	"js":     {"node send.mjs", "node receive.mjs"},
	"java":   {"java Sender", "java Receiver"},
}

// quickstartTime is how long a row may take that stops and resumes programs at their defaults, and waits for the
// default ports.
const quickstartTime = 6 * time.Minute

// firstTexts are what the quickstarts send by default.
var firstTexts = []string{"First event", "Second event", "Third event"}

// quickstartRow runs a client's quickstart in exactly the environment that the emulator prints: it is stopped and
// resumed, ours continues from its checkpoints, and it continues from ours.
func quickstartRow(ctx context.Context, s *scene) error {
	folder, err := os.MkdirTemp(s.tools.programs, "quickstart")
	if err != nil {
		return err
	}
	release, err := s.tools.claimDefaultPort(ctx)
	if err != nil {
		return err
	}
	defer release()
	e, err := s.startEmulator(ctx, folder, "-passwordless", "-hubs", "hub:1")
	if err != nil {
		return err
	}
	defer e.close()
	q := &quickstart{emulator: e, scene: s}
	q.say("$ go run ./examples/emulator -passwordless -hubs hub:1")
	for _, line := range e.printed {
		q.say("%s", withoutValue(line))
	}
	return q.story(ctx)
}

type quickstart struct {
	emulator *emulator
	scene    *scene
	sent     int64
}

func (q *quickstart) say(format string, args ...any) {
	q.scene.transcript = append(q.scene.transcript, fmt.Sprintf(format, args...))
}

// withoutValue leaves out the values that differ from run to run: files, ports and secrets.
func withoutValue(line string) string {
	m := exported.FindStringSubmatch(line)
	if m == nil || !slices.Contains([]string{"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "JAVA_TOOL_OPTIONS", "PYTHONPATH",
		"IDENTITY_ENDPOINT", "IDENTITY_HEADER"}, m[1]) {
		return line
	}
	return "export " + m[1] + "='…'"
}

func (q *quickstart) story(ctx context.Context) error {
	if err := q.sends(ctx); err != nil {
		return err
	}
	if err := q.receives(ctx, firstTexts...); err != nil {
		return fmt.Errorf("first: %w", err)
	}
	steps := []struct {
		what    string
		receive func(context.Context, ...string) error
		texts   []string
	}{
		{"resumed", q.receives, []string{"Fourth event", "Fifth event"}},
		{"ours, after it", q.oursReceives, []string{"Sixth event", "Seventh event"}},
		{"after ours", q.receives, []string{"Eighth event", "Ninth event"}},
	}
	for _, step := range steps {
		if err := q.sends(ctx, step.texts...); err != nil {
			return err
		}
		if err := step.receive(ctx, step.texts...); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

// sends runs the program that sends. With no texts the program sends firstTexts.
func (q *quickstart) sends(ctx context.Context, texts ...string) error {
	q.say("$ %s%s", quickstarts[q.scene.name].send, quotedAll(texts))
	p, err := q.emulator.run("send", q.scene.runScript(), append([]string{"quickstart", "send"}, texts...)...)
	if err != nil {
		return err
	}
	defer p.close()
	lines, err := p.rest(ctx, false)
	for _, line := range lines {
		q.say("%s", line)
	}
	if len(texts) == 0 {
		texts = firstTexts
	}
	q.sent += int64(len(texts))
	return err
}

func quotedAll(texts []string) (s string) {
	for _, t := range texts {
		s += ` "` + t + `"`
	}
	return s
}

func (s *scene) runScript() string {
	return filepath.Join(s.tools.drivers, s.name, runScript)
}

func (q *quickstart) receives(ctx context.Context, texts ...string) error {
	q.say("$ %s", quickstarts[q.scene.name].receive)
	p, err := q.emulator.run("receive", q.scene.runScript(), "quickstart", "receive")
	if err != nil {
		return err
	}
	return q.prints(ctx, p, texts)
}

func (q *quickstart) oursReceives(ctx context.Context, texts ...string) error {
	q.say("$ go run ./examples/recv")
	p, err := q.emulator.run("ours", filepath.Join(q.scene.tools.programs, "recv"))
	if err != nil {
		return err
	}
	return q.prints(ctx, p, texts)
}

// prints wants a program to print these events and no others. It stops the program when the last of them is
// checkpointed.
func (q *quickstart) prints(ctx context.Context, p *program, texts []string) error {
	defer p.close()
	var got []string
	for !slices.Contains(got, texts[len(texts)-1]) {
		line, ok, err := p.line(ctx)
		if err != nil {
			return fmt.Errorf("%w (received %q)", err, got)
		}
		if !ok {
			<-p.ended
			return fmt.Errorf("%s has ended (received %q): %s", p.name, got, p.log.String())
		}
		q.say("%s", line)
		if text, ok := eventOf(line); ok {
			got = append(got, text)
		}
	}
	err := want(ctx, "the last event is checkpointed", func() (bool, error) {
		last, err := q.emulator.checkpointed(ctx)
		return last == q.sent-1, err
	})
	q.say("^C")
	lines, stopErr := p.rest(ctx, true)
	for _, line := range lines {
		q.say("%s", line)
		if text, ok := eventOf(line); ok {
			got = append(got, text)
		}
	}
	if !slices.Equal(got, texts) {
		err = errors.Join(err, fmt.Errorf("received %q, want %q", got, texts))
	}
	return errors.Join(err, stopErr)
}

// printed is how the quickstarts, and ours, print an event.
var printed = regexp.MustCompile(`^Received (?:the )?event:? "(.*)" from (?:the )?partition`)

// eventOf is the event's text in a line. JavaScript's client sends a string as JSON, with its quotes.
func eventOf(line string) (string, bool) {
	m := printed.FindStringSubmatch(line)
	if m == nil {
		return "", false
	}
	return strings.Trim(strings.ReplaceAll(m[1], `\"`, `"`), `"`), true
}
