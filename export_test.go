package eventhubs

import (
	"context"
	"net"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// WithDialTimeouts returns the Config with other bounds than connectTimeout and handshakeTimeout.
func WithDialTimeouts(cfg Config, connect, handshake time.Duration) Config {
	cfg.timeouts.connect, cfg.timeouts.handshake = connect, handshake
	return cfg
}

// Dial makes one connection, as the SDK has it made.
func Dial(ctx context.Context, cfg Config) (net.Conn, error) {
	t, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	return t.dialer().Dial(ctx, azeventhubs.WebSocketConnParams{})
}
