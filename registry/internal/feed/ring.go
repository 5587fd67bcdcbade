package feed

// A ring keeps the last events up to a limit, and counts those that it dropped. It grows as needed.
type ring[E any] struct {
	limit  int
	events []E
	first  int
	n      int
	missed uint64
}

func (r *ring[E]) push(e E) {
	if r.n == len(r.events) && r.n < r.limit {
		grown := make([]E, min(max(2*r.n, 16), r.limit))
		for i := range r.n {
			grown[i] = r.events[(r.first+i)%r.n]
		}
		r.events, r.first = grown, 0
	}
	if r.n == len(r.events) {
		r.events[r.first] = e
		r.first = (r.first + 1) % len(r.events)
		r.missed++
		return
	}
	r.events[(r.first+r.n)%len(r.events)] = e
	r.n++
}

func (r *ring[E]) pop() (e E, ok bool) {
	if r.n == 0 {
		return e, false
	}
	e = r.events[r.first]
	var none E
	r.events[r.first] = none // so that the ring does not keep metadata alive
	r.first = (r.first + 1) % len(r.events)
	r.n--
	return e, true
}
