package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// driver is a client in a process of its own. Requests and answers are lines of JSON.
type driver struct {
	name    string
	cmd     *exec.Cmd
	in      io.WriteCloser
	ended   chan struct{} // closed when the process has ended
	log     tail
	logFile *os.File

	inMu      sync.Mutex
	waitingMu sync.Mutex
	last      int
	waiting   map[int]chan answer
	err       error // why there will be no more answers
}

type answer struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *fault          `json:"error"`
}

// partingTime is how long a driver may take to end after its input has ended, before it is killed.
const partingTime = 5 * time.Second

// startDriver starts the driver in a folder. Its log goes to a file.
func startDriver(name, folder, logPath string, env ...string) (*driver, error) {
	d := &driver{name: name, ended: make(chan struct{}), waiting: map[int]chan answer{}}
	script, err := filepath.Abs(filepath.Join(folder, runScript))
	if err != nil {
		return nil, err
	}
	d.cmd = exec.Command(script, "drive")
	d.cmd.Dir = folder
	d.cmd.Env = append(os.Environ(), env...)
	ownGroup(d.cmd) // the script's own children end with it
	if d.logFile, err = os.Create(logPath); err != nil {
		return nil, err
	}
	d.cmd.Stderr = io.MultiWriter(d.logFile, &d.log)
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	d.cmd.WaitDelay = partingTime
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the driver for %s: %w", name, err)
	}
	go func() {
		defer close(d.ended)
		readErr := d.read(out)
		err := d.cmd.Wait()
		d.fail(fmt.Errorf("the driver for %s has ended (%w): %s", name, errors.Join(readErr, err), d.log.String()))
		_ = d.logFile.Close() // a truncated log is no reason to fail
	}()
	return d, nil
}

// read delivers answers until there are no more.
func (d *driver) read(out io.Reader) error {
	lines := bufio.NewReaderSize(out, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			var a answer
			if jsonErr := json.Unmarshal(line, &a); jsonErr != nil {
				fmt.Fprintf(&d.log, "not an answer: %s\n", line)
				continue
			}
			d.waitingMu.Lock()
			c := d.waiting[a.ID]
			delete(d.waiting, a.ID)
			d.waitingMu.Unlock()
			if c != nil {
				c <- a
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (d *driver) fail(err error) {
	d.waitingMu.Lock()
	defer d.waitingMu.Unlock()
	d.err = err
	for id, c := range d.waiting {
		delete(d.waiting, id)
		close(c)
	}
}

// close ends the driver's input, and kills the driver if it doesn't end then.
func (d *driver) close() {
	d.in.Close()
	select {
	case <-d.ended:
	case <-time.After(partingTime):
		_ = killGroup(d.cmd) // it may have ended by now
		<-d.ended
	}
}

// call asks for an operation. args is a struct; its fields and those of the target are the arguments.
func (d *driver) call(ctx context.Context, op string, at target, args, result any) error {
	line, err := request(op, at, args)
	if err != nil {
		return err
	}
	c := make(chan answer, 1)
	d.waitingMu.Lock()
	if d.err != nil {
		defer d.waitingMu.Unlock()
		return d.err
	}
	d.last++
	id := d.last
	d.waiting[id] = c
	d.waitingMu.Unlock()
	line["id"] = id
	if err := d.write(line); err != nil {
		return fmt.Errorf("ask the driver for %s: %w", d.name, err)
	}
	select {
	case a, ok := <-c:
		switch {
		case !ok:
			return d.err
		case a.Error != nil:
			return a.Error
		case result != nil && len(a.Result) > 0:
			if err := json.Unmarshal(a.Result, result); err != nil {
				return fmt.Errorf("the driver for %s answered %s with %s: %w", d.name, op, brief(a.Result), err)
			}
		}
		return nil
	case <-ctx.Done():
		d.waitingMu.Lock()
		delete(d.waiting, id)
		d.waitingMu.Unlock()
		return fmt.Errorf("the driver for %s has not answered %s: %w", d.name, op, ctx.Err())
	}
}

func request(op string, at target, args any) (map[string]any, error) {
	all := map[string]any{}
	for _, part := range []any{at, args} {
		b, err := json.Marshal(part)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(b, &all); err != nil {
			return nil, err
		}
	}
	return map[string]any{"op": op, "args": all}, nil
}

func (d *driver) write(request map[string]any) error {
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	d.inMu.Lock()
	defer d.inMu.Unlock()
	_, err = d.in.Write(append(line, '\n'))
	return err
}

// tail keeps the end of what is written to it.
type tail struct {
	bufMu sync.Mutex
	buf   []byte
}

const tailBytes = 2000

func (t *tail) Write(p []byte) (int, error) {
	t.bufMu.Lock()
	defer t.bufMu.Unlock()
	t.buf = append(t.buf, p...)
	if len(t.buf) > tailBytes {
		t.buf = append([]byte(nil), t.buf[len(t.buf)-tailBytes:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.bufMu.Lock()
	defer t.bufMu.Unlock()
	return string(t.buf)
}
