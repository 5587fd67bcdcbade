// Package clusterotel carries OpenTelemetry traces from the caller of a fetch to the node that
// loads the value.
//
//	cluster.New(cluster.Options[*User]{…, Propagator: clusterotel.New(otel.GetTextMapPropagator())})
//
// A span that Load starts on the owner is then a child of the span in the context of the first
// caller, on whatever node that was. Callers who join its flight are in other traces.
//
// With the tracer of package cacheotel, each flight has a span as well, on the node of the caller
// and on the owner: caller, flight, owner's flight and Load are one trace. The spans of callers who
// join a flight are linked to that flight's, both ways, also if they came from other nodes:
//
//	cluster.New(cluster.Options[*User]{
//		…,
//		Propagator: clusterotel.New(otel.GetTextMapPropagator()),
//		Cache: cache.Options[string, *User]{Courier: []courier.Option{
//			courier.WithName("users"),
//			courier.WithTracer(cacheotel.NewTracer(otel.GetTracerProvider())),
//		}},
//	})
//
// Baggage is sent too, as it is, if the propagator carries it: whatever a user can put into it,
// Load can see.
//
// A service that has set no global propagator gets one from OpenTelemetry that does nothing, so no
// trace crosses nodes; see otel.SetTextMapPropagator. Only OpenTelemetry's API is linked, no
// exporter.
package clusterotel

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/propagation"

	"github.com/snowfence/snowfence/cache/cluster"
)

// New returns a cluster.Propagator that uses p. Several caches may use it. New panics if p is nil.
func New(p propagation.TextMapPropagator) cluster.Propagator {
	if p == nil {
		panic("clusterotel: nil TextMapPropagator")
	}
	return propagator{p}
}

type propagator struct{ p propagation.TextMapPropagator }

// Inject implements cluster.Propagator.
func (x propagator) Inject(ctx context.Context, header http.Header) {
	x.p.Inject(ctx, propagation.HeaderCarrier(header))
}

// Extract implements cluster.Propagator.
func (x propagator) Extract(ctx context.Context, header http.Header) context.Context {
	return x.p.Extract(ctx, propagation.HeaderCarrier(header))
}
