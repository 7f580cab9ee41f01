package main

import (
	"context"
	"slices"
	"time"
)

// row is an operation that every client is tried with.
type row struct {
	name string
	// at are the variants in which the row is run.
	at  []variant
	run func(ctx context.Context, s *scene) error
	// only names the clients that the row is for. Empty means all.
	only []string
	// time is how long the row may take. 0 means as long as any row.
	time time.Duration
	// aside says that the row mostly waits, and is run concurrently with the client's other rows.
	aside bool
	// shows is the title under which the page shows the first client's transcript, and about introduces it.
	shows, about string
	// programs says that the row starts programs of this repository.
	programs bool
}

func (r row) isFor(client string) bool { return len(r.only) == 0 || slices.Contains(r.only, client) }

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
		{name: "properties of the event hub", at: transports, run: hubRow},
		{name: "properties of a partition", at: transports, run: partitionRow},
		{name: "send one event", at: transports, run: sendOne},
		{name: "send a batch", at: transports, run: sendBatch},
		{name: "send to a partition", at: transports, run: sendToPartition},
		{name: "send with a key", at: transports, run: sendWithKey},
		{name: "send a batch that is filled to the limit", at: transports, run: fillBatchRow},
		{name: "one byte over the limit is refused", at: transports, run: oneByteOver},
		{name: "bodies of 0 B, 1 B, 64 KB and nearly 1 MB, sent", at: transports, run: sendBodies},
		{name: "bodies of 0 B, 1 B, 64 KB and nearly 1 MB, received", at: transports, run: receiveBodies},
		{name: "buffered producer", at: transports, run: buffered},
		{name: "buffered producer: keys go where the service puts them", at: transports, run: hashed},
		{name: "receive from the earliest event", at: transports, run: receiveFrom(fromEarliest, 0)},
		{name: "receive from the latest event", at: transports, run: receiveLatest},
		{name: "receive from an offset, exclusive", at: transports, run: receiveFrom(fromOffset(false), middle+1)},
		{name: "receive from an offset, inclusive", at: transports, run: receiveFrom(fromOffset(true), middle)},
		{name: "receive from a sequence number, exclusive", at: transports, run: receiveFrom(fromSequence(false), middle+1)},
		{name: "receive from a sequence number, inclusive", at: transports, run: receiveFrom(fromSequence(true), middle)},
		{name: "receive from a time, exclusive", at: transports, run: receiveFrom(fromTime(false), middle+1)},
		{name: "receive from a time, inclusive", at: transports, run: receiveFrom(fromTime(true), middle)},
		{name: "receive with prefetch", at: transports, run: receiveWith(reading{Prefetch: 100}, fromEarliest, 0)},
		{name: "receive one at a time", at: transports, run: receiveWith(reading{Prefetch: 1}, fromEarliest, 0)},
		{name: "last enqueued event", at: transports, run: tracking},
		{name: "a higher owner level steals", at: transports, run: ownerLevelSteals},
		{name: "a lower owner level, or none, is refused", at: transports, run: ownerLevelRefuses},
		{name: "five readers, and the sixth is refused", at: transports, run: sixthReader},
		{name: "receive without a filter: from the earliest event", at: transports, run: noFilter},
		{name: "a footer, sent and received", at: transports, run: footer},
		{name: "delivery annotations are taken", at: transports, run: deliveryAnnotations},
		{name: "a body that is null", at: transports, run: nullBody},
		{name: "an event hub that is not there", at: transports, run: noSuchHub},
		{name: "a partition that is not there", at: transports, run: noSuchPartition},
		{name: "over WebSockets", at: transports, run: webSockets},
		{name: "idempotent publishing: what is sent again is stored once", at: transports, run: idempotent},
		{name: "application properties of every type, sent", at: transports, run: sendProperties},
		{name: "application properties of every type, received", at: transports, run: receiveProperties},
		{name: "message ids, correlation ids and content type, sent", at: transports, run: sendIDs},
		{name: "system properties, and ids of every type, received", at: transports, run: systemProperties},
		{name: "reconnects when the connection is dropped", at: transports, run: reconnects},
		{name: "a wrong key is refused", at: transports, run: wrongKey},
		{name: "shared access signature, and one that has expired", at: transports, run: signed},
		{name: "tokens are renewed", at: []variant{overTLS}, run: renewal, time: renewalTime, aside: true},
		{name: "reads on when a token has run out", at: []variant{overTLS}, run: runsOut, only: []string{"ours", "go"}},
	}
	for _, c := range columns() {
		all = append(all, row{name: "receives what " + c.name + " sends", at: transports, run: eventsOf(c.name)})
	}
	return append(all,
		row{name: "two processors share the partitions", at: accounts, run: twoProcessors},
		row{name: "shares the partitions with ours", at: accounts, run: sharesWithOurs},
		row{name: "ours goes on after its checkpoints", at: accounts, run: oursAfter},
		row{name: "goes on after the checkpoints of ours", at: accounts, run: afterOurs},
		row{name: "the quickstart in the emulator's environment, before and after ours", at: []variant{overTLS},
			run: quickstartRow, only: []string{"python", "js", "java"}, time: quickstartTime, programs: true,
			shows: "A quickstart in the emulator's environment",
			about: "Its programs have not a line about certificates or names. Values that differ each time are left out."},
		row{name: "its trace goes on in ours", at: []variant{plain}, run: traceToOurs,
			only: []string{"python", "js"}, programs: true},
		row{name: "a trace of ours goes on in it", at: []variant{plain}, run: traceFromOurs,
			only: []string{"python", "js"}, programs: true},
		row{name: "one trace from it through ours to js", at: []variant{plain}, run: traceThrough,
			only: []string{"python"}, programs: true, shows: "A trace through three languages",
			about: "The spans of one event, from its sender through a handler and a sender of ours to its receiver."},
		row{name: "store conformance suite", at: []variant{azurite}, run: storeSuite, only: []string{"ours"}},
		row{name: "tests of the blob server", at: []variant{azurite}, run: blobTests, only: []string{"ours"}},
	)
}
