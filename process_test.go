package eventhubs_test

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
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
)

// childEnv holds the childOptions of a process that receives, and does nothing else.
const childEnv = "EVENTHUBS_TEST_CHILD"

type childOptions struct {
	Name            string // the consumer's
	CheckpointCount int
	BlockAt         int64 // the sequence number at which handlers wait for a line on the standard input; negative: none
}

// child is a process that receives. It is the test's own program: see TestMain.
type child struct {
	*scene
	cmd   *exec.Cmd
	input io.WriteCloser
	ended chan struct{}
	err   error
}

// process starts a child. What it receives is counted.
func (s *scene) process(o childOptions) *child {
	s.t.Helper()
	program, err := os.Executable()
	require.NoError(s.t, err)
	options, err := json.Marshal(o)
	require.NoError(s.t, err)
	c := &child{scene: s, cmd: exec.Command(program), ended: make(chan struct{})}
	c.cmd.Env = append(append(os.Environ(), s.env...), childEnv+"="+string(options))
	var stderr bytes.Buffer
	c.cmd.Stderr = &stderr
	c.input, err = c.cmd.StdinPipe()
	require.NoError(s.t, err)
	output, err := c.cmd.StdoutPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, c.cmd.Start())
	go func() {
		defer close(c.ended)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			c.count(o.Name, lines.Text())
		}
		c.err = c.cmd.Wait()
	}()
	s.t.Cleanup(func() {
		c.kill()
		if s.t.Failed() {
			s.t.Logf("the log of process %s:\n%s", o.Name, &stderr)
		}
	})
	return c
}

// count takes a line of the child's output down. A line that a kill has cut off says nothing.
func (c *child) count(who, line string) {
	var what, partition string
	var which int
	var sequence int64
	if n, _ := fmt.Sscan(line, &what, &which, &partition, &sequence); n != 4 || !strings.HasSuffix(line, ".") {
		return
	}
	h := holding{who, partition, which}
	switch what {
	case "came":
		c.comes(h, sequence, 1)
	case "handled":
		c.ends(h, sequence, 1, true)
	}
}

// kill ends the process at once, whatever it is doing, and waits until it has gone.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have gone already
	<-c.ended
}

func (c *child) signal(sig os.Signal) {
	c.t.Helper()
	require.NoError(c.t, c.cmd.Process.Signal(sig))
}

// unblock lets the handlers go on that wait.
func (c *child) unblock() {
	c.t.Helper()
	_, err := io.WriteString(c.input, "go on\n")
	require.NoError(c.t, err)
}

// end has the process end in good order.
func (c *child) end() {
	c.t.Helper()
	c.signal(syscall.SIGTERM)
	select {
	case <-c.ended:
		require.NoError(c.t, c.err)
	case <-time.After(patience):
		c.t.Fatal("the process does not end")
	}
}

// beChild is what a child does: it receives until it is told to terminate, and prints what comes and what is handled.
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
	var say sync.Mutex
	holdings := map[context.Context]int{} // a holding's handlers share a context
	told := make(chan struct{})
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		close(told)
	}()
	print := func(ctx context.Context, what string, e *eventhubs.ReceivedEvent) {
		say.Lock()
		defer say.Unlock()
		if holdings[ctx] == 0 {
			holdings[ctx] = len(holdings) + 1
		}
		fmt.Println(what, holdings[ctx], e.PartitionID, e.SequenceNumber, ".")
	}
	err = consumer.Receive(ctx, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		print(ctx, "came", e)
		if e.SequenceNumber == o.BlockAt {
			<-told
		}
		print(ctx, "handled", e)
		return nil
	})
	if err != nil {
		return err
	}
	return consumer.Close(context.Background())
}
