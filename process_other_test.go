//go:build !unix

package eventhubs_test

func (c *child) pause() { c.t.Skip("processes can't be paused on this system") }

func (c *child) resume() {}
