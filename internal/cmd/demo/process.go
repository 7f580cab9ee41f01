package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a program that runs beside the demo. What it prints is shown, and kept.
type process struct {
	cmd    *exec.Cmd
	name   string
	ended  chan struct{} // closed once the program has ended and all its output was read
	result error

	printedMu sync.Mutex
	printed   []string
	news      chan struct{} // holds a token when something was printed
}

func start(path string, args ...string) (*process, error) {
	p := &process{name: filepath.Base(path), ended: make(chan struct{}), news: make(chan struct{}, 1)}
	p.cmd = exec.Command(path, args...)
	out, in := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = in, in
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.read(out)
	}()
	go func() {
		p.result = p.cmd.Wait()
		in.Close()
		<-read
		close(p.ended)
	}()
	return p, nil
}

func (p *process) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), "export ") { // the emulator's keys are no use on a screen
			fmt.Printf("  %s: %s\n", p.name, lines.Text())
		}
		p.printedMu.Lock()
		p.printed = append(p.printed, lines.Text())
		p.printedMu.Unlock()
		select {
		case p.news <- struct{}{}:
		default:
		}
	}
}

func (p *process) lines() []string {
	p.printedMu.Lock()
	defer p.printedMu.Unlock()
	return append([]string(nil), p.printed...)
}

func (p *process) count(text string) (n int) {
	for _, l := range p.lines() {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n
}

func (p *process) has(text string) bool { return p.count(text) > 0 }

// wait waits until the condition is true. It checks the condition each time the program prints something.
func (p *process) wait(ctx context.Context, what string, condition func() bool) error {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for !condition() {
		select {
		case <-p.news:
		case <-p.ended:
			if !condition() {
				return fmt.Errorf("%s ended before %s (%w)", p.name, what, p.outcome())
			}
		case <-timeout.C:
			return fmt.Errorf("waited %v for %s from %s", patience, what, p.name)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// outcome is how the program has ended.
func (p *process) outcome() error {
	if p.result == nil {
		return errors.New("with success")
	}
	return p.result
}

// exit waits for the program to end by itself.
func (p *process) exit(ctx context.Context) error {
	select {
	case <-p.ended:
		return p.result
	case <-time.After(patience):
		return fmt.Errorf("%s has not ended after %v", p.name, patience)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// interrupt ends the program as Ctrl-C does.
func (p *process) interrupt(timeout time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return p.exit(ctx)
}

// kill ends the program at once, if it still runs.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}
