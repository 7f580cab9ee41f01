//go:build unix

package docs_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// patience is how long a program gets for what it has to do.
const patience = 30 * time.Second

// elsewhere are the notes of blocks that can't be run here.
var elsewhere = map[string]string{
	"azure":   "it needs an Azure subscription",
	"network": "it fetches a released version of this module",
}

// TestCommands runs what the documents tell to type, one document at a time:
//
//   - make: make -n, which shows that the target is there. .ci/run runs what is behind it;
//   - go run of an example: with free ports; the emulator's environment is given to what comes after it, and what goes
//     on for ever is ended with SIGINT.
//
// Blocks that say so in their first line are not run: see elsewhere.
func TestCommands(t *testing.T) {
	t.Parallel()
	for _, file := range documents(t) {
		t.Run(file, func(t *testing.T) {
			s := &shell{t: t, bin: t.TempDir(), env: environment()}
			for _, b := range blocks(t, file, "sh") {
				if b.note != "" {
					require.Contains(t, elsewhere, b.note, "%s:%d", b.file, b.line)
					t.Logf("%s:%d is not run: %s", b.file, b.line, elsewhere[b.note])
					continue
				}
				for _, command := range strings.Split(strings.TrimSpace(b.text), "\n") {
					s.do(strings.Fields(command))
				}
			}
			s.end()
		})
	}
}

// TestProgram runs the program that the README's snippets make.
func TestProgram(t *testing.T) {
	t.Parallel()
	m := newModule(t)
	for _, b := range blocks(t, "README.md", "go") {
		m.add(b)
	}
	m.write()
	program := filepath.Join(m.dir, "program")
	m.run("go", "build", "-ldflags=-s -w", "-o", program, "./readme_md_main_0")
	srv := eventhubstest.Start(t, nil)
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		p := start(t, append(environment(), srv.Env("hub")...), program)
		p.until("First event from partition ")
		p.until("Second event from partition ")
		p.end(sig)
	}
}

// settings are the variables that would have programs do something else than the test wants.
var settings = regexp.MustCompile(`^(EVENT_HUB|BLOB_|AZURE_|IDENTITY_|SSL_CERT|INSTANCE_ID|MAKE|MFLAGS)`)

func environment() (env []string) {
	for _, variable := range os.Environ() {
		if !settings.MatchString(variable) {
			env = append(env, variable)
		}
	}
	return env
}

// shell does what somebody does who follows a document.
type shell struct {
	t       *testing.T
	bin     string
	env     []string
	running []*process
	sent    bool // something was sent, and nobody has seen it yet
}

func (s *shell) do(command []string) {
	s.t.Helper()
	switch {
	case len(command) >= 2 && command[0] == "make":
		s.run(root, "make", append([]string{"-n"}, command[1:]...)...)
	case len(command) >= 3 && command[0] == "go" && command[1] == "run" && strings.HasPrefix(command[2], "./examples/"):
		s.example(strings.TrimPrefix(command[2], "./examples/"), command[3:])
	default:
		s.t.Fatalf("no test knows how to run %q", command)
	}
}

// run runs what ends by itself.
func (s *shell) run(dir, name string, args ...string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, s.env
	out, err := cmd.CombinedOutput()
	require.NoError(s.t, err, "%s %q: %s", name, args, out)
}

func (s *shell) example(name string, args []string) {
	s.t.Helper()
	program := filepath.Join(s.bin, name)
	if _, err := os.Stat(program); err != nil {
		// without debug information linking takes half the time
		s.run(root, "go", "build", "-ldflags=-s -w", "-o", program, "./examples/"+name)
	}
	switch name {
	case "emulator":
		s.end()
		args = append(args, "-amqp", "127.0.0.1:0", "-blob", "127.0.0.1:0")
		p := start(s.t, environment(), program, args...)
		p.until("The emulator is ready")
		s.env = append(environment(), p.exports()...)
		s.running = append(s.running, p)
	case "recv":
		s.running = append(s.running, start(s.t, s.env, program, args...))
	default:
		s.run(root, program, args...)
		s.sent = s.sent || name == "send"
	}
}

// end ends what is still running, as Ctrl-C does. A receiver has to have seen what was sent.
func (s *shell) end() {
	s.t.Helper()
	for len(s.running) > 0 {
		p := s.running[len(s.running)-1]
		s.running = s.running[:len(s.running)-1]
		if s.sent && strings.HasSuffix(p.cmd.Path, "recv") {
			p.until("Received event")
		}
		p.interrupt()
	}
	s.sent = false
}

// process is a program that runs beside the test.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{}
	err   error

	mu  sync.Mutex
	out bytes.Buffer
}

func start(t *testing.T, env []string, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, p, p
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has mostly ended already
		<-p.ended
	})
	return p
}

// Write takes what the program prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// until waits until the program has printed something.
func (p *process) until(text string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(p.printed(), text); time.Sleep(5 * time.Millisecond) {
		select {
		case <-p.ended:
			require.Contains(p.t, p.printed(), text, "%s has ended: %v", p.cmd.Path, p.err)
		default:
			require.True(p.t, time.Now().Before(deadline), "%s has not printed %q, but:\n%s", p.cmd.Path, text, p.printed())
		}
	}
}

// interrupt ends the program as Ctrl-C does.
func (p *process) interrupt() { p.t.Helper(); p.end(os.Interrupt) }

// end ends the program with a signal. It must end in good order.
func (p *process) end(sig os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(sig))
	select {
	case <-p.ended:
		require.NoError(p.t, p.err, p.printed())
	case <-time.After(patience):
		require.Fail(p.t, fmt.Sprintf("%s does not end", p.cmd.Path))
	}
}

var export = regexp.MustCompile(`(?m)^export (\w+)='(.*)'$`)

// exports is the environment that the emulator prints.
func (p *process) exports() (env []string) {
	for _, m := range export.FindAllStringSubmatch(p.printed(), -1) {
		env = append(env, m[1]+"="+m[2])
	}
	return env
}
