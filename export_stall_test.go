package eventhubs

import "time"

// SetStallAfter has handlers count as stalled sooner. It is called before Receive.
func (c *Consumer) SetStallAfter(d time.Duration) { c.watch.stallAfter = d }

// SetAsking says how often the service is asked where partitions end, and how long an answer is waited for. It is called before Receive.
func (c *Consumer) SetAsking(every, answerTimeout time.Duration) {
	c.watch.askEvery, c.watch.answerTimeout = every, answerTimeout
}

// SetEndKnownFor says how long an answer counts. It is called before Receive.
func (c *Consumer) SetEndKnownFor(d time.Duration) { c.watch.endKnownFor = d }

// Questions returns how many are under way.
func (c *Consumer) Questions() int { return int(c.watch.unanswered.Load()) }
