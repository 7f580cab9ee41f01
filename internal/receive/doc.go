// Package receive reads the partitions that a consumer holds, hands their events to a handler, and writes checkpoints.
//
// An [Engine] is one call of Receive. It asks the service for the partitions, and starts a balance.Loop, which claims a
// share of them. Each claim gets a reader, a goroutine that lives until the claim is lost, handed over or given back:
//
//   - It finds where to begin: at the checkpoint, at the start position, or, when the service no longer has that
//     position, at the earliest event.
//   - It opens a link on a connection of its own, and reads. The SDK holds locks while it waits for the network
//     (azeventhubs, internal/links.go and internal/namespace.go), so whatever hangs on a shared connection hangs
//     everything on it. Here it hangs one partition, for as long as the bounds below say.
//   - It calls the handler, one unit of events after the other, again while it fails, and notes what is completed. The
//     checkpointer writes that down beside it: a slow store does not hold up reading.
//   - When it has to end, it waits for the handler, writes the last checkpoint, closes the link and releases the claim.
//
// # Bounds
//
// A link that is not open after openTimeout is given up, with its connection. A link that has been open and silent for
// silence is checked end to end: the service is asked whether the partition has events after the last one read. If it
// has, the link and its connection are replaced. If it has none, the next check comes after twice the time, up to
// silenceMost: about nine questions in the first hour of an idle partition, and seven in each later one. A question is
// given up after answerTimeout.
//
// After the end of Receive's context, or of a claim, fetching stops at once. Handlers get DrainTimeout; then their
// context ends. The last checkpoint and the release of the claim together get finishTimeout, of which the checkpoint
// may take saveTimeout.
package receive
