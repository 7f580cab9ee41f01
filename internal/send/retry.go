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

// kind is the kind of an error, which decides whether it is retried.
type kind int

const (
	// final errors do not clear by waiting: a refused argument, an unknown name.
	final kind = iota
	// busy means that the service says so. It is retried.
	busy
	// lost means a lost connection, one that cannot be made, or a missing answer.
	lost
	// unauthorized may be a token that has just expired, or a right that was revoked.
	unauthorized
)

// kindOf returns the kind of an error. An unknown error of the SDK counts as a lost connection, as it does in the SDK
// (azeventhubs, internal/errors.go, GetRecoveryKind).
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

// pause says whether to retry what has failed n times, for the time failing, and how long to wait first.
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
		// A link may be opened just as its token expires. If nothing was ever authorized, it is not retried.
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

// sdkPause is the SDK's pause after n failures, and whether it retries at all (azeventhubs,
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
