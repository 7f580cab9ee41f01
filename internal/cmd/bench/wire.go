package main

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	goamqp "github.com/Azure/go-amqp"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// wire is a client that speaks just enough AMQP to keep the server busy. It encodes frames once and sends them again
// and again, and looks at little more than the headers of the frames that come in. It shows how fast the server is, and
// fills hubs for other measurements.
type wire struct {
	nc net.Conn
	in *bufio.Reader
	ep azeventhubs.ConnectionStringProperties
	// delivery is the id of the next message to be sent.
	delivery uint32
	frames   uint32 // transfers that were sent
	// credit is how many messages may be sent, and window how many transfers, since the beginning.
	credit, window uint32
	unsettled      int
}

// Performatives (OASIS AMQP 1.0, part 2, section 2.7).
const (
	openFrame        = 0x10
	beginFrame       = 0x11
	attachFrame      = 0x12
	flowFrame        = 0x13
	transferFrame    = 0x14
	dispositionFrame = 0x15

	frameHeader = 8
	windowSize  = 1 << 30
	batchFormat = 0x80013700 // message-format of a message that holds a batch
)

// dialWire connects, signs in and begins a session.
func dialWire(connectionString string) (*wire, error) {
	ep, err := azeventhubs.ParseConnectionString(connectionString)
	if err != nil {
		return nil, err
	}
	nc, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(ep.Endpoint, "sb://"), "/"))
	if err != nil {
		return nil, err
	}
	w := &wire{nc: nc, in: bufio.NewReaderSize(nc, 256<<10), ep: ep}
	if err := w.signIn(); err != nil {
		nc.Close()
		return nil, fmt.Errorf("sign in: %w", err)
	}
	return w, nil
}

func (w *wire) close() { w.nc.Close() }

// performative appends a frame on channel 0.
func performative(b []byte, descriptor uint64, payload []byte, fields ...any) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, 2, 0, 0, 0)
	b, err := amqp.Append(b, amqp.Described{Descriptor: descriptor, Value: fields})
	if err != nil {
		panic(err) // a mistake in this package
	}
	b = append(b, payload...)
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

func (w *wire) send(descriptor uint64, payload []byte, fields ...any) error {
	_, err := w.nc.Write(performative(nil, descriptor, payload, fields...))
	return err
}

// next reads a frame and returns the descriptor of its performative.
func (w *wire) next() (descriptor uint64, err error) {
	body, err := w.frame()
	if err != nil {
		return 0, err
	}
	// A transfer has a payload after its fields. The fields are a list whose size takes one byte or four.
	size := 5 + int(body[4])
	if body[3] == 0xd0 {
		size = 8 + int(binary.BigEndian.Uint32(body[4:]))
	}
	v, err := amqp.Decode(body[:size])
	if err != nil {
		return 0, err
	}
	d, _ := v.(amqp.Described)
	descriptor, _ = d.Descriptor.(uint64)
	fields, _ := d.Value.([]any)
	if descriptor > dispositionFrame {
		return 0, fmt.Errorf("the server ended the link, the session or the connection: %v", fields)
	}
	w.took(descriptor, fields)
	return descriptor, nil
}

// frame reads a frame's body. The body is valid until the next call.
func (w *wire) frame() ([]byte, error) {
	header, err := w.in.Peek(frameHeader)
	if err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint32(header))
	b, err := w.in.Peek(size)
	if err != nil {
		return nil, err
	}
	_, err = w.in.Discard(size)
	return b[frameHeader:], err
}

// took keeps track of what the server allows and accepts.
func (w *wire) took(descriptor uint64, fields []any) {
	switch descriptor {
	case flowFrame:
		next, _ := fields[0].(uint32)
		window, _ := fields[1].(uint32)
		w.window = next + window
		if len(fields) > 6 && fields[4] != nil { // the flow is for a link
			count, _ := fields[5].(uint32)
			credit, _ := fields[6].(uint32)
			w.credit = count + credit
		}
	case dispositionFrame:
		first, _ := fields[1].(uint32)
		last, _ := fields[2].(uint32)
		w.unsettled -= int(last-first) + 1
	}
}

// until reads frames until one has the descriptor.
func (w *wire) until(descriptor uint64) error {
	for {
		d, err := w.next()
		if err != nil || d == descriptor {
			return err
		}
	}
}

// signIn opens the connection and a session, and puts a token for all of the namespace on $cbs.
func (w *wire) signIn() error {
	hello := []byte("AMQP\x00\x01\x00\x00")
	b := performative(hello, openFrame, nil, "bench", nil, uint32(64<<10))
	b = performative(b, beginFrame, nil, nil, uint32(0), uint32(windowSize), uint32(windowSize), uint32(1000))
	if _, err := w.nc.Write(b); err != nil {
		return err
	}
	if _, err := io.ReadFull(w.in, hello); err != nil {
		return err
	}
	if err := w.until(beginFrame); err != nil {
		return err
	}
	if err := w.attach(0, false, "$cbs", nil); err != nil {
		return err
	}
	if err := w.until(flowFrame); err != nil {
		return err
	}
	if err := w.attach(1, true, "$cbs", nil); err != nil {
		return err
	}
	resource := w.ep.Endpoint
	replyTo := "bench"
	request := goamqp.Message{
		Properties: &goamqp.MessageProperties{MessageID: "1", ReplyTo: &replyTo}, Value: w.token(resource),
		ApplicationProperties: map[string]any{
			"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": resource,
		},
	}
	payload, err := request.MarshalBinary()
	if err != nil {
		return err
	}
	if err := w.send(
		flowFrame, nil, uint32(0), uint32(windowSize), uint32(0), uint32(windowSize), uint32(1), uint32(0), uint32(1),
	); err != nil {
		return err
	}
	if err := w.send(transferFrame, payload, uint32(0), uint32(0), []byte("1"), uint32(0), true); err != nil {
		return err
	}
	w.delivery, w.frames = 1, 1
	return w.until(transferFrame)
}

// token is a shared access signature.
func (w *wire) token(resource string) string {
	resource, expiry := url.QueryEscape(resource), strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	mac := hmac.New(sha256.New, []byte(*w.ep.SharedAccessKey))
	mac.Write([]byte(resource + "\n" + expiry))
	signature := url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return fmt.Sprintf(
		"SharedAccessSignature sr=%s&sig=%s&se=%s&skn=%s", resource, signature, expiry, *w.ep.SharedAccessKeyName,
	)
}

// attach opens a link under a handle.
func (w *wire) attach(handle uint32, receives bool, address string, filter amqp.Map) error {
	source := amqp.Described{Descriptor: uint64(0x28), Value: []any{address, nil, nil, nil, nil, nil, nil, filter}}
	target := amqp.Described{Descriptor: uint64(0x29), Value: []any{"bench"}}
	if !receives {
		source.Value, target.Value = []any{"bench"}, []any{address}
	}
	var settled any // the server sends messages settled; what we send, it has to accept
	if receives {
		settled = byte(1)
	}
	if err := w.send(
		attachFrame, nil, fmt.Sprint("bench ", handle), handle, receives, settled, nil, source, target, nil, nil, uint32(0),
	); err != nil {
		return err
	}
	return w.until(attachFrame)
}

// openSender opens a link to a hub or a partition, and waits for credit.
func (w *wire) openSender(address string) error {
	if err := w.attach(2, false, address, nil); err != nil {
		return err
	}
	return w.until(flowFrame)
}

// message is a message that is encoded once and sent again and again.
type message struct {
	frames []byte // all of its transfers
	ids    []int  // where in frames its delivery id is written
	count  uint32 // of frames
}

// newBatch makes a message with n events, each encoded as the SDK would encode it.
func newBatch(n, size int) (*message, error) {
	id := "00000000-0000-4000-8000-000000000000" // as long as those that the SDK generates
	event := &goamqp.Message{Data: [][]byte{make([]byte, size)}, Properties: &goamqp.MessageProperties{MessageID: id}}
	encoded, err := event.MarshalBinary()
	if err != nil {
		return nil, err
	}
	batch := &goamqp.Message{Properties: event.Properties}
	for range n {
		batch.Data = append(batch.Data, encoded)
	}
	payload, err := batch.MarshalBinary()
	if err != nil {
		return nil, err
	}
	m := &message{}
	for perFrame := 64<<10 - 64; len(payload) > 0; m.count++ {
		part := payload[:min(perFrame, len(payload))]
		payload = payload[len(part):]
		const marker = 0xfeedfeed
		start := len(m.frames)
		m.frames = performative(
			m.frames, transferFrame, part, uint32(2), uint32(marker), []byte("1"), uint32(batchFormat), false, len(payload) > 0,
		)
		for at := start; ; at++ {
			if binary.BigEndian.Uint32(m.frames[at:]) == marker {
				m.ids = append(m.ids, at)
				break
			}
		}
	}
	return m, nil
}

// publish sends a message so many times, and waits until all are accepted. It keeps as many in flight as the server
// allows, up to a bound.
func (w *wire) publish(m *message, times int) error {
	const most = 32
	for times > 0 || w.unsettled > 0 {
		for times > 0 && w.unsettled < most && int32(w.credit-w.delivery) >= 0 && int32(w.window-w.frames-m.count) >= 0 {
			for _, at := range m.ids {
				binary.BigEndian.PutUint32(m.frames[at:], w.delivery)
			}
			if _, err := w.nc.Write(m.frames); err != nil {
				return err
			}
			w.delivery++
			w.unsettled++
			w.frames += m.count
			times--
		}
		if _, err := w.next(); err != nil {
			return err
		}
	}
	return nil
}

// read reads the first n events of a partition, over a new link.
func (w *wire) read(partition string, n int) error {
	filter := amqp.Map{{Key: amqp.Symbol("apache.org:selector-filter:string"), Value: amqp.Described{
		Descriptor: amqp.Symbol("apache.org:selector-filter:string"), Value: "amqp.annotation.x-opt-offset > '-1'",
	}}}
	if err := w.attach(
		3, true, fmt.Sprintf("%s/ConsumerGroups/$Default/Partitions/%s", *w.ep.EntityPath, partition), filter,
	); err != nil {
		return err
	}
	if err := w.send(
		flowFrame, nil, uint32(0), uint32(windowSize), uint32(0), uint32(windowSize), uint32(3), uint32(0), uint32(n),
	); err != nil {
		return err
	}
	for range n {
		if _, err := w.frame(); err != nil {
			return err
		}
	}
	return nil
}

// fill puts n events of a size into each partition of a hub, in batches that the hub distributes to the partitions in
// turn.
func fill(connectionString string, partitions, n, size int) error {
	w, err := dialWire(connectionString)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.openSender(*w.ep.EntityPath); err != nil {
		return err
	}
	perBatch := n
	for perBatch*(size+overhead) > 900<<10 {
		perBatch /= 2
	}
	if n%perBatch != 0 {
		return fmt.Errorf("%d events don't make whole batches of %d", n, perBatch)
	}
	m, err := newBatch(perBatch, size)
	if err != nil {
		return err
	}
	return w.publish(m, partitions*n/perBatch)
}
