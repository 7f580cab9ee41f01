//go:build !unix

package main

import "errors"

func cpuTime() (float64, error) {
	return 0, errors.New("the CPU time of a process is not measured on this system")
}
