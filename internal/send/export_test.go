package send

// FailingSince is failingSince.
var FailingSince = failingSince

// Queues is how many queues there are for destinations with an order.
func (e *Engine) Queues() int {
	e.queuesMu.Lock()
	defer e.queuesMu.Unlock()
	return len(e.queues)
}

// Room is a room, with links that have a share of it by name.
type Room struct {
	room   room
	shares map[string]*share
}

// NewRoom returns one of a size.
func NewRoom(size int) *Room {
	return &Room{room{size: size, free: size}, map[string]*share{}}
}

func (r *Room) share(link string) *share {
	if r.shares[link] == nil {
		r.shares[link] = &share{}
	}
	return r.shares[link]
}

// Take takes n for a link if it is there.
func (r *Room) Take(link string, n int) bool { return r.room.take(r.share(link), n) }

// Await waits for n. Has reports whether it is there, and leave ends the wait.
func (r *Room) Await(link string, n int) (has func() bool, leave func()) {
	w := r.room.await(r.share(link), n)
	return func() bool { return isDone(w.granted) }, func() { r.room.leave(r.share(link), w) }
}

// Release gives n of a link back.
func (r *Room) Release(link string, n int) { r.room.release(r.share(link), n) }

// Free is how much is free.
func (r *Room) Free() int { return r.room.free }
