package eventhubs

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/log"

	"github.com/go-eventhubs/eventhubs/internal/signin"
)

// LogSDK sends the logs of Microsoft's SDKs (azeventhubs, azblob, azidentity) to a logger, at debug level, until stop
// is called. Nil means [slog.Default].
//
// It is for investigating a problem, as the SDKs log a lot. Call it before you make the first producer, consumer or
// store: the SDKs read their listener without a lock. There is one such log in a process (azcore/log, SetListener): the
// last call wins, and stop undoes it. The SDKs keep secrets out of their logs, except the signature in the address of a
// request that could not be sent (azcore, runtime/policy_logging.go). LogSDK removes signatures, keys, and passwords in
// addresses.
func LogSDK(l *slog.Logger) (stop func()) {
	l = cmp.Or(l, slog.Default())
	sdkLog.Store(l)
	listenToSDK.Do(func() { log.SetListener(logOfSDK) })
	return func() { sdkLog.CompareAndSwap(l, nil) }
}

var (
	listenToSDK sync.Once
	sdkLog      atomic.Pointer[slog.Logger] // nil: nobody listens
)

func logOfSDK(e log.Event, message string) {
	if l := sdkLog.Load(); l != nil && l.Enabled(context.Background(), slog.LevelDebug) {
		l.LogAttrs(context.Background(), slog.LevelDebug, signin.WithoutSecrets(message), slog.String("sdk_event", string(e)))
	}
}
