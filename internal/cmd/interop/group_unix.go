//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// ownGroup puts a program, and the processes that it starts, into a process group, so that killGroup ends them
// together.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
