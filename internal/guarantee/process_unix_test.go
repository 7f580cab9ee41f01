//go:build unix

package guarantee_test

import "syscall"

// pause stops a process wherever it is, without telling it.
func pause(c *child) { c.signal(syscall.SIGSTOP) }

// resume lets the process continue.
func resume(c *child) { c.signal(syscall.SIGCONT) }
