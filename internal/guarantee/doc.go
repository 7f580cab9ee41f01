// Package guarantee holds, as tests, the table of guarantees in DESIGN.md: in each row that really happens, with the
// SDK, the blob store and a local server, and the events are counted that are lost, repeated and out of order.
//
// Time is virtual, so the intervals are those that users have: 10 s, 60 s, 30 s, and tokens of an hour. Only what takes
// processes runs in real time, over real sockets. Subtests called "raw SDK" record what the SDK does without us.
package guarantee
