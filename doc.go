// Package eventhubs sends events to Azure Event Hubs and receives them, over Microsoft's SDK azeventhubs. What the service has accepted is handled at least
// once, in the order of its partition, also when processes are killed, connections drop and storage is down.
//
// A [Config] says which event hub, and how to sign in: with [azidentity.DefaultAzureCredential] or with a connection string. [ConfigFromEnv] reads it from the
// environment.
//
// # Sending
//
// [Producer.Send] takes any number of events, makes batches of them, and returns nil only when the service has accepted every one. Events with the same
// PartitionKey, or the same PartitionID, keep their order, in one call and over the calls that one goroutine makes in turn; of other events nothing is said.
// Send retries lost connections, a busy service and answers that don't come for up to a minute. After that it returns a
// [SendError], which lists the events that were not acknowledged. What waiting can't mend it reports at once.
//
// Not acknowledged is not the same as not stored: when the answer to a batch is lost, nobody can know, and what is sent again may be there twice. Events that
// must not count twice need an id, in MessageID say, by which those who receive them can tell.
//
// # Receiving
//
// [Consumer.Receive] calls a [Handler] for each event, and blocks until its context ends. Events of one partition come one at a time and in order; partitions
// run concurrently, so what handlers share has to be guarded. [Consumer.ReceiveBatch] hands over several events of a partition at once, for what is
// written in bulk.
//
// What the handler returns decides what becomes of the event. Nil means that it is processed. An error means that the same event comes again, after a
// pause that ConsumerOptions.Backoff sets, while the later events of its partition wait. An error that is marked by [Stop] ends Receive, and so does a panic.
// Event Hubs keeps no list of events that could not be handled: send them to another event hub and return nil, as the example for dead letters does.
//
// How far a partition is processed is written down in a [CheckpointStore], in Azure Blob Storage for one: see [NewBlobCheckpointStore]. A checkpoint
// covers nothing but events whose handlers have returned nil, with none left out before them. It is written some time after that: within
// ConsumerOptions.CheckpointInterval, after CheckpointCount events, about a second after a partition falls idle, and when Receive ends. A partition
// without a checkpoint is read from its earliest event, unless ConsumerOptions.Start says otherwise.
//
// The consumers of a group that use the same store share the partitions, in one process or in many. Each takes its share at once, and the others take over
// what it gives back when it ends; what it held when it was killed, they take over once ConsumerOptions.ExpirationInterval has passed.
//
// # Delivery
//
// Delivery is at least once. No event is skipped; it can come more than once
//
//   - when a process was killed: what came after the last checkpoint comes again;
//   - when another consumer takes the partition over while a handler runs: the context of the handler ends, with the cause [ErrOwnershipLost], and the new
//     owner gets the event too;
//   - when Receive has to end and a handler gives up, since ConsumerOptions.DrainTimeout has passed: the cause is [ErrDraining];
//   - when the checkpoint store is down as Receive ends, so that the last checkpoint can't be written;
//   - when a checkpoint is damaged, or the service refuses it: the partition is read from its earliest event;
//   - when it was sent twice.
//
// Handlers therefore have to bear repeats. Partition and sequence number identify an event in its event hub, and make a key for what must be done once.
// The one thing that is lost is what the service itself drops: events that are older than its retention.
//
// # Ending
//
// A service ends Receive with its context. Fetching stops, the handlers that are running finish, the last checkpoints are written, the partitions are
// given back, and Receive returns nil. If the handlers finish in time, nothing comes again. The context of a handler is not the one that has ended; it goes on for as long
// as DrainTimeout allows.
//
// What passes by itself, such as a lost connection, a busy service or storage that is down, Receive sits out, for as long as it takes, and logs it. It returns an error
// when a handler has ended it, a [HandlerError], or when waiting would not help: no such event hub or consumer group, or not authorized. Such an error says what to do.
//
// # Testing
//
// Package eventhubstest is a namespace in the test's own process, with faults on request; [NewMemoryCheckpointStore] is a store for tests. A store of your
// own is checked by package eventhubstest/storetest.
//
// # The SDK
//
// Nothing of it is hidden: [Producer.Client] and [Consumer.Client] are its clients, a [ReceivedEvent] is its event, and every [CheckpointStore] that was written for it fits.
// [LogSDK] shows its log. Checkpoints are shared with programs in Python, .NET and JavaScript.
package eventhubs
