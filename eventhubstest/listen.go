package eventhubstest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/internal/server/memnet"
)

const anotherAddress = "choose another address, with port 0 for any that is free"

func (s *Server) listen(o Options) (err error) {
	for _, address := range append([]string{o.Address}, o.MoreAddresses...) {
		l, err := s.listenAMQP(address, o.RoundTrip)
		if err != nil {
			return fmt.Errorf("serve AMQP: %w: "+anotherAddress, err)
		}
		s.amqp = append(s.amqp, l)
	}
	if s.blob, err = s.listenBlob(o); err != nil {
		return fmt.Errorf("serve blobs: %w: "+anotherAddress, err)
	}
	if o.TLS {
		err = s.listenTLS()
	}
	s.blobClient = s.newBlobClient()
	return err
}

// listenAMQP delays what is sent below TLS, because the TLS handshake takes round trips as well.
func (s *Server) listenAMQP(address string, roundTrip time.Duration) (net.Listener, error) {
	l, err := s.listenTCP(address)
	switch l := l.(type) {
	case *memnet.Listener:
		s.memory.amqp = append(s.memory.amqp, l)
		l.SetRoundTrip(roundTrip)
	case *net.TCPListener:
		if roundTrip > 0 {
			return delayListener{l, roundTrip}, nil
		}
	}
	return l, err
}

func (s *Server) listenBlob(o Options) (net.Listener, error) {
	l, err := s.listenTCP(o.BlobAddress)
	if err != nil {
		return nil, err
	}
	if l, ok := l.(*memnet.Listener); ok {
		s.memory.blob = l
	}
	return newHTTPListener(l, maxHTTPConnections, httpRequestTimeout), nil
}

// listenTCP listens in memory or on a socket, as the options say.
func (s *Server) listenTCP(address string) (net.Listener, error) {
	if address == "" {
		address = loopback
	}
	if s.memory == nil {
		return net.Listen("tcp", address)
	}
	l, err := s.memory.network.Listen(address)
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (s *Server) listenTLS() (err error) {
	life := certificateLife
	if s.memory != nil {
		life = certificateLifeInMemory
	}
	if s.tls, err = newAuthority(life); err != nil {
		return err
	}
	config := &tls.Config{Certificates: []tls.Certificate{s.tls.server}}
	for i, l := range s.amqp {
		s.amqp[i] = tls.NewListener(l, config)
	}
	s.blob = tls.NewListener(s.blob, config)
	return nil
}

// Addresses returns where AMQP is spoken, as host:port for clients on this machine: Options.Address, and MoreAddresses.
func (s *Server) Addresses() []string {
	out := make([]string, len(s.amqp))
	for i, l := range s.amqp {
		out[i] = dialable(l)
	}
	return out
}

// dialable returns the address at which clients on this machine reach a listener, even if it listens on all addresses.
func dialable(l net.Listener) string {
	if a, ok := l.Addr().(*net.TCPAddr); ok && a.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(a.Port))
	}
	return l.Addr().String()
}

// DialContext connects to an address of the server: in memory if it listens there, and through a net.Dialer otherwise.
// It is for clients that use neither Config nor BlobConfig, such as an http.Transport for the identity endpoint.
func (s *Server) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if s.memory == nil {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	return s.memory.network.DialContext(ctx, network, address)
}

// NewWebSocketConn connects a client of the SDK to the server, in memory or through a socket. Set it as the option of
// that name in [azeventhubs.ProducerClientOptions] and [azeventhubs.ConsumerClientOptions]. The client speaks AMQP over
// the connection directly, without WebSockets.
func (s *Server) NewWebSocketConn(ctx context.Context, _ azeventhubs.WebSocketConnParams) (net.Conn, error) {
	nc, err := s.DialContext(ctx, "tcp", dialable(s.amqp[0]))
	if err != nil || s.tls == nil {
		return nc, err
	}
	secured := tls.Client(nc, s.clientTLS())
	if err := secured.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, err
	}
	return secured, nil
}

// clientDial is the DialContext of configs; nil means their default.
func (s *Server) clientDial() func(ctx context.Context, network, address string) (net.Conn, error) {
	if s.memory == nil {
		return nil
	}
	return s.memory.network.DialContext
}

func (s *Server) clientTLS() *tls.Config {
	if s.tls == nil {
		return nil
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.tls.pem)
	// Without ServerName, go-amqp would expect the namespace with its port in the certificate (conn.go, initTLSConfig).
	return &tls.Config{RootCAs: roots, ServerName: certificateName}
}

// reach makes a blob config trust the server and dial it, if it needs its own transport for that.
func (s *Server) reach(cfg *eventhubs.BlobConfig) {
	if s.blobClient != nil {
		cfg.ClientOptions.Transport = &http.Client{Transport: s.blobClient}
	}
}

// newBlobClient returns a transport with the limits of azcore's own (runtime, transport_default_http_client.go), or nil
// if azblob's default will do.
func (s *Server) newBlobClient() *http.Transport {
	if s.tls == nil && s.memory == nil {
		return nil
	}
	return &http.Transport{
		DialContext: s.clientDial(), TLSClientConfig: s.clientTLS(),
		MaxIdleConns: 100, MaxIdleConnsPerHost: 10, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
	}
}
