package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	goamqp "github.com/Azure/go-amqp"
	"github.com/coder/websocket"
)

const sdkModule = "github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

// goSDK is Microsoft's client for Go, as it comes.
type goSDK struct {
	openMu sync.Mutex
	last   int
	open   map[string]*background // readers and processors that run
}

// background is a reader or a processor that runs until it is stopped.
type background struct {
	stop     context.CancelFunc
	ended    chan struct{}
	eventsMu sync.Mutex
	count    int
	events   []processedEvent
	owned    map[string]bool
	err      error
}

func newGoSDK() *goSDK { return &goSDK{open: map[string]*background{}} }

func (g *goSDK) hello(context.Context) (hello, error) { return helloOf("go"), nil }

// helloOf returns the versions of the modules that this program was built with.
func helloOf(name string) hello {
	h := hello{Client: name, Version: map[string]string{}}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == sdkModule || m.Path == "github.com/Azure/go-amqp" {
				h.Version[strings.TrimPrefix(m.Path, "github.com/Azure/")] = m.Version
			}
		}
	}
	return h
}

// quick makes an operation that can't succeed fail within seconds.
var quick = azeventhubs.RetryOptions{MaxRetries: 3, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: time.Second}

func (g *goSDK) producer(at target) (*azeventhubs.ProducerClient, error) {
	trusted, err := trust(at)
	if err != nil {
		return nil, err
	}
	connection, endpoint := dial(at)
	return azeventhubs.NewProducerClientFromConnectionString(connection, "", &azeventhubs.ProducerClientOptions{
		TLSConfig: trusted, RetryOptions: quick, CustomEndpoint: endpoint, NewWebSocketConn: webSocket(at, trusted),
	})
}

func (g *goSDK) consumer(at target) (*azeventhubs.ConsumerClient, error) {
	trusted, err := trust(at)
	if err != nil {
		return nil, err
	}
	connection, endpoint := dial(at)
	return azeventhubs.NewConsumerClientFromConnectionString(connection, "", at.Group, &azeventhubs.ConsumerClientOptions{
		TLSConfig: trusted, RetryOptions: quick, CustomEndpoint: endpoint, NewWebSocketConn: webSocket(at, trusted),
	})
}

// dial returns what tells the SDK where a namespace is. Over TLS the SDK takes host and port together for the name in
// the certificate (azeventhubs/v2, internal/namespace.go, newClientImpl), so the port goes into the custom endpoint.
func dial(at target) (connection, endpoint string) {
	p, err := azeventhubs.ParseConnectionString(at.Connection)
	if err != nil || at.CA == "" {
		return at.Connection, ""
	}
	address := strings.TrimPrefix(p.Endpoint, "sb://")
	host, _, _ := strings.Cut(address, ":")
	return strings.Replace(at.Connection, address, host, 1), strings.TrimSuffix(address, "/")
}

// socketMaker is the SDK's type of a function that opens a WebSocket.
type socketMaker func(context.Context, azeventhubs.WebSocketConnParams) (net.Conn, error)

// webSocket returns the function that makes the SDK use WebSockets, or nil if it must not.
func webSocket(at target, trusted *tls.Config) socketMaker {
	if !at.WebSockets {
		return nil
	}
	return func(ctx context.Context, _ azeventhubs.WebSocketConnParams) (net.Conn, error) {
		cs, err := azeventhubs.ParseConnectionString(at.Connection)
		if err != nil {
			return nil, err
		}
		scheme := "ws://"
		if trusted != nil {
			scheme = "wss://"
		}
		url := scheme + strings.TrimSuffix(strings.TrimPrefix(cs.Endpoint, "sb://"), "/") + "/$servicebus/websocket"
		c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{
			Subprotocols: []string{"amqp"}, HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: trusted}},
		})
		if err != nil {
			return nil, err
		}
		return websocket.NetConn(context.WithoutCancel(ctx), c, websocket.MessageBinary), nil
	}
}

func trust(at target) (*tls.Config, error) {
	if at.CA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(at.CA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots}, nil
}

func (g *goSDK) hubProperties(ctx context.Context, at target) (hubProperties, error) {
	c, err := g.consumer(at)
	if err != nil {
		return hubProperties{}, err
	}
	defer c.Close(ctx)
	return hubOf(ctx, c)
}

func (g *goSDK) partitionProperties(ctx context.Context, at target, partition string) (partitionProperties, error) {
	c, err := g.consumer(at)
	if err != nil {
		return partitionProperties{}, err
	}
	defer c.Close(ctx)
	return partitionOf(ctx, c, partition)
}

// asker is the part of a producer's or a consumer's client that returns properties.
type asker interface {
	GetEventHubProperties(
		context.Context, *azeventhubs.GetEventHubPropertiesOptions) (azeventhubs.EventHubProperties, error)
	GetPartitionProperties(
		context.Context, string, *azeventhubs.GetPartitionPropertiesOptions) (azeventhubs.PartitionProperties, error)
}

func hubOf(ctx context.Context, c asker) (hubProperties, error) {
	p, err := c.GetEventHubProperties(ctx, nil)
	if err != nil {
		return hubProperties{}, goFault(err)
	}
	return hubProperties{Name: p.Name, CreatedMS: p.CreatedOn.UnixMilli(), Partitions: p.PartitionIDs}, nil
}

func partitionOf(ctx context.Context, c asker, partition string) (partitionProperties, error) {
	p, err := c.GetPartitionProperties(ctx, partition, nil)
	if err != nil {
		return partitionProperties{}, goFault(err)
	}
	return partitionProperties{
		Hub: p.EventHubName, Partition: p.PartitionID, Begin: p.BeginningSequenceNumber, Last: p.LastEnqueuedSequenceNumber,
		LastOffset: p.LastEnqueuedOffset, LastMS: p.LastEnqueuedOn.UnixMilli(), Empty: p.IsEmpty,
	}, nil
}

// goFault tells the kinds of errors apart as the drivers do. The SDK's errors hide conditions and status codes in their
// texts (azeventhubs/v2, internal/exported/error.go has no Unwrap).
func goFault(err error) error {
	if err == nil || kindOf(err) != "" {
		return err
	}
	kind := kindOther
	says := func(text any) bool { return strings.Contains(err.Error(), fmt.Sprint(text)) }
	switch {
	case says(azeventhubs.ErrorCodeUnauthorizedAccess), says(goamqp.ErrCondUnauthorizedAccess), says("status code 401"):
		kind = kindUnauthorized
	case says(azeventhubs.ErrorCodeOwnershipLost), says(goamqp.ErrCondStolen):
		kind = kindStolen
	case says(goamqp.ErrCondResourceLimitExceeded):
		kind = kindQuota
	case says(goamqp.ErrCondNotFound), says("status code 404"):
		kind = kindNotFound
	case says("com.microsoft:argument-out-of-range"),
		says("status code 400 and description: The specified partition is invalid"):
		kind = kindOutOfRange
	case errors.Is(err, azeventhubs.ErrEventDataTooLarge):
		kind = kindTooLarge
	case errors.Is(err, context.DeadlineExceeded):
		kind = kindTimeout
	}
	return &fault{kind, err.Error()}
}

// background starts a reader or a processor, and returns its name.
func (g *goSDK) background(run func(context.Context, *background) error) string {
	ctx, stop := context.WithCancel(context.Background())
	b := &background{stop: stop, ended: make(chan struct{}), owned: map[string]bool{}}
	go func() {
		defer close(b.ended)
		err := run(ctx, b)
		b.eventsMu.Lock()
		defer b.eventsMu.Unlock()
		if ctx.Err() == nil {
			b.err = err
		}
	}()
	g.openMu.Lock()
	defer g.openMu.Unlock()
	g.last++
	name := fmt.Sprint(g.last)
	g.open[name] = b
	return name
}

func (g *goSDK) find(name string) (*background, error) {
	g.openMu.Lock()
	defer g.openMu.Unlock()
	if b := g.open[name]; b != nil {
		return b, nil
	}
	return nil, fmt.Errorf("no reader or processor is called %q", name)
}

// end stops a reader or a processor and waits for it.
func (g *goSDK) end(name string) error {
	b, err := g.find(name)
	if err != nil {
		return err
	}
	b.stop()
	<-b.ended
	g.openMu.Lock()
	defer g.openMu.Unlock()
	delete(g.open, name)
	return nil
}

// close ends all readers and processors.
func (g *goSDK) close() {
	g.openMu.Lock()
	var all []*background
	for _, b := range g.open {
		all = append(all, b)
	}
	g.openMu.Unlock()
	for _, b := range all {
		b.stop()
		<-b.ended
	}
}

// fault is why the reader or processor failed, or nil.
func (b *background) fault() *fault {
	var f *fault
	if errors.As(goFault(b.err), &f) {
		return f
	}
	return nil
}
