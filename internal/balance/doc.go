// Package balance decides which consumer of a group reads which partition, and keeps the claims to them. It does
// what the SDK's Processor does for ownership, and shares a group with the other SDKs: it writes the same records,
// and means the same by an expired claim and by a fair share. [Plan] decides, from one listing of the records; a
// [Loop] lists, plans and claims. It knows nothing of links and events: whoever reads a partition is told of the
// [Claim] to it.
//
// # Shares
//
// The members of a group are the owners of claims that have not expired, this consumer, and those who ask for
// partitions. Each is due the same number of partitions, and some one more. A consumer below its share claims what
// is free; if that is not enough, it wants partitions of whoever has most, as long as that has at least two more.
// So nothing is wanted of a consumer that has no more than its share, and a balanced group rests.
//
// # Hand-over
//
// A consumer that wants a partition of another asks for it (package handover), and lists ten times as often while
// it waits. The owner finds the request in its next listing, promises the partition, saying how long it may take
// (DrainTimeout and five seconds), and tells the reader (Wanted). The reader finishes, writes its checkpoint, and
// releases the partition; who asked claims it, and nothing is read twice. For one UpdateInterval nobody else claims
// it, the former owner included. If who asked has died, the owner has the partition back after that.
//
// An owner that promises nothing within two UpdateIntervals (ours, for we don't know its own) is dead, or uses
// another SDK. An owner that has not released the partition five seconds after the time it asked for is late. From
// both the partition is taken by a claim under its ETag, as every partition is in the SDKs and in a store that
// keeps no requests.
//
// # A claim
//
// A claim begins when the store confirms it, and Taken is called. It is over when it is lost, which means that a
// listing shows another owner or that the link tells; when it is released; or when Run returns. In between:
//
//   - It is renewed after 45 % of Expiration, whatever else goes on: a listing that hangs holds no renewal up,
//     and one record that can't be written holds up no other.
//   - It is certain for one Expiration, less a second, from the beginning of the last call that has renewed it:
//     nobody takes it before that. Then Await makes the reader wait, unless a listing of the last two rounds shows it
//     to be ours, or the store is known to be down. It is how a process that was paused finds out.
//   - A checkpoint may be written (Check) for as long, and no longer: a record that we can't renew may be taken by
//     another consumer at any moment after that.
//
// # Failures
//
// Every call of the store has a bound, of ten seconds if claims last a minute, and is made again with a backoff until
// Run ends.
//
//   - The store fails or hangs: claims are trusted, even after they have expired, because nobody can take them. Two
//     failures in a row are needed for that, since a call that was under way when the process was paused fails
//     once. Check fails, so that no checkpoint is written by who may have lost its partition to a consumer that
//     reaches the store. Afterwards the time in which our own calls failed does not make the claims of others
//     older: they could not renew them, and read on.
//   - The store can be listed and not written: the same, if all of at least two claims fail.
//   - The answer to a claim is lost: the call is made again, is refused because its ETag is no longer the record's,
//     and the next listing shows the record as ours. A claim is never lost on the word of a refusal alone.
//   - A record is deleted: its owner creates it again. Others wait until the claim would have expired.
//   - The store refuses the very first listing or claim for lack of a right or a name: Run ends with that error.
//     Later it is a failure like others: a role that is being changed must not end a consumer that works.
//   - Release fails until its context ends: the record has our name. Unless the Loop drains, it claims it again.
//   - Run ends while claims are under way: they get a second to be answered. Then whatever has our name is given
//     back.
package balance
