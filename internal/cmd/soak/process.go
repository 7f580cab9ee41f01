//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// process is a consumer process.
type process struct {
	name     string // its instance ID
	cmd      *exec.Cmd
	stdin    io.Closer     // closing it, or the end of this process, ends the consumer process
	ready    chan struct{} // closed when SIGTERM ends it cleanly
	ended    chan struct{} // closed when it has ended, and all that it has reported is judged
	err      error         // how it has ended; set before ended is closed
	expected atomic.Bool   // its end is wanted
	handled  atomic.Int64

	logsMu sync.Mutex
	logs   []string // the last lines that it has logged
	bad    string   // the line with which a crash or a data race began
}

const (
	keptLogs = 40
	// startPatience and stopPatience are how long a process may take to start, and to end cleanly.
	startPatience = 30 * time.Second
	stopPatience  = 30 * time.Second
)

// startProcess runs this program as a consumer.
func startProcess(name string, env []string, j *judge, verbose bool) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.Command(self), ready: make(chan struct{}), ended: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), env...), roleVariable+"=1", instanceVariable+"="+name)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this process alone
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	var reading sync.WaitGroup
	reading.Go(func() { p.readReports(stdout, j) })
	reading.Go(func() { p.readLogs(stderr, verbose) })
	go func() {
		reading.Wait()
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, p.waitReady()
}

func (p *process) waitReady() error {
	select {
	case <-p.ready:
		return nil
	case <-p.ended:
		return fmt.Errorf("consumer %s ended as it started: %w", p.name, p.failure())
	case <-time.After(startPatience):
		p.kill()
		return fmt.Errorf("consumer %s did not start in %v", p.name, startPatience)
	}
}

// readReports passes on what the process reports. An incomplete last line was being written when the process was
// killed, so its handler had not returned.
func (p *process) readReports(stdout io.Reader, j *judge) {
	lines := bufio.NewReader(stdout)
	c := j.consumer(p.name)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		kind, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch kind {
		case lineReady:
			close(p.ready)
		case lineOverlap:
			j.overlap(p.name)
		case lineStarved:
			begin, end, err := parseSpan(strings.Fields(rest))
			if err != nil {
				p.note("panic: " + err.Error())
				continue
			}
			j.history.was(byPause, p.name, begin, end)
		case lineHandled:
			r, err := parseReport(strings.Fields(rest))
			if err != nil {
				p.note("panic: " + err.Error())
				continue
			}
			p.handled.Add(1)
			c.handled(r)
		}
	}
}

func (p *process) readLogs(stderr io.Reader, verbose bool) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if verbose {
			say("%s: %s", p.name, lines.Text())
		}
		p.note(lines.Text())
	}
}

// note keeps the last lines that the process logs, and all lines from the start of a crash or a data race on.
func (p *process) note(line string) {
	p.logsMu.Lock()
	defer p.logsMu.Unlock()
	for _, begin := range []string{"panic:", "fatal error:", "WARNING: DATA RACE"} {
		if p.bad == "" && strings.HasPrefix(line, begin) {
			p.bad = line
			p.logs = nil
		}
	}
	p.logs = append(p.logs, line)
	if p.bad == "" && len(p.logs) > keptLogs {
		p.logs = p.logs[1:]
	}
}

// crashed returns an error if the process has crashed or has had a data race, even if it was killed.
func (p *process) crashed() error {
	p.logsMu.Lock()
	defer p.logsMu.Unlock()
	if p.bad == "" {
		return nil
	}
	return fmt.Errorf("consumer %s: %s", p.name, strings.Join(p.logs, "\n"))
}

// failure describes how the process has ended, with the last lines that it has logged.
func (p *process) failure() error {
	p.logsMu.Lock()
	defer p.logsMu.Unlock()
	err := p.err
	if err == nil {
		err = errors.New("exit status 0")
	}
	return fmt.Errorf("%w\n%s", err, strings.Join(p.logs, "\n"))
}

// lastWords is the last line that the process has logged.
func (p *process) lastWords() string {
	p.logsMu.Lock()
	defer p.logsMu.Unlock()
	if len(p.logs) == 0 {
		return ""
	}
	return p.logs[len(p.logs)-1]
}

// kill ends the process with SIGKILL.
func (p *process) kill() {
	p.expected.Store(true)
	_ = p.cmd.Process.Kill()
	<-p.ended
	p.stdin.Close()
}

// terminate ends the process with SIGTERM. If the process does not end cleanly, that is an error.
func (p *process) terminate() error {
	select {
	case <-p.ended: // by itself, which is not for us to judge
		return nil
	default:
	}
	p.expected.Store(true)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopPatience):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // makes the runtime show what it waits for
		select {
		case <-p.ended:
		case <-time.After(time.Second):
		}
		p.kill()
		return fmt.Errorf("consumer %s has not ended %v after SIGTERM: %w", p.name, stopPatience, p.failure())
	}
	p.stdin.Close()
	if p.err != nil {
		return fmt.Errorf("consumer %s did not end in good order after SIGTERM: %w", p.name, p.failure())
	}
	return p.crashed()
}
