// Package eventhubs sends events to Azure Event Hubs and receives them, over Microsoft's SDK azeventhubs. What the
// service has accepted is handled at least once, in the order of its partition, also when processes are killed,
// connections drop and storage is down.
//
// A [Config] says which event hub, and how to sign in: with DefaultAzureCredential or with a connection string.
// [ConfigFromEnv] reads it from the environment.
//
// # Sending
//
// [Producer.Send] takes any number of events, makes batches of them, and returns nil only when the service has accepted
// every one. Events with the same PartitionKey, or the same PartitionID, keep their order, in one call and over the
// calls that one goroutine makes in turn. Other events have no order. Send retries lost connections, a busy
// service and answers that don't come, for up to a minute. Then it returns a [SendError], which lists the events that
// were not acknowledged. What waiting can't mend it reports at once.
//
// Such an event may be stored all the same: if the answer to a batch is lost, nobody knows. If it is sent again, it may
// be there twice. Events that must not count twice need an id, in MessageID say, by which those who receive them can
// tell.
//
// # Receiving
//
// [Consumer.Receive] calls a [Handler] for each event, and blocks until its context ends. Events of one partition come
// one at a time and in order; partitions run concurrently, so what handlers share must be guarded.
// [Consumer.ReceiveBatch] passes several events of a partition at once, for what is written in bulk.
//
// What the handler returns decides what becomes of the event. Nil means that it is processed. An error means that the
// same event comes again, after a pause that ConsumerOptions.Backoff sets, while the later events of its partition
// wait. An error that is marked by [Stop] ends Receive, and so does a panic. [DeadLetter] sends an event that fails
// again and again to another event hub, so that its partition moves on.
//
// A [CheckpointStore] keeps how far each partition is processed, in Azure Blob Storage for one: see
// [NewBlobCheckpointStore]. A checkpoint covers only events whose handlers have returned nil, with none left out before
// them. A partition writes one at most every ConsumerOptions.CheckpointInterval, after CheckpointCount events, and when
// it is given up. If none was written for that long, the first event is covered within about a second, as are the first
// events of a partition that was just taken. A partition without a checkpoint is read from its earliest event, unless
// ConsumerOptions.Start says otherwise.
//
// The consumers of a group that use the same store share the partitions, in one process or in many. Each takes its
// share at once, and asks for it if others hold it: they finish what they are at, write a checkpoint, and give the
// partitions up. What a consumer holds when it ends, the others take over at once; what it held when it was killed,
// they take over after ConsumerOptions.ExpirationInterval.
//
// # Delivery
//
// Delivery is at least once. No event is skipped; events are repeated
//
//   - when a process was killed: those after the last checkpoint;
//   - when another consumer takes the partition without asking, as those of other SDKs do: the context of the handler
//     ends, with the cause [ErrOwnershipLost], and the new owner gets the events after the last checkpoint;
//   - when Receive has to end and a handler gives up, because ConsumerOptions.DrainTimeout has passed: the cause is
//     [ErrDraining];
//   - when the checkpoint store is down as Receive ends, so that the last checkpoint can't be written;
//   - when a checkpoint is damaged, or the service refuses it: the partition is read from its earliest event;
//   - when an event was sent twice.
//
// So handlers must bear repeats. Partition and sequence number identify an event in its event hub, and make a key for
// what must be done once. Only the service itself drops events: those that are older than its retention.
//
// # Ending
//
// A service ends Receive with its context. Fetching stops, running handlers finish, the last checkpoints are written,
// the partitions are given up, and Receive returns nil. If the handlers finish in time, nothing is repeated. The
// context of a handler is not the one that has ended: it lasts as long as DrainTimeout allows.
//
// Receive fails if nothing answers when it begins: within ten seconds if connections are refused or the name can't be
// resolved, within half a minute if they are not answered (with the default Config.Retry). Once the service has
// answered, Receive retries what is transient for as long as it takes, and logs it: lost connections, a service that is
// busy or does not answer, storage that is down. It returns an error when a handler ends it, a [HandlerError], or when
// waiting would not help: no such event hub or consumer group, or not authorized. What was right before is retried for
// a minute in that case. The error says what to do, and matches [ErrNotFound] or [ErrNotAuthorized].
//
// # Testing
//
// Package eventhubstest is a namespace in the test's own process, with faults on request; [NewMemoryCheckpointStore] is
// a store for tests. Package eventhubstest/storetest checks a store of your own.
//
// # The SDK
//
// Nothing of it is hidden: [Producer.Client] and [Consumer.Client] are its clients, a [ReceivedEvent] is its event, and
// every [CheckpointStore] that was written for it fits. [LogSDK] shows its log. Checkpoints are in the format that
// Microsoft's other SDKs have.
package eventhubs
