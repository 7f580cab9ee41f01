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
// # Checkpoints
//
// progress.store writes a checkpoint (progress.go). It is called when progress.dueAt says that one is due
// (checkpointer.go), when a reader ends (saveLast), and when a partition starts at its latest event, or restarts at its
// earliest (position.go).
//
// What may prevent it:
//
//   - Nothing was processed since the last one. With Concurrency, what is completed after a gap does not count.
//   - It is not due yet: see progress.dueAt. Or checkpointsAtOnce others are being written.
//   - The claim: the partition is lost, or was not renewed for so long that this is not certain (balance.Claim.Check).
//     A write that is under way is cut off when the claim ends.
//   - The store fails. It is retried after CheckpointInterval, for as long as the partition is held; at the end for
//     saveTimeout.
//   - The store has a checkpoint that is further: ours never move backwards (internal/checkpoint,
//     BlobStore.SetCheckpoint).
//
// # Concurrency
//
// With Concurrency above 1 the reader does not call the handler, but hands events over to its workers. A window holds
// the events from the oldest one that is not completed on, MaxAhead at the most; then the reader waits. A worker takes
// the oldest event whose key has no earlier one in the window that is not completed. An event that has failed goes back
// until its pause is over, and keeps no worker busy. What a checkpoint may cover ends before the oldest event.
//
// At the end, nothing new is begun, but for events with a later one that is completed or running: those are finished,
// and retried, as long as handlers may run, so that the prefix has no gap and the next owner repeats nothing. An event
// that fails is retried at once, and then if its pause ends in time; if it does not, or if it has ended the Engine, no
// event after it is begun. When a position is refused, the reader waits until the window is empty before it restarts.
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
