//go:build !unix

package guarantee_test

func pause(c *child) { c.s.T.Skip("processes can't be paused on this system") }

func resume(*child) {}
