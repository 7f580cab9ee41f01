// Package simulate runs producers and consumers of an event hub for hours or days of virtual time, in seconds, while
// everything goes wrong at random that can: connections that are cut or go silent, answers that are lost, storage that is down, partitions
// that are stolen, consumers that come, go, are killed, or are paused for longer than their claims last.
//
// Nothing may be lost, come out of order, or hang, and no checkpoint may move backwards. It is a test, since only tests
// have virtual time (testing/synctest): make simulate runs it, with SIM for how long and SEED for which one.
package simulate
