package guarantee_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

// quick has short intervals, because processes run in real time. The expiration is long compared with the interval,
// because blobs are dated in whole seconds: a claim that is renewed all the time looks up to a second old.
func quick() eventhubs.ConsumerOptions {
	return eventhubs.ConsumerOptions{UpdateInterval: 100 * time.Millisecond, ExpirationInterval: 3 * time.Second}
}

// onSockets makes a scene on real sockets, for processes.
func onSockets(t *testing.T, partitions int) *scene.Scene {
	t.Helper()
	return scene.Open(t, eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: scene.Hub, Partitions: partitions}}})
}

// childEnv holds the childOptions of a process that receives, and does nothing else.
const childEnv = "EVENTHUBS_TEST_CHILD"

type childOptions struct {
	Name            string // the consumer's
	CheckpointCount int
	BlockAt         int64 // the sequence number at which handlers wait for a line on the standard input; negative: none
}

// child is a process that receives. It is the test's own program: see TestMain.
type child struct {
	s     *scene.Scene
	cmd   *exec.Cmd
	input io.WriteCloser
	ended chan struct{}
	err   error
}

// start starts a child. What it receives is counted.
func start(s *scene.Scene, o childOptions) *child {
	s.T.Helper()
	program, err := os.Executable()
	require.NoError(s.T, err)
	options, err := json.Marshal(o)
	require.NoError(s.T, err)
	c := &child{s: s, cmd: exec.Command(program), ended: make(chan struct{})}
	c.cmd.Env = append(append(os.Environ(), s.Server.Env(scene.Hub)...), childEnv+"="+string(options))
	var stderr bytes.Buffer
	c.cmd.Stderr = &stderr
	c.input, err = c.cmd.StdinPipe()
	require.NoError(s.T, err)
	output, err := c.cmd.StdoutPipe()
	require.NoError(s.T, err)
	require.NoError(s.T, c.cmd.Start())
	go func() {
		defer close(c.ended)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			c.count(o.Name, lines.Text())
		}
		c.err = c.cmd.Wait()
	}()
	s.T.Cleanup(func() {
		c.kill()
		if s.T.Failed() {
			s.T.Logf("the log of process %s:\n%s", o.Name, &stderr)
		}
	})
	return c
}

// count records a line of the child's output. It ignores a line that a kill has cut off.
func (c *child) count(who, line string) {
	var what, partition string
	var which int
	var sequence int64
	if n, _ := fmt.Sscan(line, &what, &which, &partition, &sequence); n != 4 || !strings.HasSuffix(line, ".") {
		return
	}
	h := scene.Holding{Who: who, Partition: partition, Which: which}
	switch what {
	case "came":
		c.s.Tally.Comes(h, sequence, 1)
	case "handled":
		c.s.Tally.Ends(h, sequence, 1, true)
	}
}

// kill ends the process at once, whatever it is doing, and waits until it has gone.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have gone already
	<-c.ended
}

func (c *child) signal(sig os.Signal) {
	c.s.T.Helper()
	require.NoError(c.s.T, c.cmd.Process.Signal(sig))
}

// unblock lets waiting handlers continue.
func (c *child) unblock() {
	c.s.T.Helper()
	_, err := io.WriteString(c.input, "go on\n")
	require.NoError(c.s.T, err)
}

// end makes the process end cleanly.
func (c *child) end() {
	c.s.T.Helper()
	c.signal(syscall.SIGTERM)
	select {
	case <-c.ended:
		require.NoError(c.s.T, c.err)
	case <-time.After(c.s.Patience()):
		c.s.T.Fatal("the process does not end")
	}
}

// beChild is what a child runs. It receives until SIGTERM, and prints which events come and which are handled.
func beChild() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := receiveAsChild(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func receiveAsChild(ctx context.Context) error {
	var o childOptions
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &o); err != nil {
		return err
	}
	cfg, err := eventhubs.ConfigFromEnv()
	if err != nil {
		return err
	}
	blobs, err := eventhubs.BlobConfigFromEnv()
	if err != nil {
		return err
	}
	store, err := eventhubs.NewBlobCheckpointStore(ctx, blobs)
	if err != nil {
		return err
	}
	options := quick()
	options.InstanceID, options.CheckpointCount = o.Name, o.CheckpointCount
	consumer, err := eventhubs.NewConsumer(cfg, store, &options)
	if err != nil {
		return err
	}
	if err := consumer.Receive(ctx, childHandler(o.BlockAt)); err != nil {
		return err
	}
	return consumer.Close(context.Background())
}

// childHandler prints which events come and which are handled, and in which holding.
func childHandler(blockAt int64) eventhubs.Handler {
	var sayMu sync.Mutex
	holdings := map[context.Context]int{} // a holding's handlers share a context
	say := func(ctx context.Context, what string, e *eventhubs.ReceivedEvent) {
		sayMu.Lock()
		defer sayMu.Unlock()
		if holdings[ctx] == 0 {
			holdings[ctx] = len(holdings) + 1
		}
		fmt.Println(what, holdings[ctx], e.PartitionID, e.SequenceNumber, ".")
	}
	told := make(chan struct{})
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		close(told)
	}()
	return func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		say(ctx, "came", e)
		if e.SequenceNumber == blockAt {
			<-told
		}
		say(ctx, "handled", e)
		return nil
	}
}
