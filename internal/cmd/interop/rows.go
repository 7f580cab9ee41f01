package main

import "context"

// row is an operation that every client is tried with.
type row struct {
	name string
	// at says in which variants it is run.
	at  []variant
	run func(ctx context.Context, s *scene) error
	// only names the one client that it is for; empty: all.
	only string
}

// variant is one of the ways in which a row is run: a transport, or whose storage account holds the checkpoints.
type variant string

const (
	plain   variant = "plain"
	overTLS variant = "TLS"
	local   variant = "local blobs"
	azurite variant = "Azurite"
)

var (
	transports = []variant{plain, overTLS}
	accounts   = []variant{local, azurite}
)

// rows are the operations, in the order in which they are run and shown.
func rows() []row {
	all := []row{
		{"properties of the event hub", transports, hubRow, ""},
		{"properties of a partition", transports, partitionRow, ""},
		{"send one event", transports, sendOne, ""},
		{"send a batch", transports, sendBatch, ""},
		{"send to a partition", transports, sendToPartition, ""},
		{"send with a key", transports, sendWithKey, ""},
		{"send a batch that is filled to the limit", transports, fillBatchRow, ""},
		{"one byte over the limit is refused", transports, oneByteOver, ""},
		{"bodies of 0 B, 1 B, 64 KB and nearly 1 MB, sent", transports, sendBodies, ""},
		{"bodies of 0 B, 1 B, 64 KB and nearly 1 MB, received", transports, receiveBodies, ""},
		{"buffered producer", transports, buffered, ""},
		{"buffered producer: keys go where the service puts them", transports, hashed, ""},
		{"receive from the earliest event", transports, receiveFrom(fromEarliest, 0), ""},
		{"receive from the latest event", transports, receiveLatest, ""},
		{"receive from an offset, exclusive", transports, receiveFrom(fromOffset(false), middle+1), ""},
		{"receive from an offset, inclusive", transports, receiveFrom(fromOffset(true), middle), ""},
		{"receive from a sequence number, exclusive", transports, receiveFrom(fromSequence(false), middle+1), ""},
		{"receive from a sequence number, inclusive", transports, receiveFrom(fromSequence(true), middle), ""},
		{"receive from a time, exclusive", transports, receiveFrom(fromTime(false), middle+1), ""},
		{"receive from a time, inclusive", transports, receiveFrom(fromTime(true), middle), ""},
		{"receive with prefetch", transports, receiveWith(reading{Prefetch: 100}, fromEarliest, 0), ""},
		{"receive one at a time", transports, receiveWith(reading{Prefetch: 1}, fromEarliest, 0), ""},
		{"last enqueued event", transports, tracking, ""},
		{"a higher owner level steals", transports, ownerLevelSteals, ""},
		{"a lower owner level, or none, is refused", transports, ownerLevelRefuses, ""},
		{"five readers, and the sixth is refused", transports, sixthReader, ""},
		{"application properties of every type, sent", transports, sendProperties, ""},
		{"application properties of every type, received", transports, receiveProperties, ""},
		{"message ids, correlation ids and content type, sent", transports, sendIDs, ""},
		{"system properties, and ids of every type, received", transports, systemProperties, ""},
		{"reconnects when the connection is dropped", transports, reconnects, ""},
		{"a wrong key is refused", transports, wrongKey, ""},
		{"shared access signature, and one that has expired", transports, signed, ""},
		{"tokens are renewed", transports, renewal, ""},
	}
	for _, c := range columns() {
		all = append(all, row{"receives what " + c.name + " sends", transports, eventsOf(c.name), ""})
	}
	return append(all,
		row{"two processors share the partitions", accounts, twoProcessors, ""},
		row{"shares the partitions with ours", accounts, sharesWithOurs, ""},
		row{"ours goes on after its checkpoints", accounts, oursAfter, ""},
		row{"goes on after the checkpoints of ours", accounts, afterOurs, ""},
		row{"store conformance suite", []variant{azurite}, storeSuite, "ours"},
		row{"tests of the blob server", []variant{azurite}, blobTests, "ours"},
	)
}
