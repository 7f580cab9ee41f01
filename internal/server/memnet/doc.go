// Package memnet is a TCP network in memory, for programs that run in virtual time.
//
// Connections behave as sockets on loopback do: they have buffers of a bounded size, deadlines, an orderly close, and
// errors of package net. Beyond that they can be cut, and they can go silent, as when a NAT drops its state.
//
// Inside a testing/synctest bubble all waits are durably blocking: the package waits on sync.Cond, channels and timers
// only, and holds no mutex while it waits. A Network belongs to the bubble that it was made in.
package memnet
