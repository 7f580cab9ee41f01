// Package memnet is a TCP network in memory, for programs that run in virtual time.
//
// Connections behave like sockets on loopback: they have buffers of a bounded size, deadlines, an orderly close, and
// the errors of package net. In addition, they can be cut, and they can go silent, as when a NAT drops their state.
//
// Inside a testing/synctest bubble all waits are durably blocking: the package waits only on sync.Cond, channels and
// timers, and holds no mutex while it waits. A Network belongs to the bubble in which it was created.
package memnet
