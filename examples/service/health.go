package main

import (
	"os"
	"time"

	"github.com/go-eventhubs/eventhubs"
)

// unhealthyAfter is how long something may fail, or a handler take. It is longer than most outages and all handlers:
// while storage or the namespace is down, a new process can do no more than this one.
func unhealthyAfter() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("UNHEALTHY_AFTER")); err == nil {
		return d
	}
	return 5 * time.Minute
}

// unhealthy says why the process should be replaced, or nothing. A consumer that starts is healthy, and so is one that
// has nothing to do because others have all partitions.
func unhealthy(s eventhubs.ConsumerStatus, after time.Duration) (why string) {
	long := func(since time.Time) bool { return !since.IsZero() && time.Since(since) > after }
	switch {
	case s.State == eventhubs.StateStopped:
		return "Receive has ended"
	case s.Store != nil && long(s.Store.Since):
		return "the checkpoint store fails: " + s.Store.Error
	}
	for _, p := range s.Partitions {
		switch {
		case p.Reading != nil && long(p.Reading.Since):
			return "partition " + p.PartitionID + " can't be read: " + p.Reading.Error
		case p.Attempt != nil && long(p.Attempt.Since): // a call that fails is another one each time
			return "the handler of partition " + p.PartitionID + " is stuck"
		}
	}
	return ""
}
