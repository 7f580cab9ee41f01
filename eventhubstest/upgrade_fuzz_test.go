package eventhubstest_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// Whatever a client sends first, the connection ends once the client has closed, and Read returns only bytes that the
// client sent.
func FuzzUpgrade(f *testing.F) {
	const get = "GET /$servicebus/websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: " +
		"websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: amqp\r\n\r\n"
	f.Add([]byte(get))
	f.Add([]byte(get + "\x82\x88\x00\x00\x00\x00AMQP\x03\x01\x00\x00")) // one message
	f.Add([]byte(get + "\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"))     // of 2^64-1 bytes
	f.Add([]byte(get + "\x88\x80\x00\x00\x00\x00"))
	f.Add([]byte("AMQP\x03\x01\x00\x00"))
	f.Add([]byte(strings.NewReplacer("websocket HTTP", "websocket/ HTTP", "amqp", "AMQPWSB10").Replace(get)))
	f.Add([]byte(strings.Replace(get, "amqp", "mqtt", 1)))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		server, client := net.Pipe()
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			_, _ = io.Copy(io.Discard, client)
		}()
		written := make(chan struct{})
		go func() {
			defer close(written)
			_, _ = client.Write(sent)
			_ = client.SetDeadline(time.Now())
			client.Close()
		}()
		c := eventhubstest.NewAMQPConn(server)
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		n, err := io.Copy(io.Discard, c)
		if n > int64(len(sent)) {
			t.Fatalf("%d bytes were read of %d", n, len(sent))
		}
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Fatalf("the connection doesn't end: %v", err)
		}
		c.Close()
		<-written
		<-drained
	})
}
