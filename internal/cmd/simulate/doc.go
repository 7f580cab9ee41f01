// Package simulate runs producers and consumers of an event hub for hours or days of virtual time, in seconds, while
// all that can goes wrong at random: exchanges that are refused, late, or never answered, connections that are cut or
// go silent, storage that is down, partitions that are stolen, consumers that come, go, are killed, or are paused for
// longer than their claims last, and partitions that are idle for hours.
//
// Nothing may be lost, come out of order, or hang, and no checkpoint may move backwards. It is a test, since only tests
// have virtual time (testing/synctest): make simulate runs it, with SIM for how long and SEED for which one. With
// CONCURRENCY, consumers that take no batches run so many handlers of a partition at once; the events of each key have
// to come in order. A seed decides what goes wrong, and when, and what is sent; goroutines that run at the same moment,
// and the library's own random pauses, make two runs of one seed differ in detail.
package simulate
