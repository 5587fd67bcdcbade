package feed

import (
	"context"
	"iter"
	"sync"
)

// A Subscription keeps events until they are taken. Its methods may be called at the same time;
// each event goes to one caller.
type Subscription[E any] struct {
	hub   *Hub[E]
	wants func(E) bool
	ready chan struct{} // has room for one: there may be something to take
	done  chan struct{} // closed when no more events come

	mu     sync.Mutex // guards the fields below; a leaf
	ring   ring[E]
	err    error // why no more events come
	unlink func() bool
}

// Next returns the next event, and waits for it if there is none. It fails with the cause of ctx
// or, once all events were taken, with the reason why no more come: the hub's Ended, or the cause
// of the context that was given to Subscribe.
func (s *Subscription[E]) Next(ctx context.Context) (E, error) {
	var none E
	for {
		if e, ok := s.pop(); ok {
			return e, nil
		}
		select {
		case <-s.ready:
			continue
		default:
		}
		select {
		case <-s.ready:
		case <-s.done:
			if e, ok := s.pop(); ok {
				return e, nil
			}
			return none, s.reason()
		case <-ctx.Done():
			return none, context.Cause(ctx)
		}
	}
}

// Events yields events until no more come. Leaving the loop does not end the subscription.
func (s *Subscription[E]) Events() iter.Seq[E] {
	return func(yield func(E) bool) {
		for {
			e, err := s.Next(context.Background())
			if err != nil || !yield(e) {
				return
			}
		}
	}
}

// Close ends the subscription. Events that were not taken yet can still be taken. It may be called
// more than once.
func (s *Subscription[E]) Close() { s.end(s.hub.Ended) }

// reason returns the reason why no more events come.
func (s *Subscription[E]) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Subscription[E]) end(err error) {
	s.hub.remove(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = err
	close(s.done)
	if s.unlink != nil {
		s.unlink()
	}
}

func (s *Subscription[E]) offer(e E) {
	if s.wants != nil && !s.wants(e) {
		return
	}
	s.mu.Lock()
	if s.err == nil {
		s.ring.push(e)
	}
	s.mu.Unlock()
	s.signal()
}

func (s *Subscription[E]) pop() (e E, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.ring.missed; n > 0 {
		s.ring.missed = 0
		e, ok = s.hub.Missed(n), true
	} else {
		e, ok = s.ring.pop()
	}
	if s.ring.n > 0 {
		s.signal() // for another caller of Next
	}
	return e, ok
}

func (s *Subscription[E]) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}
