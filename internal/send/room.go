package send

// room limits the bytes in flight. Calls that want more than is free wait: those of one link in turn, and links in the
// order of their first waiting call. A call asks for a little at a time, so that a large call does not hold up others.
//
// A link may hold three times as much as it leaves free. So a single link gets three quarters of the room, and a link
// that is stuck leaves some for others.
type room struct {
	size, free int
	arrivals   uint64   // counts those who had to wait
	waiting    []*share // that calls wait for
	blocked    bool     // the first that may have more waits for it, and others must not take it
}

// share is what one link has of a room.
type share struct {
	held    int
	waiting []*waiter
}

// waiter is a call that waits for room.
type waiter struct {
	want    int
	arrival uint64
	granted chan struct{} // closed when it has it
}

const sharing = 3

// fits reports whether there is room for a share to take n.
func (r *room) fits(s *share, n int) bool {
	return n <= r.free && r.mayHave(s, n)
}

// mayHave reports whether a share may have n more, in fairness to the others.
func (r *room) mayHave(s *share, n int) bool {
	return s.held == 0 || s.held+n <= sharing*(r.free-n)
}

// take takes n for a share if it need not wait.
func (r *room) take(s *share, n int) bool {
	if len(s.waiting) > 0 || r.blocked || !r.fits(s, n) {
		return false
	}
	s.held += n
	r.free -= n
	return true
}

// await makes a call wait for n. More than the whole room counts as the whole.
func (r *room) await(s *share, n int) *waiter {
	r.arrivals++
	w := &waiter{want: min(n, r.size), arrival: r.arrivals, granted: make(chan struct{})}
	if len(s.waiting) == 0 {
		r.waiting = append(r.waiting, s)
	}
	s.waiting = append(s.waiting, w)
	r.grant()
	return w
}

// leave ends the wait of a call, which may have been granted its room by now.
func (r *room) leave(s *share, w *waiter) {
	for i, o := range s.waiting {
		if o != w {
			continue
		}
		s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
		if len(s.waiting) == 0 {
			r.remove(s)
		}
		r.grant()
		return
	}
	r.release(s, w.want)
}

// release gives n of a share back.
func (r *room) release(s *share, n int) {
	s.held -= n
	r.free += n
	r.grant()
}

// grant gives free room to those who wait.
func (r *room) grant() {
	for {
		s := r.next()
		r.blocked = s != nil && s.waiting[0].want > r.free
		if s == nil || r.blocked {
			return
		}
		w := s.waiting[0]
		s.waiting[0] = nil
		if s.waiting = s.waiting[1:]; len(s.waiting) == 0 {
			r.remove(s)
		}
		s.held += w.want
		r.free -= w.want
		close(w.granted)
	}
}

// next returns the share whose turn it is, or nil if none of those waiting may have more.
func (r *room) next() (first *share) {
	for _, s := range r.waiting {
		if r.mayHave(s, s.waiting[0].want) && (first == nil || s.waiting[0].arrival < first.waiting[0].arrival) {
			first = s
		}
	}
	return first
}

// remove removes a share from those with waiting calls.
func (r *room) remove(s *share) {
	s.waiting = nil
	for i, o := range r.waiting {
		if o == s {
			r.waiting = append(r.waiting[:i], r.waiting[i+1:]...)
			return
		}
	}
}
