package send

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/connection"
	"github.com/go-eventhubs/eventhubs/internal/retry"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
)

// kind says what kind of an error it is, which decides whether it is tried again.
type kind int

const (
	// final errors are not mended by waiting: an argument that the service refuses, a name that it doesn't know.
	final kind = iota
	// busy is a service that says so. It is waited for.
	busy
	// lost is a connection that was lost, or can't be made, or an answer that does not come.
	lost
	// unauthorized may be a token that has just run out, or a right that was taken away.
	unauthorized
)

// kindOf tells what kind of an error it is. What an error of the SDK doesn't name otherwise counts as a lost
// connection, as it does to the SDK (azeventhubs, internal/errors.go, GetRecoveryKind).
func kindOf(err error) kind {
	switch {
	case errors.Is(err, connection.ErrLost), errors.Is(err, connection.ErrNoAnswer):
		return lost
	case sdkerr.IsUnauthorized(err):
		return unauthorized
	case sdkerr.IsNotFound(err), sdkerr.IsInvalid(err), sdkerr.IsFull(err), sdkerr.IsRefusedPosition(err):
		return final
	case sdkerr.IsBusy(err):
		return busy
	case sdkerr.IsLost(err):
		return lost
	}
	return final
}

// pause says whether something is tried again that has failed n times, for so long, and how long to wait before.
func (e *Engine) pause(err error, n int, failing time.Duration) (wait time.Duration, again bool) {
	if failing >= e.options.RetryFor {
		return 0, false
	}
	switch kindOf(err) {
	case busy:
		return backoff(n), true
	case lost:
		if e.reached.Load() {
			return backoff(n), true
		}
		return sdkPause(e.options.Retry, n)
	case unauthorized:
		// A link may be opened just as its token runs out. Before anything was ever authorized, no more is tried.
		return backoff(n), e.reached.Load() || n == 1 && !sdkerr.IsRefusedToken(err)
	default:
		return 0, false
	}
}

const (
	shortest = 100 * time.Millisecond
	longest  = 5 * time.Second
)

// backoff is the pause after n failures: 100 ms after the first, doubling up to 5 seconds, give or take a quarter.
func backoff(n int) time.Duration { return retry.Jitter(retry.Exponential(shortest, longest, n)) }

// sdkPause is the pause that the SDK makes after n failures, and whether it tries again at all (azeventhubs,
// internal/utils/retrier.go, setDefaults and calcDelay).
func sdkPause(o azeventhubs.RetryOptions, n int) (wait time.Duration, again bool) {
	switch {
	case o.MaxRetries == 0:
		o.MaxRetries = 3
	case o.MaxRetries < 0:
		o.MaxRetries = 0
	}
	switch {
	case o.RetryDelay == 0:
		o.RetryDelay = 4 * time.Second
	case o.RetryDelay < 0:
		o.RetryDelay = 0
	}
	if o.MaxRetryDelay == 0 {
		o.MaxRetryDelay = 2 * time.Minute
	}
	if n > int(o.MaxRetries) {
		return 0, false
	}
	wait = time.Duration(float64(o.RetryDelay) * float64(uint64(1)<<min(n, 40)-1) * (0.8 + rand.Float64()/2))
	if o.MaxRetryDelay > 0 && (wait > o.MaxRetryDelay || wait < 0) {
		wait = o.MaxRetryDelay
	}
	return max(wait, 0), true
}
