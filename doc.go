// Package eventhubs sends events to Azure Event Hubs and receives them, over Microsoft's SDK azeventhubs. Every event
// that the service has accepted is handled at least once, in the order of its partition, even if processes are killed,
// connections drop or storage is down.
//
// A [Config] says which event hub to use and how to sign in: with DefaultAzureCredential or with a connection string.
// [ConfigFromEnv] reads it from the environment.
//
// # Sending
//
// [Producer.Send] takes any number of events, makes batches of them, and returns nil only when the service has accepted
// every event. Events with the same PartitionKey or PartitionID keep their order, within a call and across calls that
// one goroutine makes in turn. Other events have no order. For up to a minute Send retries lost connections, a busy
// service and missing answers. Then it returns a [SendError], which lists the events that were not acknowledged. It
// reports permanent failures at once.
//
// An event that was not acknowledged may have been stored, because the acknowledgement may be what was lost. If you
// send it again, it may be stored twice. If that matters, give events an id, for example in MessageID, by which
// receivers can recognize repeats.
//
// # Receiving
//
// [Consumer.Receive] calls a [Handler] for each event, and blocks until its context ends. Events of one partition are
// handled one at a time and in order. Partitions run concurrently, so guard what handlers share. With
// ConsumerOptions.Concurrency, events of one partition run concurrently too, in order by key. [Consumer.ReceiveBatch]
// passes several events of a partition at once, for bulk writes.
//
// The handler's result decides what happens to the event. Nil means that it is processed. After an error the handler
// gets the same event again, after a pause that ConsumerOptions.Backoff sets, while later events of the partition wait.
// An error marked by [Stop] ends Receive, and so does a panic. [DeadLetter] sends an event that keeps failing to
// another event hub, so that its partition moves on.
//
// A [CheckpointStore] records how far each partition has been processed, usually in Azure Blob Storage: see
// [NewBlobCheckpointStore]. A checkpoint covers an event only if the handlers of that event and of all events before it
// have returned nil. A partition writes at most one checkpoint per ConsumerOptions.CheckpointInterval, and also one
// after CheckpointCount events and one when it is released. If none was written for that long, as when a partition was
// just taken, the first event is covered within about a second. A partition without a checkpoint is read from its
// earliest event, unless ConsumerOptions.Start says otherwise.
//
// The consumers of a group that use the same store share the partitions, in one process or in many. A new consumer asks
// the others for its share: they finish their current work, write a checkpoint, and release the partitions. When a
// consumer ends, the others take its partitions at once; when it is killed, they take them after
// ConsumerOptions.ExpirationInterval.
//
// # Delivery
//
// Delivery is at least once. No event is skipped. Events are repeated
//
//   - when a process is killed: those after the last checkpoint;
//   - when another consumer takes the partition without asking, as other SDKs do: the handler's context ends with the
//     cause [ErrOwnershipLost], and the new owner gets the events after the last checkpoint;
//   - when Receive has to end and a handler takes longer than ConsumerOptions.DrainTimeout: the cause is [ErrDraining].
//     With Concurrency, what was processed ahead of its event comes again too, as it does if a handler keeps failing;
//   - when the checkpoint store is down as Receive ends, so that the last checkpoint cannot be written;
//   - when a checkpoint is damaged, or the service refuses its position: the partition is read from its earliest event;
//   - when an event was sent twice.
//
// So handlers must tolerate repeats. Partition and sequence number identify an event in its event hub; use them as the
// key for what must be done once. Only the service drops events: those that are older than its retention.
//
// # Ending
//
// A service ends Receive with its context. Receive stops fetching, running handlers finish, the last checkpoints are
// written, the partitions are released, and Receive returns nil. If the handlers finish in time, nothing is repeated. A
// handler's context does not end with that of Receive; it lasts as long as DrainTimeout allows.
//
// Receive fails if nothing answers when it starts: within ten seconds if connections are refused or the name cannot be
// resolved, within half a minute if they are not answered (with the default Config.Retry). Once the service has
// answered, Receive logs and retries transient failures until they clear: lost connections, a service that is busy or
// does not answer, an outage of storage, or storage that refuses what it has allowed before. It returns an error when a
// handler ends it (a [HandlerError]), or when waiting would not help: no such event hub or consumer group
// ([ErrNotFound]), or not authorized ([ErrNotAuthorized]). What has worked before is retried for a minute first. The
// error says what to do.
//
// # Testing
//
// Package eventhubstest is a namespace in the test's own process, with faults on request. [NewMemoryCheckpointStore] is
// a store for tests. Package eventhubstest/storetest tests a store of your own.
//
// # The SDK
//
// Nothing of the SDK is hidden: [Producer.Client] and [Consumer.Client] are its clients, a [ReceivedEvent] embeds its
// event, and any [CheckpointStore] for it can be used. [LogSDK] shows its log. Checkpoints have the format of
// Microsoft's other SDKs.
package eventhubs
