//go:build !unix

package main

import "os/exec"

// ownGroup does nothing: on this system killGroup ends a program, but not the processes that it has started.
func ownGroup(*exec.Cmd) {}

func killGroup(cmd *exec.Cmd) error { return cmd.Process.Kill() }
