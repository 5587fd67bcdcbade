package clusterotel_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/snowfence/snowfence/cache/cluster/clusterotel"
)

func TestSpanContextCrosses(t *testing.T) {
	p := clusterotel.New(propagation.TraceContext{})
	span := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4, 5}, TraceFlags: trace.FlagsSampled,
	})
	header := make(http.Header)
	p.Inject(trace.ContextWithSpanContext(t.Context(), span), header)
	require.Equal(t, "00-01020300000000000000000000000000-0405000000000000-01", header.Get("traceparent"))

	there := trace.SpanContextFromContext(p.Extract(t.Context(), header))
	require.True(t, there.IsRemote())
	require.Equal(t, span.TraceID(), there.TraceID())
	require.Equal(t, span.SpanID(), there.SpanID())
	require.True(t, there.IsSampled())

	require.False(t, trace.SpanContextFromContext(p.Extract(t.Context(), make(http.Header))).IsValid())
}

func Example() {
	p := clusterotel.New(propagation.TraceContext{}) // goes into cluster.Options.Propagator
	header := http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}
	ctx := p.Extract(context.Background(), header)
	fmt.Println(trace.SpanContextFromContext(ctx).TraceID())
	// Output: 0af7651916cd43dd8448eb211c80319c
}
