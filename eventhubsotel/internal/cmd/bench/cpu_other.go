//go:build !unix

package main

import "time"

var began = time.Now()

// cpu returns wall-clock time: the CPU time of a process is not measured on this system.
func cpu() time.Duration { return time.Since(began) }
