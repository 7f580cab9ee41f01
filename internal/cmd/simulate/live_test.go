package simulate_test

import (
	"context"
	"time"
)

// consumers is about how many processes run at a time.
const consumers = 3

// live starts and ends processes until ctx ends.
func (s *simulation) live(ctx context.Context) {
	r := s.draws("live")
	for sleep(ctx, r.time(2*time.Minute)) {
		if len(s.processes) < consumers || len(s.processes) < 2*consumers && r.oneIn(4) {
			if p := s.start(s.nextName(r), r); p != nil {
				s.processes = append(s.processes, p)
			}
			continue
		}
		i := r.upTo(len(s.processes))
		if s.befalls(ctx, r, s.processes[i]) {
			s.processes = append(s.processes[:i], s.processes[i+1:]...)
		}
	}
}

// befalls may do something to a process. It reports whether the process has ended.
func (s *simulation) befalls(ctx context.Context, r random, p *process) (ended bool) {
	switch r.upTo(20) {
	case 0, 1:
		p.kill()
		s.free = append(s.free, p.name)
	case 2, 3:
		p.stop()
	case 4:
		p.close(r.time(40 * time.Second))
	case 5:
		if s.fair.Load() {
			return false
		}
		s.pause(ctx, p, r.time(3*time.Minute))
		return false
	default:
		return false
	}
	return true
}

// pause stops a process for a while, which may be longer than its claims last.
func (s *simulation) pause(ctx context.Context, p *process, d time.Duration) {
	defer s.trouble()()
	s.judge.notes("", "%s: paused", p.name)
	p.network.freeze()
	sleep(ctx, d)
	p.network.resume()
	s.judge.notes("", "%s: resumed", p.name)
}
