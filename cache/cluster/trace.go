package cluster

import (
	"context"
	"maps"
	"net/http"

	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
)

// A Propagator carries a trace from the context of a caller to the context of Load on another node.
// It has the methods of OpenTelemetry's propagators, with http.Header for the carrier. Inject(ctx,
// header) adds to the header of a request what the other node needs to continue the trace;
// Extract(ctx, header) returns ctx with that on the other node. The methods are called by several
// goroutines at a time.
type Propagator = peer.Propagator

type traceKey struct{}

// traceHeaders names the headers of W3C Trace Context and W3C Baggage.
var traceHeaders = []string{"Traceparent", "Tracestate", "Baggage"}

// WithTrace returns ctx with the W3C trace headers (traceparent, tracestate, baggage) of a request.
// A Fetch with that context passes them on to the owner, where Load finds them with [TraceFrom].
func WithTrace(ctx context.Context, header http.Header) context.Context {
	kept := make(http.Header)
	for _, name := range traceHeaders {
		if values := header.Values(name); len(values) > 0 {
			kept[name] = values
		}
	}
	if len(kept) == 0 {
		return ctx
	}
	return context.WithValue(ctx, traceKey{}, kept)
}

// TraceFrom returns the headers that [WithTrace] put into ctx, on this node or on the caller's; nil
// if there are none. They must not be changed.
func TraceFrom(ctx context.Context) http.Header {
	header, _ := ctx.Value(traceKey{}).(http.Header)
	return header
}

// w3c is the Propagator of WithTrace and TraceFrom.
type w3c struct{}

func (w3c) Inject(ctx context.Context, header http.Header) {
	maps.Copy(header, TraceFrom(ctx))
}

func (w3c) Extract(ctx context.Context, header http.Header) context.Context {
	return WithTrace(ctx, header)
}
