//go:build unix

package guarantee_test

import "syscall"

// pause stops a process in the middle of what it does, without telling it.
func pause(c *child) { c.signal(syscall.SIGSTOP) }

// resume lets it go on.
func resume(c *child) { c.signal(syscall.SIGCONT) }
