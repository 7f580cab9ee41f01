// Package guarantee tests the table of guarantees in README.md. Each row really happens, with the SDK, the blob store
// and a local server, and the tests count the events that are lost, repeated and out of order.
//
// Time is virtual, so the intervals are those that users have: 10 s, 60 s, 30 s, and tokens of an hour. Only tests that
// need processes run in real time, over real sockets. Subtests called "raw SDK" record what the SDK does without us.
package guarantee
