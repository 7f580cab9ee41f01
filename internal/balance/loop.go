package balance

import (
	"context"
	"log/slog"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// Options describe a Loop. All fields are required, except those that say otherwise.
type Options struct {
	// Store keeps who owns which partition. If it keeps requests too, partitions are handed over; otherwise they are
	// taken from their owners, as the SDKs do. Its calls must end with their context.
	Store                              azeventhubs.CheckpointStore
	Namespace, EventHub, ConsumerGroup string
	// Owner is the name under which partitions are claimed. It is this consumer's alone.
	Owner string
	// Strategy is greedy, which claims a whole share at once, or balanced, which claims one partition per UpdateInterval.
	Strategy azeventhubs.ProcessorStrategy
	// UpdateInterval is the longest time between two listings of the store.
	UpdateInterval time.Duration
	// Expiration is how long a claim lasts without being renewed.
	Expiration time.Duration
	// DrainTimeout is how long a reader that is asked for its partition may take to finish.
	DrainTimeout time.Duration
	// Partitions are the ids known at the start.
	Partitions []string
	// AskPartitions returns the ids there are now. It is called every minute, and bounds itself.
	AskPartitions func(ctx context.Context) ([]string, error)
	// Refused reports whether an error of the store needs a person to mend it. Such an error ends Run, unless the store has
	// answered before. Nil means that no error does.
	Refused func(error) bool
	// Taken is called with each partition that becomes ours. It must not block.
	Taken  func(*Claim)
	Logger *slog.Logger
}

// Loop claims partitions and renews the claims. Its methods are safe for concurrent use.
type Loop struct{}

// New returns a Loop that holds nothing until Run is called.
func New(o Options) *Loop { return &Loop{} }

// Run lists, plans and claims until ctx ends; then it returns nil. It returns an error only if the store refuses what
// it is asked before it has answered once. It may be called once.
func (l *Loop) Run(ctx context.Context) error { return nil }

// Drain stops claiming: nothing new is claimed or asked for, and requests are withdrawn. What is held is renewed until it
// is released.
func (l *Loop) Drain() {}

// Claims returns what is held now, by partition id.
func (l *Loop) Claims() []*Claim { return nil }

// Health is how the checkpoint store answers.
type Health struct {
	// Answered says that the store has said once who owns which partition.
	Answered bool
	// FailingSince is when the calls began that have failed ever since. It is zero if the last ones succeeded.
	FailingSince time.Time
	// Err is why the last of them failed.
	Err error
}

// Health returns how the checkpoint store answers now.
func (l *Loop) Health() Health { return Health{} }
