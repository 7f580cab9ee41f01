package eventhubs

import (
	"context"
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/log"
)

// LogSDK has the logs of Microsoft's SDKs (azeventhubs, azblob, azidentity) go into a logger, at debug level, until stop is called. Nil means [slog.Default].
//
// It is for looking into a problem: the SDKs say much. Call it before the first producer, consumer or store is made: the SDKs look for who listens without a lock. There is
// one such log for the whole process (azcore/log, SetListener): the last call counts, and stop ends what it has begun. The SDKs keep secrets out of their logs but for the
// signature in the address of a request that could not be sent (azcore, runtime/policy_logging.go): signatures, keys, and passwords in addresses are cut out here.
func LogSDK(l *slog.Logger) (stop func()) {
	setDefault(&l, slog.Default())
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
		l.LogAttrs(context.Background(), slog.LevelDebug, withoutSignatures(message), slog.String("sdk_event", string(e)))
	}
}

var (
	signature = regexp.MustCompile(`(?i)\b(sig|SharedAccessKey|AccountKey)=[^&;"\s]+`)
	password  = regexp.MustCompile(`://[^/@\s"]*@`)
)

func withoutSignatures(text string) string {
	return password.ReplaceAllString(signature.ReplaceAllString(text, "$1=…"), "://…@")
}
