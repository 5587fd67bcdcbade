package courier

import "context"

// A Tracer makes a span for each flight, as of OpenTelemetry: see package cacheotel. Its methods are
// called by several goroutines at a time, without locks. A method that blocks delays its flight. If
// Start panics, the flight has no span, and a panic of End is ignored.
type Tracer interface {
	// Start is called in the flight's goroutine before its function. ctx has the values of the
	// context of the caller that has started the flight; those of the returned one are the values
	// that the function sees. keys is the number of keys that the function is called for: 1, or
	// those of a DoMany.
	Start(ctx context.Context, keys int) (context.Context, Span)
}

// A Span is a flight that a Tracer has started.
type Span interface {
	// End is called once, when the flight is over; its function may run on. err is the outcome.
	// joined has the contexts of the callers that have joined the flight, but of 100 at most.
	End(end FlightEnd, err error, joined []context.Context)
}

// maxJoined bounds the contexts that a flight keeps for Span.End.
const maxJoined = 100

// A trace holds what a flight of a courier with a Tracer has in addition.
type trace struct {
	span   Span // nil: the flight's goroutine has not begun
	joined joined
}

// joined holds the contexts of the callers that have joined a flight.
type joined []context.Context

// note adds ctx, unless there are too many.
func (j *joined) note(ctx context.Context) {
	if len(*j) < maxJoined {
		*j = append(*j, ctx)
	}
}

// noteJoin keeps the context of a caller that has joined f. shard.mu is held.
func (f *flight[K, V]) noteJoin(ctx context.Context) {
	if f.shard.courier.cfg.tracer == nil {
		return
	}
	if f.isPassenger() {
		f.batch.joined.mu.Lock()
		defer f.batch.joined.mu.Unlock()
		f.batch.joined.contexts.note(ctx)
	} else {
		f.labels.trace.joined.note(ctx)
	}
}

// startSpan makes f's span. The flight's goroutine calls it before the function.
func (f *flight[K, V]) startSpan() {
	s := f.shard
	t := s.courier.cfg.tracer
	if t == nil {
		return
	}
	keys := 1
	if f.batch != nil {
		keys = len(f.batch.passengers)
	}
	values, span := startSpan(t, context.WithoutCancel(f.values), keys)
	if span == nil {
		return
	}
	f.values = values
	s.mu.Lock()
	ended := f.ended
	if !ended {
		f.labels.trace.span = span
	}
	s.mu.Unlock()
	if ended { // its end came before the span
		endSpan(span, f.end, f.err, nil)
	}
}

func startSpan(
	t Tracer, ctx context.Context, keys int, //nolint:revive // as the interface has it
) (values context.Context, span Span) {
	defer func() {
		if recover() != nil {
			span = nil
		}
	}()
	return t.Start(ctx, keys)
}

func endSpan(span Span, end FlightEnd, err error, joined []context.Context) {
	defer func() { _ = recover() }()
	span.End(end, err, joined)
}

// endSpan ends f's span, if it has one. It is called once, when f is over, without a lock.
func (f *flight[K, V]) endSpan() {
	s := f.shard
	if s.courier.cfg.tracer == nil || f.isPassenger() {
		return
	}
	var span Span
	var joined joined
	s.mu.Lock()
	span, joined = f.labels.trace.span, f.labels.trace.joined
	s.mu.Unlock()
	if span == nil {
		return
	}
	if f.batch != nil {
		f.batch.joined.mu.Lock()
		joined = f.batch.joined.contexts
		f.batch.joined.mu.Unlock()
	}
	endSpan(span, f.end, f.err, joined)
}

// WithTracer makes t trace the courier's flights. A flight that ends before its goroutine has begun
// has no span.
func WithTracer(t Tracer) Option {
	return func(c *config) error {
		c.tracer = t
		return nil
	}
}
