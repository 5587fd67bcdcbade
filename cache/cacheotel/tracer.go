package cacheotel

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/snowfence/snowfence/courier"
)

// An Option sets a property of a tracer.
type Option func(*tracer)

// WithKeys adds the attribute snowfence.cache.load.key: the text of courier.WithKeyText or, without
// that, a number made from the key, which is the one in logs. Keys may be personal data.
func WithKeys() Option { return func(t *tracer) { t.keys = true } }

// WithErrorText adds the text of the error to the span's status, and an event "exception". Texts of
// errors of fetch functions may contain keys.
func WithErrorText() Option { return func(t *tracer) { t.texts = true } }

// NewTracer returns a tracer for courier.WithTracer, which makes spans with provider. Several
// couriers may have the same one.
func NewTracer(provider trace.TracerProvider, opts ...Option) courier.Tracer {
	t := &tracer{Tracer: provider.Tracer(scope)}
	for _, opt := range opts {
		opt(t)
	}
	return t
}

type tracer struct {
	trace.Tracer
	keys, texts bool
}

// Start implements courier.Tracer.
func (t *tracer) Start(
	ctx context.Context, f courier.TracedFlight,
) (context.Context, courier.Span) {
	ctx, s := t.Tracer.Start(ctx, "load "+f.Courier, trace.WithAttributes(
		nameKey.String(f.Courier), keysKey.Int(f.Keys)))
	if t.keys && f.KeyText != nil && s.IsRecording() {
		s.SetAttributes(keyKey.String(f.KeyText()))
	}
	return ctx, span{s, t}
}

// A span is the span of a flight.
type span struct {
	trace.Span
	tracer *tracer
}

// Joined implements courier.Span. It links the caller's span to the flight's.
func (s span) Joined(ctx context.Context) {
	caller := trace.SpanFromContext(ctx)
	if at := s.SpanContext(); caller.IsRecording() && at.IsValid() && !at.Equal(caller.SpanContext()) {
		caller.AddLink(trace.Link{
			SpanContext: at, Attributes: []attribute.KeyValue{linkKey.String("load")},
		})
	}
}

// End implements courier.Span.
func (s span) End(e courier.TracedEnd) {
	defer s.Span.End()
	if !s.IsRecording() {
		return
	}
	outcome := e.End.String()
	s.SetAttributes(outcomeKey.String(outcome), joinedKey.Int(s.linkAll(e.Joined)))
	if e.RunsOn {
		s.SetAttributes(runsOnKey.Bool(true))
	}
	switch e.End {
	case courier.EndError, courier.EndPanic, courier.EndGoexit, courier.EndTimeout,
		courier.EndOverloaded:
		s.SetAttributes(errorKey.String(outcome))
		if !s.tracer.texts || e.Err == nil {
			s.SetStatus(codes.Error, outcome)
			return
		}
		s.RecordError(e.Err)
		s.SetStatus(codes.Error, e.Err.Error())
	case courier.EndValue, courier.EndAnswer, courier.EndCancelled, courier.EndClosed:
	}
}

// linkAll links s to the spans of callers that have joined its flight, each once, and returns their
// number.
func (s span) linkAll(joined []context.Context) int {
	linked := make(map[trace.SpanID]struct{}, len(joined))
	for _, ctx := range joined {
		caller := trace.SpanContextFromContext(ctx)
		if _, ok := linked[caller.SpanID()]; ok || !caller.IsValid() {
			continue
		}
		linked[caller.SpanID()] = struct{}{}
		s.AddLink(trace.Link{
			SpanContext: caller, Attributes: []attribute.KeyValue{linkKey.String("joined")},
		})
	}
	return len(linked)
}
