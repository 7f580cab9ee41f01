//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// ownGroup has a program, and what it starts, be a process group: killGroup ends them together.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
