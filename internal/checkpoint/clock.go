package checkpoint

import "time"

// clockTolerance is how far the service's clock may seem to be off before times are corrected. Its dates are in whole
// seconds, and an answer is on its way for a while.
const clockTolerance = 2 * time.Second

// localTime is a blob's date by this machine's clock, given the date of the answer that it came with, which has
// just arrived. The age of a claim is then what it was to the service, however far apart the clocks are: with the
// service's own dates a machine whose clock is ahead would take claims for expired that are not, and steal.
func localTime(modified, answered *time.Time) time.Time {
	if modified == nil {
		return time.Time{}
	}
	if answered == nil { // a proxy may have dropped it
		return *modified
	}
	ahead := time.Since(*answered)
	if ahead.Abs() <= clockTolerance {
		return *modified
	}
	return modified.Add(ahead)
}
