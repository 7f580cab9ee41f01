package connection

import (
	"context"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/dial"
)

// CloseConsumer closes a ConsumerClient for good, with its connection. Its partition clients have to be closed before.
//
// The SDK's own Close leaves the link to $management behind, and with it the goroutine that renews the token of that
// link, until the renewal is due (azeventhubs, consumer_client.go, Close). But it closes such a link properly after a
// call has failed on it (internal/links_recover.go, RecoverIfNeeded). So one call is made to fail: the dialer is closed
// first, and the call can't wait for the network. The call asks for a token, though: a credential may take as long as
// it is allowed to (package signin). So when ctx ends, CloseConsumer returns its cause, and the rest is done beside it:
// a call with an ended context would return before it looks at the link.
func CloseConsumer(ctx context.Context, client *azeventhubs.ConsumerClient, dialer *dial.Dialer) error {
	dialer.Close()
	apart := context.WithoutCancel(ctx)
	closed := make(chan error, 1)
	go func() {
		_, _ = client.GetEventHubProperties(apart, nil)
		closed <- client.Close(apart)
	}()
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
