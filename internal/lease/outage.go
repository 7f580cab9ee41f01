package lease

import (
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// outage is a time in which the store did not answer.
type outage struct{ begin, end time.Time }

// over notes that an outage has ended now.
func (s *Store) over(begin time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outages = append(s.outages, outage{begin, time.Now()})
}

// forgive returns the list as if no outage had made claims older. In an outage nobody can renew claims, but all read on. If it lasts longer than claims do, each consumer
// would find all claims expired afterwards, and take partitions from others that are reading them, from checkpoints that are as old as the outage.
func (s *Store) forgive(list []azeventhubs.Ownership) []azeventhubs.Ownership {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outages = slices.DeleteFunc(s.outages, func(o outage) bool { return time.Since(o.end) > s.Expiration }) // who lives has renewed since
	if len(s.outages) == 0 {
		return list
	}
	list = slices.Clone(list)
	for i := range list {
		made := list[i].LastModifiedTime
		for _, o := range s.outages {
			if made.Before(o.begin) {
				list[i].LastModifiedTime = list[i].LastModifiedTime.Add(o.end.Sub(o.begin))
			} else if made.Before(o.end) {
				list[i].LastModifiedTime = list[i].LastModifiedTime.Add(o.end.Sub(made))
			}
		}
	}
	return list
}
