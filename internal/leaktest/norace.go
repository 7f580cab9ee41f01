//go:build !race

package leaktest

const raceDetector = false
