package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	driverFolders = "testdata/interop"
	runScript     = "run.sh"
	// installTime and greetTime are how long the installation of a client and the start of its driver may take.
	installTime = 10 * time.Minute
	greetTime   = time.Minute
)

// column is a client, shown as a column of the table.
type column struct {
	name string
	// needs are the programs that the driver needs. It is empty for a client that is part of this program.
	needs []string
	open  func() client // nil for drivers

	skip    string // why it is left out
	hello   hello
	clients map[variant]client
}

func columns() []*column {
	return []*column{
		{name: "ours", open: func() client { return newOurs() }},
		{name: "go", open: func() client { return newGoSDK() }},
		{name: "python", needs: []string{"python3"}},
		{name: "js", needs: []string{"node", "npm"}},
		{name: "java", needs: []string{"java", "mvn"}},
	}
}

// start installs a client and starts it for both transports. If that fails, the column is skipped, and the error is the
// reason.
func (c *column) start(ctx context.Context, folder, ca string) {
	c.clients = map[variant]client{}
	if err := c.tryStart(ctx, folder, ca); err != nil {
		c.skip = err.Error()
		c.close()
	}
}

func (c *column) tryStart(ctx context.Context, folder, ca string) error {
	source := filepath.Join(driverFolders, c.name)
	if c.open == nil {
		if err := c.install(ctx, source); err != nil {
			return err
		}
	}
	for _, transport := range transports {
		if c.open != nil {
			c.clients[transport] = c.open()
			continue
		}
		var env []string
		if transport == overTLS {
			env = []string{"INTEROP_CA=" + ca}
		}
		d, err := startDriver(c.name, source, filepath.Join(folder, c.name+"-"+string(transport)+".log"), env...)
		if err != nil {
			return err
		}
		c.clients[transport] = d
	}
	ctx, cancel := context.WithTimeout(ctx, greetTime)
	defer cancel()
	for _, cl := range c.clients {
		var err error
		if c.hello, err = cl.hello(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *column) install(ctx context.Context, source string) error {
	for _, program := range c.needs {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not installed", program)
		}
	}
	if _, err := os.Stat(filepath.Join(source, runScript)); err != nil {
		return fmt.Errorf("there is no driver for it in %s", source)
	}
	return install(ctx, source, "./"+runScript, "install")
}

// install runs a program that installs, or builds, what is locked in a folder. An error ends with the program's last
// output.
func install(ctx context.Context, folder, program string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, installTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = folder
	ownGroup(cmd)
	cmd.Cancel = func() error { return killGroup(cmd) }
	cmd.WaitDelay = partingTime
	var log tail
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("install what is locked in %s: %w: %s", folder, err, strings.TrimSpace(log.String()))
	}
	return nil
}

// client returns the client for a variant. Only overTLS uses TLS; the variants that differ by account are plaintext.
func (c *column) client(v variant) client {
	if v == overTLS {
		return c.clients[overTLS]
	}
	return c.clients[plain]
}

func (c *column) close() {
	for _, cl := range c.clients {
		cl.close()
	}
}
