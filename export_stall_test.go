package eventhubs

import "time"

// SetStallAfter has handlers count as stalled sooner. It is called before Receive.
func (c *Consumer) SetStallAfter(d time.Duration) { c.stallAfter = d }
