// Package balance decides which consumer of a group reads which partition, and keeps the claims to them. It does
// what the SDK's Processor does for ownership, and shares a group with the other SDKs: it writes the same records,
// and means the same by an expired claim and by a fair share. [Plan] decides, from one listing of the records; a
// [Loop] lists, plans and claims. It knows nothing of links and events: whoever reads a partition is given the
// [Claim] to it.
//
// # Shares
//
// The members of a group are the owners of claims that have not expired, this consumer, and the consumers that ask
// for partitions. Each is due the same number of partitions, and some one more. A consumer below its share claims
// what is free. If that is not enough, it wants partitions of the member that has most, as long as that one has at
// least two more. So nothing is taken from a consumer that has no more than its share, and a balanced group rests.
//
// # Hand-over
//
// A consumer that wants a partition of another asks for it (package handover), and lists ten times as often while
// it waits. The owner finds the request in its next listing. It promises the partition, says how long it may take
// (DrainTimeout and five seconds), and tells the reader (Wanted). The reader finishes, writes its checkpoint, and
// releases the partition. The asking consumer claims it, and no event is read twice. For one UpdateInterval nobody
// else claims it, not even the former owner. If the asking consumer has died, the owner takes it back after that.
//
// An owner that promises nothing within two UpdateIntervals (ours, for we do not know its own) is dead, or uses
// another SDK. An owner that has not released the partition five seconds after the time it asked for is late. Then
// the partition is taken by a claim under its ETag, as every partition is in the SDKs and with a store that keeps
// no requests.
//
// # A claim
//
// A claim begins when the store confirms it, and Taken is called. It ends when it is lost (a listing shows another
// owner, or the link says so), when it is released, or when Run returns. In between:
//
//   - It is renewed after 45 % of Expiration, in a call of its own. No listing that hangs delays that, and no record
//     that can't be written delays another.
//   - It is certain for one Expiration, less a second, from the start of the last call that renewed it: nobody takes
//     it before that. After that, Await makes the reader wait, unless a listing of the last two rounds has shown that
//     the partition is ours, or the store is known to be down. That is how a process that was paused notices.
//   - A checkpoint may be written (Check) for as long, and no longer: another consumer may take a partition whose
//     claim we cannot renew at any moment after that.
//
// # Failures
//
// Every call of the store has a bound, of ten seconds if claims last a minute. It is retried with a backoff until
// Run ends.
//
//   - The store fails or hangs: claims are trusted, even after they have expired, because nobody can take them. It
//     takes two failures in a row, since a call that was under way when the process was paused fails once. Check
//     fails, so that a consumer writes no checkpoint if it may have lost its partition to one that can reach the
//     store. The time in which our own calls failed does not make the claims of others older: they could not renew
//     them either, and read on. Once the store answers a listing, all claims that could not be renewed are
//     renewed at once; calls that still wait for an answer from before are cut off.
//   - The store can be listed but not written: the same, if all of at least two claims fail.
//   - The store refuses us for lack of a right or a name. Before the first listing or claim has succeeded, Run ends
//     with that error. After that it is a failure like others, and the warning names the role: reading is still
//     possible, and nobody can take what is held.
//   - The answer to a claim is lost: the next attempt is refused, because the ETag is no longer the record's, and
//     the next listing shows that the record is ours. A refusal alone never ends a claim.
//   - A record is deleted: its owner creates it again. Others wait until the claim would have expired.
//   - Release fails until its context ends: the record still has our name. Unless the Loop drains, it claims the
//     partition again.
//   - Run ends while calls are under way: they get a second to be answered. Then whatever has our name is released.
package balance
