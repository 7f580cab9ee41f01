// Package eventhubstest runs an Event Hubs namespace in one Go process: it is to Event Hubs what net/http/httptest is
// to HTTP.
//
// Programs talk to it over a real socket, in real AMQP 1.0, with Microsoft's own SDKs in any language; nothing is
// mocked. Beside it runs the part of Azure Blob Storage that a checkpoint store needs. So a program that uses Event
// Hubs can be run and tested without Azure, without Docker and without the network:
//
//	srv := eventhubstest.Start(t, nil)
//	producer, err := eventhubs.NewProducer(srv.Config("hub"), nil)
//
// # Other processes
//
// [Server.Env] and [Server.PasswordlessEnv] return the environment variables with which programs in any language find
// the server, and [Server.WriteTrust] those with which they trust its CA. examples/emulator prints them for a shell. If
// AMQP is at its usual port (5671, or 5672 without TLS), the name of the namespace is localhost in every client, so all
// clients find each other's checkpoints. At another port, Python's client makes the port part of the name; so do this
// library and the Go SDK without TLS. JavaScript's and Java's clients never do. With TLS, Python's client can use port
// 5671 only.
//
// # Virtual time
//
// With [Options.InMemory] the server listens in memory, and everything runs inside a bubble of testing/synctest, whose
// clock advances whenever all goroutines are blocked. Hours of outages, retries and expiring tokens take milliseconds:
//
//	func TestOutage(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			srv := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true})
//			store, err := eventhubs.NewBlobCheckpointStore(t.Context(), srv.BlobConfig("checkpoints"))
//			…
//			consumer, err := eventhubs.NewConsumer(srv.Config("hub"), store, nil)
//			…
//			go consumer.Receive(t.Context(), handler)
//			repair := srv.BlobFault(eventhubstest.BlobFault{Status: 503})
//			time.Sleep(time.Hour)
//			repair()
//			…
//			consumer.Close(t.Context())
//		})
//	}
//
// In such tests:
//
//   - Create everything inside the bubble: the server, stores, producers and consumers. Close producers and consumers
//     before the test ends, with t.Cleanup if the test may fail: a bubble whose goroutines wait forever panics. [Start]
//     closes the server.
//   - The clock starts at midnight UTC on 2000-01-01. The server's certificate is valid for a century.
//   - Config, PasswordlessConfig, BlobConfig and PasswordlessBlobConfig reach the server. Other clients take
//     [Server.NewWebSocketConn] (azeventhubs), the ClientOptions of a BlobConfig (azblob), or [Server.DialContext].
//     Credentials that the process shares, such as azidentity.DefaultAzureCredential, belong to no bubble.
//   - A consumer client of the SDK leaves a goroutine behind until its token would have been renewed. Start waits for
//     that. With [New], call time.Sleep(24 * time.Hour) when everything is closed, or sleep for Options.TokenLifetime
//     if that is longer. The sleep takes no real time.
//   - The clock stands still while a goroutine waits for a sync.Mutex. If the one that holds the mutex waits for the
//     clock, the test hangs. This happens to clients of the SDK when several goroutines share one and an answer takes
//     time, because of Options.RoundTrip or a fault. It does not happen to producers and consumers of
//     package eventhubs.
//
// # Limits
//
// Events are kept in memory, up to a bound for each partition, and are gone when the server is closed. The server is
// made for tests and for development on one machine: it listens on loopback, and its keys are public.
package eventhubstest
