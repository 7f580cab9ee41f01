//go:build !unix

package main

import "time"

var began = time.Now()

// cpu stands for CPU time where the system doesn't tell it.
func cpu() time.Duration { return time.Since(began) }
