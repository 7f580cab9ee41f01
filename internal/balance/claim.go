package balance

import (
	"context"
	"errors"
	"time"
)

// ErrLost is the cause with which a claim's context ends.
var ErrLost = errors.New("the partition was lost")

// ErrNotHeld is why no checkpoint may be written: the partition is not ours, or may not be.
var ErrNotHeld = errors.New("the partition is not held")

// Claim is a partition that is ours until its context ends. Its methods are safe for concurrent use.
type Claim struct{}

// PartitionID returns the partition's id.
func (c *Claim) PartitionID() string { return "" }

// Since returns when the partition became ours.
func (c *Claim) Since() time.Time { return time.Time{} }

// Context returns a context that ends, with the cause ErrLost, when the partition is no longer ours: it was lost or
// released, or Run has returned.
func (c *Claim) Context() context.Context { return nil }

// Wanted is closed when another consumer has asked for the partition and was told that it gets it: finish, write a
// checkpoint, and Release it within DrainTimeout. After that the other takes it.
func (c *Claim) Wanted() <-chan struct{} { return nil }

// Await waits until it is certain that the partition is ours. It returns false if it was lost, or if ctx ends first.
func (c *Claim) Await(ctx context.Context) bool { return false }

// Check returns nil while a checkpoint may be written, and an error that wraps ErrNotHeld otherwise.
func (c *Claim) Check() error { return nil }

// Lose notes that another reader has the partition, as the link has told.
func (c *Claim) Lose() {}

// Release gives the partition back, and is the end of the claim. A failing store is called again until ctx ends; the error
// says that the claim has to expire. Nil means that it was given back, or lost before.
func (c *Claim) Release(ctx context.Context) error { return nil }
