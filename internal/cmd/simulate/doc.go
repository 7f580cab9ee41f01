// Package simulate runs producers and consumers of an event hub for hours or days of virtual time, in seconds of real
// time, while everything that can go wrong does so at random. Exchanges are refused, late, or never answered.
// Connections are cut or go silent. Storage is down. Partitions are stolen, or idle for hours. Consumers come, go, are
// killed, or are paused for longer than their claims last.
//
// No event may be lost or come out of order, nothing may hang, and no checkpoint may move backwards.
//
// The simulation is a test, since only tests have virtual time (testing/synctest). "make simulate" runs it, for as long
// as SIM says and with the seed SEED. With CONCURRENCY, consumers that take no batches run so many handlers of a
// partition at once, and the events of each key have to come in order. A seed decides what goes wrong, when it does,
// and what is sent. Goroutines that run at the same moment, and the library's own random pauses, make two runs of one
// seed differ in detail.
package simulate
