package receive

import (
	"context"
	"errors"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/connection"
	"github.com/go-eventhubs/eventhubs/internal/dial"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
)

const (
	// answerTimeout bounds the wait for an answer. For a partition, the SDK would wait forever (azeventhubs,
	// mgmt.go).
	answerTimeout = 10 * time.Second
	// questionsAtOnce bounds the questions that are under way at one time.
	questionsAtOnce = 16
)

// Questions asks the service for properties, over a connection of its own. It is safe for concurrent use.
type Questions struct {
	shared *connection.Shared[*azeventhubs.ConsumerClient]
}

// NewQuestions returns Questions that connect when the first one is asked.
func NewQuestions(newClient func() (*azeventhubs.ConsumerClient, *dial.Dialer, error)) *Questions {
	return &Questions{connection.New(connection.Options[*azeventhubs.ConsumerClient]{
		New: newClient, Close: connection.CloseConsumer, AtOnce: questionsAtOnce,
		OpenTimeout: openTimeout, CallTimeout: answerTimeout,
		Open: func(ctx context.Context, c *azeventhubs.ConsumerClient) error {
			_, err := c.GetEventHubProperties(ctx, nil)
			return err
		},
		// Of two calls of the SDK one hides its errors from the SDK's own recovery (mgmt.go). So whatever goes wrong, a new
		// connection is made, unless the service says that it is busy.
		Broken: func(err error) bool { return !sdkerr.IsBusy(err) },
	})}
}

// isUnanswered reports whether an error says that the service has not answered.
func isUnanswered(err error) bool { return errors.Is(err, connection.ErrNoAnswer) }

// Close ends questions that are under way, and the connection. It returns when both have ended, or ctx has.
func (q *Questions) Close(ctx context.Context) error { return q.shared.Close(ctx) }

// Hub asks which partitions there are. It takes at most openTimeout and answerTimeout, and so does Partition.
func (q *Questions) Hub(ctx context.Context) (p azeventhubs.EventHubProperties, err error) {
	err = q.shared.Do(ctx, func(ctx context.Context, c *azeventhubs.ConsumerClient) error {
		p, err = c.GetEventHubProperties(ctx, nil)
		return err
	})
	return p, err
}

// Partition asks where a partition begins and ends.
func (q *Questions) Partition(ctx context.Context, id string) (p azeventhubs.PartitionProperties, err error) {
	err = q.shared.Do(ctx, func(ctx context.Context, c *azeventhubs.ConsumerClient) error {
		p, err = c.GetPartitionProperties(ctx, id, nil)
		return err
	})
	return p, err
}
