package eventhubs

import (
	"context"
	"log/slog"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/log"
)

// LogSDK has the logs of Microsoft's SDKs (azeventhubs, azblob, azidentity) go into a logger, at debug level, until stop is called. Nil means [slog.Default].
//
// It is for looking into a problem: the SDKs say much. There is one such log for the whole process (azcore/log, SetListener): the last call counts, and stop ends
// the log of whoever has called last. The SDKs keep keys, signatures and tokens out of it.
func LogSDK(l *slog.Logger) (stop func()) {
	setDefault(&l, slog.Default())
	log.SetListener(func(e log.Event, message string) {
		l.LogAttrs(context.Background(), slog.LevelDebug, message, slog.String("sdk_event", string(e)))
	})
	return func() { log.SetListener(nil) }
}
