//go:build race

package leaktest

const raceDetector = true
