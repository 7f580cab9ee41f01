package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// stopTime is how long a program may take to end after an interrupt, before it is killed.
const stopTime = 40 * time.Second

// program is a process that prints lines.
type program struct {
	name  string
	cmd   *exec.Cmd
	lines chan string   // of its standard output; closed when there are no more
	ended chan struct{} // closed when the process has ended; err is set then
	err   error
	log   tail // its standard error
}

// startProgram starts a process in a group of its own. close ends it.
func startProgram(name string, env []string, command string, args ...string) (*program, error) {
	p := &program{name: name, cmd: exec.Command(command, args...), lines: make(chan string), ended: make(chan struct{})}
	p.cmd.Env = env
	p.cmd.Stderr = &p.log
	p.cmd.WaitDelay = partingTime
	ownGroup(p.cmd)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.lines <- lines.Text()
		}
		close(p.lines)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// line waits for the next line. The second result is false when the program prints no more.
func (p *program) line(ctx context.Context) (string, bool, error) {
	select {
	case line, ok := <-p.lines:
		return line, ok, nil
	case <-ctx.Done():
		return "", false, fmt.Errorf("%s prints nothing more: %w: %s", p.name, ctx.Err(), p.log.String())
	}
}

// rest waits until the program ends, by itself or after an interrupt, and returns the lines that it prints until then.
func (p *program) rest(ctx context.Context, interrupt bool) (lines []string, err error) {
	if interrupt {
		_ = p.cmd.Process.Signal(os.Interrupt) // it may have ended by now
	}
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	for {
		line, ok, err := p.line(ctx)
		if err != nil {
			return lines, err
		}
		if !ok {
			<-p.ended
			if p.err != nil && !interrupt {
				err = fmt.Errorf("%s: %w: %s", p.name, p.err, p.log.String())
			}
			return lines, err
		}
		lines = append(lines, line)
	}
}

// close kills the program, if it still runs, and waits for its end.
func (p *program) close() {
	select {
	case <-p.ended:
		return
	default:
	}
	_ = killGroup(p.cmd) // it may have ended by now
	for range p.lines {
	}
	<-p.ended
}

// variables returns this process's environment, without the variables that may name a namespace, a storage account or
// an identity, and with more.
func variables(more ...string) (env []string) {
	for _, v := range os.Environ() {
		foreign := false
		for _, prefix := range []string{"AZURE_", "IDENTITY_", "MSI_", "EVENT_HUB_", "BLOB_"} {
			foreign = foreign || strings.HasPrefix(v, prefix)
		}
		if !foreign {
			env = append(env, v)
		}
	}
	return append(env, more...)
}
