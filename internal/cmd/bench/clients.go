package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-eventhubs/eventhubs"
)

// Microsoft's clients for Python and JavaScript do the same work against the same server, each in a process of its own.
// They are installed at the versions that make interop locks. Their programs are in testdata/interop: bench.py and
// bench.mjs.

const (
	clientFolders = "testdata/interop"
	clientEvents  = 20_000
	clientSize    = 1 << 10
	clientRounds  = 3
	// installTime and clientTime bound the installation of a client and one round of it.
	installTime, clientTime = 10 * time.Minute, 2 * time.Minute
)

// errLeftOut marks an error that says why a row can't be measured on this machine.
var errLeftOut = errors.New("left out")

func clientRows() (rows []row) {
	for _, c := range []*foreignClient{
		{name: "Python", folder: "python", needs: []string{"python3"}, least: 10},
		{name: "JavaScript", folder: "js", needs: []string{"node", "npm"}, least: 5},
	} {
		rows = append(rows,
			row{
				name:   fmt.Sprintf("bulk Send, %s, 4 partitions (sdk: Microsoft's %s client)", sizeName(clientSize), c.name),
				rounds: clientRounds, target: target{kind: atLeast, value: c.least, unit: perSecond}, setup: c.setupSend,
			},
			row{
				name:   fmt.Sprintf("Receive, %s, 4 partitions (sdk: Microsoft's %s client)", sizeName(clientSize), c.name),
				rounds: clientRounds, target: target{kind: atLeast, value: c.least, unit: perSecond}, setup: c.setupReceive,
			})
	}
	return rows
}

// foreignClient is a client of another language.
type foreignClient struct {
	name, folder string
	needs        []string
	least        float64 // the ratio that ours must reach
	installed    bool
}

func (c *foreignClient) setupSend(ctx context.Context) (s sides, cleanup func(), err error) {
	if err := c.install(ctx); err != nil {
		return s, nil, err
	}
	srv, err := newServer(0, 4)
	if err != nil {
		return s, nil, err
	}
	producer, err := eventhubs.NewProducer(srv.Config(hub), nil)
	if err != nil {
		return s, srv.Close, err
	}
	events := make([]eventhubs.Event, clientEvents)
	for i := range events {
		events[i].Body = make([]byte, clientSize)
	}
	s.ours = rate(1, clientEvents, func(ctx context.Context, _ int) error { return producer.Send(ctx, events...) })
	s.sdk = c.run("send", srv.ConnectionString(hub))
	return s, func() { _ = producer.Close(ctx); srv.Close() }, producer.Send(ctx, events[0])
}

func (c *foreignClient) setupReceive(ctx context.Context) (s sides, cleanup func(), err error) {
	if err := c.install(ctx); err != nil {
		return s, nil, err
	}
	b := backlog{partitions: 4, each: clientEvents / 4, size: clientSize}
	srv, err := b.serve()
	if err != nil {
		return s, nil, err
	}
	return sides{ours: throughput(b, srv, receiveOurs), sdk: c.run("receive", srv.ConnectionString(hub))}, srv.Close, nil
}

// install installs the client once. If a program that the client needs is missing, or the installation fails, the error
// wraps errLeftOut.
func (c *foreignClient) install(ctx context.Context) error {
	for _, program := range c.needs {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: %s is not installed", errLeftOut, program)
		}
	}
	if c.installed {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, installTime)
	defer cancel()
	if _, err := c.script(ctx, "install"); err != nil {
		return fmt.Errorf("%w: %w", errLeftOut, err)
	}
	c.installed = true
	return nil
}

// run returns a function that does the work once and returns the events per second that the client reports.
func (c *foreignClient) run(work, connection string) func(context.Context) (float64, error) {
	return func(ctx context.Context) (float64, error) {
		ctx, cancel := context.WithTimeout(ctx, clientTime)
		defer cancel()
		said, err := c.script(ctx, "bench", work, connection, hub, strconv.Itoa(clientEvents), strconv.Itoa(clientSize))
		if err != nil {
			return 0, err
		}
		return strconv.ParseFloat(strings.TrimSpace(said), 64)
	}
}

// script runs the client's script and returns what it prints.
func (c *foreignClient) script(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "sh", append([]string{"run.sh"}, args...)...)
	cmd.Dir = filepath.Join(clientFolders, c.folder)
	var out, log strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", cmd.Dir, args[0], err, lastLine(log.String()))
	}
	return out.String(), nil
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
