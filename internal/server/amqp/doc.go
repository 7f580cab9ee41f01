// Package amqp is the server side of AMQP 1.0: types, frames, SASL, connections, sessions and links,
// as in OASIS AMQP 1.0 parts 1 (types), 2 (transport), 3 (messaging) and 5 (security).
// It knows nothing of Event Hubs: what a link is for is decided by the [Handler].
//
// Bytes from a peer are never trusted. Whatever is malformed, too long or out of order ends in an AMQP error
// and a close, and every allocation that a peer can cause is bounded by the limits in [Config].
package amqp
