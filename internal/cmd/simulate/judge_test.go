package simulate_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// place is where an event is.
type place struct {
	partition string
	sequence  int64
}

// moment is something that has happened to an event, or to a partition.
type moment struct {
	at   time.Time
	what string
}

// holding is one uninterrupted time in which a consumer reads a partition. The handlers' contexts tell holdings apart.
type holding struct {
	who       string
	partition string
	which     any
}

// judge takes down what happens, and says what should not have.
type judge struct {
	began time.Time

	judgeMu    sync.Mutex
	events     map[place][]moment
	partitions map[string][]moment
	handled    map[place]int
	furthest   map[string]int64 // by partition: the last event that was completed
	next       map[holding]int64
	running    map[string]string // by consumer and partition: what runs
	checkpoint map[string]int64
	wrong      map[string][]string // by kind
	suspect    *place
}

func newJudge() *judge {
	return &judge{
		began: time.Now(), events: map[place][]moment{}, partitions: map[string][]moment{}, handled: map[place]int{},
		furthest: map[string]int64{}, next: map[holding]int64{}, running: map[string]string{}, checkpoint: map[string]int64{},
		wrong: map[string][]string{},
	}
}

// The kinds of what should not happen.
const (
	lost       = "lost"
	outOfOrder = "out_of_order"
	back       = "back"
	hung       = "hung"
)

// accuse notes that something happened that should not. The lock is held.
func (j *judge) accuse(kind string, at *place, format string, args ...any) {
	j.wrong[kind] = append(j.wrong[kind], fmt.Sprintf("%v: ", time.Since(j.began))+fmt.Sprintf(format, args...))
	if j.suspect == nil {
		j.suspect = at
	}
}

// hangs notes that a call took longer than it may.
func (j *judge) hangs(format string, args ...any) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	j.accuse(hung, nil, format, args...)
}

// notes takes down what happens to a partition; "" are all.
func (j *judge) notes(partition, format string, args ...any) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	j.partitions[partition] = append(j.partitions[partition], moment{time.Now(), fmt.Sprintf(format, args...)})
}

// comes notes that an event was handed to a handler.
func (j *judge) comes(h holding, sequence int64, attempt int) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	at := place{h.partition, sequence}
	j.events[at] = append(j.events[at], moment{time.Now(), fmt.Sprintf("came to %s, attempt %d", h.who, attempt)})
	next, known := j.next[h]
	switch furthest, any := j.furthest[h.partition]; {
	case known && sequence != next:
		j.accuse(outOfOrder, &at, "%s: partition %s: %d came where %d should", h.who, h.partition, sequence, next)
	case !known && any && sequence > furthest+1:
		j.accuse(outOfOrder, &at, "%s: partition %s: %d came first, and nobody had come further than %d", h.who, h.partition, sequence, furthest)
	}
	j.next[h] = sequence
	one := h.who + "/" + h.partition
	if other := j.running[one]; other != "" {
		j.accuse(outOfOrder, &at, "%s: partition %s: %d came while %s ran", h.who, h.partition, sequence, other)
	}
	j.running[one] = fmt.Sprint(sequence)
}

// ends notes that a handler has returned.
func (j *judge) ends(h holding, sequence int64, completed bool) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	j.running[h.who+"/"+h.partition] = ""
	at := place{h.partition, sequence}
	what := "failed at "
	if completed {
		what = "completed by "
		j.handled[at]++
		j.next[h] = sequence + 1
		if furthest, any := j.furthest[h.partition]; !any || sequence > furthest {
			j.furthest[h.partition] = sequence
		}
	}
	j.events[at] = append(j.events[at], moment{time.Now(), what + h.who})
}

// sees notes a stored checkpoint.
func (j *judge) sees(partition string, sequence int64) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	was, any := j.checkpoint[partition]
	if any && sequence < was {
		j.accuse(back, &place{partition, sequence}, "partition %s: the checkpoint moved from %d to %d", partition, was, sequence)
	}
	if furthest, any := j.furthest[partition]; any && sequence > furthest {
		j.accuse(lost, &place{partition, sequence}, "partition %s: the checkpoint is at %d, and nobody had come further than %d", partition, sequence,
			furthest)
	}
	j.checkpoint[partition] = sequence
}

// missing returns the events that were stored and not handled.
func (j *judge) missing(stored []place) (missing []place) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	for _, p := range stored {
		if j.handled[p] == 0 {
			missing = append(missing, p)
		}
	}
	return missing
}

// loses notes events that were never handled.
func (j *judge) loses(missing []place) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	for _, p := range missing {
		j.accuse(lost, &p, "partition %s: %d was never handled", p.partition, p.sequence)
	}
}

// counts returns how many events were completed, how many times again, and how often something of a kind went wrong.
func (j *judge) counts() (handled, repeated int, wrong map[string]int) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	wrong = map[string]int{}
	for kind, list := range j.wrong {
		wrong[kind] = len(list)
	}
	for _, n := range j.handled {
		handled += n
		repeated += n - 1
	}
	return handled, repeated, wrong
}

// story tells what went wrong, and all that happened to one event and its partition at about that time.
func (j *judge) story() string {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	var b strings.Builder
	for kind, list := range j.wrong {
		for i, what := range list {
			if i == 10 {
				fmt.Fprintf(&b, "%s: and %d more\n", kind, len(list)-i)
				break
			}
			fmt.Fprintf(&b, "%s: %s\n", kind, what)
		}
	}
	if j.suspect == nil {
		return b.String()
	}
	fmt.Fprintf(&b, "the story of event %d of partition %s:\n", j.suspect.sequence, j.suspect.partition)
	moments := j.events[*j.suspect]
	from := j.began
	if len(moments) > 0 {
		from = moments[0].at.Add(-5 * time.Minute)
	} else if before := j.events[place{j.suspect.partition, j.suspect.sequence - 1}]; len(before) > 0 {
		from = before[0].at.Add(-5 * time.Minute)
	}
	moments = append(moments, j.events[place{j.suspect.partition, j.suspect.sequence - 1}]...)
	for _, partition := range []string{"", j.suspect.partition} {
		for _, m := range j.partitions[partition] {
			if m.at.After(from) && m.at.Before(from.Add(20*time.Minute)) {
				moments = append(moments, m)
			}
		}
	}
	sortMoments(moments)
	for _, m := range moments {
		fmt.Fprintf(&b, "  %v: %s\n", m.at.Sub(j.began), m.what)
	}
	return b.String()
}

func sortMoments(m []moment) {
	slices.SortStableFunc(m, func(a, b moment) int { return a.at.Compare(b.at) })
}

// notStored notes an event that was acknowledged, and that the service doesn't have.
func (j *judge) notStored(id string) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	j.accuse(lost, nil, "%s was acknowledged, and is not stored", id)
}
