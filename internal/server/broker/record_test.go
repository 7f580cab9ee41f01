package broker_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	goamqp "github.com/Azure/go-amqp"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

// recorded is a socket that records what its peer has sent.
type recorded struct {
	net.Conn
	sent bytes.Buffer
}

func (r *recorded) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.sent.Write(b[:n])
	return n, err
}

// record returns what clients have sent on each of their connections to a namespace. The clients must close their
// connections.
func record(f *testing.F, b *broker.Broker, clients func(address string) error) (streams [][]byte) {
	f.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	var all []*recorded
	var served sync.WaitGroup
	served.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			r := &recorded{Conn: nc}
			all = append(all, r)
			served.Go(func() { b.Serve(r) })
		}
	})
	err = clients(ln.Addr().String())
	ln.Close()
	served.Wait()
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range all {
		streams = append(streams, r.sent.Bytes())
	}
	return streams
}

// useSDK uses the real SDK as programs do: it sends, receives, and asks for properties.
func useSDK(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	at := (&namespace{addr: address}).connectionString()
	p, err := azeventhubs.NewProducerClientFromConnectionString(at, "hub", nil)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close(ctx) }()
	if _, err := p.GetPartitionProperties(ctx, "0", nil); err != nil {
		return err
	}
	for _, o := range []azeventhubs.EventDataBatchOptions{{PartitionID: ptr("0")}, {PartitionKey: ptr("k")}} {
		batch, err := p.NewEventDataBatch(ctx, &o)
		if err != nil {
			return err
		}
		for range 2 {
			if err := batch.AddEventData(
				&azeventhubs.EventData{Body: []byte("x"), Properties: map[string]any{"p": int64(1)}, MessageID: ptr("m")}, nil,
			); err != nil {
				return err
			}
		}
		if err := p.SendEventDataBatch(ctx, batch, nil); err != nil {
			return err
		}
	}
	c, err := azeventhubs.NewConsumerClientFromConnectionString(at, "hub", azeventhubs.DefaultConsumerGroup, nil)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	pc, err := c.NewPartitionClient("0", &azeventhubs.PartitionClientOptions{
		OwnerLevel: ptr(int64(1)), StartPosition: azeventhubs.StartPosition{Earliest: ptr(true)},
	})
	if err != nil {
		return err
	}
	if _, err := pc.ReceiveEvents(ctx, 1, nil); err != nil {
		return err
	}
	return pc.Close(ctx)
}

// useLinks uses go-amqp for what the SDK doesn't do: messages of many frames, frames of the smallest size, and links
// that are refused.
func useLinks(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := goamqp.Dial(ctx, "amqp://"+address, &goamqp.ConnOptions{
		MaxFrameSize: 512, SASLType: goamqp.SASLTypeAnonymous(),
	})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	sess, err := conn.NewSession(ctx, nil)
	if err != nil {
		return err
	}
	if err := putToken(ctx, sess); err != nil {
		return err
	}
	if _, err := sess.NewSender(ctx, "none", nil); err == nil {
		return errUnexpected
	}
	s, err := sess.NewSender(ctx, "hub/Partitions/1", nil)
	if err != nil {
		return err
	}
	for _, size := range []int{1, 1500} {
		if err := s.Send(ctx, goamqp.NewMessage(make([]byte, size)), nil); err != nil {
			return err
		}
	}
	once, err := sess.NewSender(ctx, "hub/Partitions/0", &goamqp.SenderOptions{
		DesiredCapabilities: []string{idempotent}, Properties: map[string]any{producerID: int64(5), epoch: int16(1)},
	})
	if err != nil {
		return err
	}
	numbered := &goamqp.Message{Annotations: goamqp.Annotations{sequence: int32(1)}, Data: [][]byte{{'x'}}}
	for range 2 {
		if err := once.Send(ctx, numbered, nil); err != nil {
			return err
		}
	}
	r, err := sess.NewReceiver(ctx, "hub/ConsumerGroups/$Default/Partitions/1", &goamqp.ReceiverOptions{
		Filters: []goamqp.LinkFilter{goamqp.NewSelectorFilter(earliest)}, Credit: 10,
		DesiredCapabilities: []string{"com.microsoft:enable-receiver-runtime-metric"},
	})
	if err != nil {
		return err
	}
	for range 2 {
		m, err := r.Receive(ctx, nil)
		if err != nil {
			return err
		}
		if err := r.AcceptMessage(ctx, m); err != nil {
			return err
		}
	}
	if err := r.Close(ctx); err != nil {
		return err
	}
	return sess.Close(ctx)
}

// putToken puts a token for the whole namespace that never expires.
func putToken(ctx context.Context, sess *goamqp.Session) error {
	s, err := sess.NewSender(ctx, "$cbs", nil)
	if err != nil {
		return err
	}
	r, err := sess.NewReceiver(ctx, "$cbs", &goamqp.ReceiverOptions{TargetAddress: "answers"})
	if err != nil {
		return err
	}
	err = s.Send(ctx, &goamqp.Message{
		Value:      sas("sb://host/", "root", rootKey, time.Unix(1<<33, 0)),
		Properties: &goamqp.MessageProperties{MessageID: "m", ReplyTo: ptr("answers")},
		ApplicationProperties: map[string]any{
			"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": "sb://host/",
		},
	}, nil)
	if err != nil {
		return err
	}
	m, err := r.Receive(ctx, nil)
	if err == nil && m.ApplicationProperties["status-code"] != int32(202) {
		err = errUnexpected
	}
	return err
}

// unframed returns the frames of a recorded stream after its open frame. For each it has a byte for the channel, two
// for the length, and the body.
func unframed(stream []byte) (out []byte) {
	opened := false
	for len(stream) >= 8 {
		if string(stream[:4]) == "AMQP" {
			stream = stream[8:]
			continue
		}
		size := binary.BigEndian.Uint32(stream)
		f := stream[:size]
		stream = stream[size:]
		if opened && len(f) > 8 {
			out = append(binary.BigEndian.AppendUint16(append(out, f[7]), uint16(size-8)), f[8:]...)
		}
		opened = opened || f[5] == 0
	}
	return out
}

// framed returns the frames of what unframed returned, after a handshake.
func framed(b []byte) []byte {
	frames := []byte("AMQP\x00\x01\x00\x00\x00\x00\x00\x11\x02\x00\x00\x00\x00\x53\x10\xc0\x04\x01\xa1\x01p")
	for len(b) >= 3 {
		n := min(int(binary.BigEndian.Uint16(b[1:])), len(b)-3)
		frames = binary.BigEndian.AppendUint32(frames, uint32(n+8))
		frames = append(append(frames, 2, 0, 0, b[0]), b[3:3+n]...)
		b = b[3+n:]
	}
	return frames
}
