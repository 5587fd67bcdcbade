package courier

import "context"

// A Tracer makes a span for each flight, as of OpenTelemetry: see package cacheotel. Its methods,
// and those of its spans, are called by several goroutines at a time, without locks. A method that
// blocks delays its flight or caller. If Start panics, the flight has no span; panics of the other
// methods are ignored.
type Tracer interface {
	// Start is called in the flight's goroutine before its function. ctx has the values of the
	// context of the caller that has started the flight; those of the returned one are the values
	// that the function sees.
	Start(ctx context.Context, f TracedFlight) (context.Context, Span)
}

// A TracedFlight describes a flight that a Tracer starts.
type TracedFlight struct {
	Courier string // its name: see WithName
	Keys    int    // that the function is called for: 1, or those of a DoMany

	// KeyText returns what may be shown of the key: see WithKeyText. It is nil for a DoMany.
	KeyText func() string
}

// A Span is a flight that a Tracer has started.
type Span interface {
	// Joined is called for each caller that has joined the flight, by that caller, when its wait is
	// over, with its context. A caller that leaves early calls it before End, others before or
	// after that.
	Joined(ctx context.Context)
	// End is called once, when the flight is over.
	End(e TracedEnd)
}

// A TracedEnd describes how a flight with a Span has ended.
type TracedEnd struct {
	End    FlightEnd
	Err    error             // the outcome
	Joined []context.Context // those of the callers that have joined the flight; 100 at most
	RunsOn bool              // its function, or a linked child, is still running
}

// maxJoined bounds the contexts that a flight keeps for TracedEnd.
const maxJoined = 100

// A trace holds what a flight of a courier with a Tracer has in addition. The lock of the flight's
// shard guards it. The callers that join a passenger are in batch.joined.
type trace struct {
	span   Span // nil: the flight's goroutine has not begun
	joined joined
	closed bool // the flight is over, and its span has ended or never will begin
}

// joined holds the contexts of the callers that have joined a flight.
type joined []context.Context

// note adds ctx, unless there are too many.
func (j *joined) note(ctx context.Context) {
	if len(*j) < maxJoined {
		*j = append(*j, ctx)
	}
}

// noteJoin keeps the context of a caller that has joined f, for TracedEnd.
func (f *flight[K, V]) noteJoin(ctx context.Context) {
	if f.isPassenger() {
		f.batch.joined.mu.Lock()
		defer f.batch.joined.mu.Unlock()
		f.batch.joined.contexts.note(ctx)
		return
	}
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	if t := &f.labels.trace; !t.closed {
		t.joined.note(ctx)
	}
}

// startSpan makes f's span. The flight's goroutine calls it before the function, if there is a
// Tracer.
func (f *flight[K, V]) startSpan() {
	s := f.shard
	c := s.courier
	of := TracedFlight{Courier: c.Name(), Keys: 1}
	if f.batch != nil {
		of.Keys = len(f.batch.passengers)
	} else {
		of.KeyText = func() string { return c.keyText(f.key, f.hash) }
	}
	values, span := startSpan(c.cfg.tracer, context.WithoutCancel(f.values), of)
	if span == nil {
		return
	}
	if values != nil {
		f.values = values
	}
	s.mu.Lock()
	t := &f.labels.trace
	t.span = span
	closed := t.closed
	s.mu.Unlock()
	if closed { // the flight's end came before the span
		endSpan(span, TracedEnd{f.end, f.err, f.takeJoined(), true})
	}
}

func startSpan(
	t Tracer, ctx context.Context, of TracedFlight, //nolint:revive // as the interface has it
) (values context.Context, span Span) {
	defer func() {
		if recover() != nil {
			span = nil
		}
	}()
	return t.Start(ctx, of)
}

func endSpan(span Span, e TracedEnd) {
	defer func() { _ = recover() }()
	span.End(e)
}

// endSpan ends f's span, if it has one. It is called once, when f is over, without a lock.
func (f *flight[K, V]) endSpan() {
	s := f.shard
	if s.courier.cfg.tracer == nil || f.isPassenger() {
		return
	}
	s.mu.Lock()
	t := &f.labels.trace
	span := t.span
	t.closed = true
	runsOn := f.running > 0
	s.mu.Unlock()
	if span != nil {
		endSpan(span, TracedEnd{f.end, f.err, f.takeJoined(), runsOn})
	}
}

// takeJoined returns the contexts of the callers that have joined f, which is over.
func (f *flight[K, V]) takeJoined() (contexts []context.Context) {
	if f.batch != nil {
		f.batch.joined.mu.Lock()
		defer f.batch.joined.mu.Unlock()
		return f.batch.joined.contexts
	}
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	t := &f.labels.trace
	contexts, t.joined = t.joined, nil
	return contexts
}

// notifyJoined calls Joined of f's span, if it has one, for a caller whose wait for f is over.
func (f *flight[K, V]) notifyJoined(ctx context.Context) {
	if f.isPassenger() {
		if f.batch.labels.Load() == nil { // the batch has not been started
			return
		}
		f = &f.batch.carrier
	}
	f.shard.mu.Lock()
	span := f.labels.trace.span
	f.shard.mu.Unlock()
	if span != nil {
		defer func() { _ = recover() }()
		span.Joined(ctx)
	}
}

// waitTraced does what Do does for a caller that has joined f, and then notifies f's span.
func (c *Courier[K, V]) waitTraced(
	ctx context.Context, w waiter, f *flight[K, V],
) (v V, shared bool, err error) {
	f.noteJoin(ctx)
	defer f.notifyJoined(ctx)
	switch {
	case w.nested:
		return c.waitNested(ctx, w, f)
	case w.patient:
		return f.waitPatiently(ctx, w)
	default:
		return f.wait(ctx, w)
	}
}

// notifyJoined calls Joined of the spans of the flights that m has joined, once for a batch.
func (m *manyCall[K, V]) notifyJoined(joined []*flight[K, V]) {
	if joined == nil {
		return
	}
	notified := make(map[*batch[K, V]]struct{})
	for _, f := range joined {
		if f.batch != nil {
			if _, ok := notified[f.batch]; ok {
				continue
			}
			notified[f.batch] = struct{}{}
		}
		f.notifyJoined(m.ctx)
	}
}

// joined returns the flights that m has joined, 100 at most, and notes that it has, if there is a
// Tracer.
func (m *manyCall[K, V]) joined() (flights []*flight[K, V]) {
	if m.courier.cfg.tracer == nil {
		return nil
	}
	for i := range m.states {
		if state := &m.states[i]; state.joined && state.flight != nil && len(flights) < maxJoined {
			state.flight.noteJoin(m.ctx)
			flights = append(flights, state.flight)
		}
	}
	return flights
}

// WithTracer makes t trace the courier's flights. A flight that ends before its goroutine has begun
// has no span.
func WithTracer(t Tracer) Option {
	return func(c *config) error {
		c.tracer = t
		return nil
	}
}
