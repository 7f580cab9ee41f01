// Package eventhubs sends events to Azure Event Hubs and receives them, over Microsoft's SDK azeventhubs.
//
// # Sending
//
// [Producer.Send] groups events by partition key or partition, splits them into batches, and returns nil only when the service has
// accepted every one of them. Events with the same key or partition that one goroutine sends keep their order.
//
// # Receiving
//
// [Consumer.Receive] shares the partitions of an event hub with all other consumers of its group, in this process and in others, and calls
// a handler for each event. Events of one partition come one at a time and in order; partitions run concurrently. An event
// whose handler has returned nil is processed: a checkpoint in a [CheckpointStore] covers it soon after, and reading goes on behind it after a
// restart, in this process or another one. An event whose handler has returned an error comes again. Delivery is at least once:
// after a crash, what came after the last checkpoint comes again.
//
// # Testing
//
// Package eventhubstest runs a namespace in the test's own process, and [NewMemoryCheckpointStore] is a store for tests.
//
// The SDK's own clients are one method away: [Producer.Client] and [Consumer.Client].
package eventhubs
