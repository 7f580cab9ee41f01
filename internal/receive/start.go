package receive

import (
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// EarliestByDefault replaces positions that say nothing, which the SDK takes for the latest event (partition_client.go,
// getStartExpression). A position that says more than one thing is an error.
func EarliestByDefault(p azeventhubs.StartPositions) (azeventhubs.StartPositions, error) {
	out := azeventhubs.StartPositions{PerPartition: map[string]azeventhubs.StartPosition{}}
	var ok bool
	if out.Default, ok = earliestIfZero(p.Default); !ok {
		return out, errors.New("Start: " + onePosition)
	}
	for id, s := range p.PerPartition {
		if out.PerPartition[id], ok = earliestIfZero(s); !ok {
			return out, fmt.Errorf("Start of partition %q: "+onePosition, id)
		}
	}
	return out, nil
}

const onePosition = "set one of Earliest, Latest, Offset, SequenceNumber and EnqueuedTime"

// earliestIfZero reports with ok whether the position says no more than one thing.
func earliestIfZero(s azeventhubs.StartPosition) (_ azeventhubs.StartPosition, ok bool) {
	said := 0
	for _, set := range []bool{
		s.Earliest != nil && *s.Earliest, s.Latest != nil && *s.Latest,
		s.Offset != nil, s.SequenceNumber != nil, s.EnqueuedTime != nil,
	} {
		if set {
			said++
		}
	}
	if said == 0 {
		earliest := true
		s.Earliest = &earliest
	}
	return s, said <= 1
}
