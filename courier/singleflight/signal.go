package singleflight

import (
	"context"
	"sync"
)

// A signal is the context of a caller of DoChan. A courier asks for the Done channel of a
// caller's context when the caller has begun to wait, and not before; so DoChan knows that the
// call has begun or was joined.
type signal struct {
	context.Context
	once  sync.Once
	asked chan struct{} // closed when the caller waits, or was refused
}

func (s *signal) fire() { s.once.Do(func() { close(s.asked) }) }

func (s *signal) Done() <-chan struct{} {
	s.fire()
	return nil
}
