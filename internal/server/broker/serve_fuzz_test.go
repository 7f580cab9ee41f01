package broker_test

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

var errUnexpected = errors.New("unexpected answer of the namespace")

// FuzzServe serves whole connections with what real clients have sent, changed by the fuzzer: as a stream of bytes, or
// frame by frame, so that more of it gets through the framing. Whatever comes, Serve returns when the peer has gone,
// nothing is left of the connection, and other clients are served.
func FuzzServe(f *testing.F) {
	b := smallNamespace(f)
	for _, clients := range []func(string) error{useSDK, useLinks} {
		for _, stream := range record(f, b, clients) {
			f.Add(false, stream)
			f.Add(true, unframed(stream))
		}
	}
	execs := 0
	f.Fuzz(func(t *testing.T, frames bool, stream []byte) {
		if frames {
			stream = framed(stream)
		}
		before := runtime.NumGoroutine()
		play(t, b, stream)
		require.Zero(t, b.Held(), "bytes are held for a connection that has ended")
		settled(t, before)
		if execs++; execs%100 == 1 {
			behave(t, b)
			settled(t, before)
			require.Less(t, objects(), uint64(500_000)) // most are timers, which the runtime frees late
		}
	})
}

// smallNamespace returns a namespace with limits that a fuzzer can reach.
func smallNamespace(f *testing.F) *broker.Broker {
	b, err := broker.New(broker.Options{
		Hubs:           []broker.Hub{{Name: "hub", Partitions: 2}},
		Rules:          []broker.Rule{{Name: "root", Key: rootKey, Rights: []broker.Right{broker.RightManage}}},
		RetentionBytes: 64 << 10, HeldBytes: 1 << 20, HeldBytesPerConnection: 512 << 10,
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(b.Close)
	limits := b.Limits()
	limits.IdleTimeout, limits.HandshakeTimeout, limits.WriteTimeout = 2*time.Second, 2*time.Second, 2*time.Second
	limits.Untrusted.Links, limits.MaxLinks, limits.MaxSessions, limits.MaxMessageSize, limits.Credit = 8, 16, 8, 2000, 10
	return b
}

// play sends a stream to the namespace, reads all answers, and goes away.
func play(t *testing.T, b *broker.Broker, stream []byte) {
	theirs, ours := pipes()
	served, read := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(served)
		b.Serve(ours)
	}()
	go func() {
		defer close(read)
		_, _ = io.Copy(io.Discard, theirs)
	}()
	_ = theirs.SetWriteDeadline(time.Now().Add(patience))
	_, err := theirs.Write(stream)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the namespace has stopped reading")
	theirs.Close()
	select {
	case <-served:
	case <-time.After(patience):
		stacks := make([]byte, 1<<20)
		t.Fatalf("still served:\n%s", stacks[:runtime.Stack(stacks, true)])
	}
	<-read
}

// pipe is one end of a net.Pipe. A net.Pipe keeps its timers, and everything that they hold, after its end.
type pipe struct{ net.Conn }

func pipes() (theirs, ours net.Conn) {
	a, b := net.Pipe()
	return pipe{a}, pipe{b}
}

func (p pipe) Close() error {
	_ = p.SetDeadline(time.Time{})
	return p.Conn.Close()
}

// settled waits until there are no more goroutines than before.
func settled(t *testing.T, before int) {
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, and %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// behave uses the namespace as a well-behaved client does.
func behave(t *testing.T, b *broker.Broker) {
	theirs, ours := pipes()
	served := make(chan struct{})
	go func() {
		defer close(served)
		b.Serve(ours)
	}()
	conn, err := goamqp.NewConn(ctx(t), theirs, nil)
	require.NoError(t, err)
	sess, err := conn.NewSession(ctx(t), nil)
	require.NoError(t, err)
	require.NoError(t, putToken(ctx(t), sess))
	r, err := sess.NewReceiver(ctx(t), "hub/ConsumerGroups/$Default/Partitions/0", &goamqp.ReceiverOptions{
		Filters: []goamqp.LinkFilter{goamqp.NewSelectorFilter("amqp.annotation.x-opt-offset > '@latest'")},
	})
	require.NoError(t, err)
	s, err := sess.NewSender(ctx(t), "hub/Partitions/0", nil)
	require.NoError(t, err)
	require.NoError(t, s.Send(ctx(t), goamqp.NewMessage([]byte("x")), nil))
	m, err := r.Receive(ctx(t), nil)
	require.NoError(t, err)
	require.Equal(t, "x", string(m.GetData()))
	_ = conn.Close() // both sides close the pipe, and the second one gets an error
	<-served
}

// objects returns how many objects are in use. Their bytes would say little here: most are the fuzzer's own.
func objects() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the contents of pools survive one collection
	runtime.ReadMemStats(&m)
	return m.HeapObjects
}
