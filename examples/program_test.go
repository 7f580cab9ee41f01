package examples_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for what has to happen. It is never waited out when all is well.
const patience = 30 * time.Second

// build compiles the examples and returns the folder of the programs. Without debug information linking takes half
// the time.
func build(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	out, err := exec.CommandContext(
		t.Context(), "go", "build", "-ldflags=-s -w", "-o", bin+string(os.PathSeparator), "./...",
	).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return bin
}

// program is an example that runs as a process.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string   // of its standard output
	ended chan struct{} // closed when it has ended, and err is set
	err   error
	log   *bytes.Buffer // its standard error, when it has ended
}

// start runs an example in an environment. It is killed with the test, if it still runs.
func start(t *testing.T, path string, env []string, args ...string) *program {
	t.Helper()
	p := &program{
		t: t, cmd: exec.Command(path, args...), lines: make(chan string, 10_000), ended: make(chan struct{}),
		log: &bytes.Buffer{},
	}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Dir = t.TempDir()
	p.cmd.Stderr = p.log
	output, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		for scanner := bufio.NewScanner(output); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
		close(p.lines)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended already
		<-p.ended
		if t.Failed() {
			t.Logf("the log of %s:\n%s", filepath.Base(path), p.log)
		}
	})
	return p
}

// line returns the next line of the program's output that begins like that.
func (p *program) line(begins string) string {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("the program has ended before it printed %q…", begins)
			}
			if strings.HasPrefix(line, begins) {
				return line
			}
		case <-timeout:
			p.t.Fatalf("waited in vain for %q…", begins)
		}
	}
}

// fails waits for the program to end by itself, with an error that has a text in it.
func (p *program) fails(text string) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatal("the program does not end")
	}
	require.Error(p.t, p.err)
	require.Contains(p.t, p.log.String(), text)
}

// exit waits for the program to end by itself, with success, and returns what it has printed and nobody has read.
func (p *program) exit() (rest []string) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatal("the program does not end")
	}
	require.NoError(p.t, p.err)
	for line := range p.lines {
		rest = append(rest, line)
	}
	return rest
}

// end has the program end as an orchestrator or Ctrl-C does.
func (p *program) end(sig syscall.Signal) (rest []string) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(sig))
	return p.exit()
}
