package broker

// chunk is how many events of a partition are kept in one piece of memory.
const chunk = 256

// eventLog holds events in order. It never moves them, however many come and go. A slice that grows at one end and is
// cut at the other would be copied again and again.
type eventLog struct {
	chunks [][]Event // of chunk events each, except the last
	first  int       // how many events of the first chunk were dropped
	len    int
}

func (l *eventLog) append(e *Event) {
	n := len(l.chunks)
	if n == 0 || len(l.chunks[n-1]) == chunk {
		l.chunks = append(l.chunks, make([]Event, 0, chunk))
		n++
	}
	l.chunks[n-1] = append(l.chunks[n-1], *e)
	l.len++
}

// at returns the event at an index: 0 is the oldest.
func (l *eventLog) at(i int) *Event {
	i += l.first
	return &l.chunks[i/chunk][i%chunk]
}

// drop removes the oldest event.
func (l *eventLog) drop() {
	*l.at(0) = Event{} // frees its memory before the whole chunk goes
	l.len--
	if l.first++; l.first == chunk {
		l.chunks[0] = nil
		l.chunks, l.first = l.chunks[1:], 0
	}
}
