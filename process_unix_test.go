//go:build unix

package eventhubs_test

import "syscall"

// pause stops the process in the middle of what it does, without telling it.
func (c *child) pause() { c.signal(syscall.SIGSTOP) }

// resume lets it go on.
func (c *child) resume() { c.signal(syscall.SIGCONT) }
