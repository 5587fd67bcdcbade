package clusterotel_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cacheotel"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/clusterotel"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/leak"
	"github.com/snowfence/snowfence/registry"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestSpanContextCrosses(t *testing.T) {
	p := clusterotel.New(propagation.TraceContext{})
	span := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4, 5}, TraceFlags: trace.FlagsSampled,
	})
	header := make(http.Header)
	p.Inject(trace.ContextWithSpanContext(t.Context(), span), header)
	require.Equal(t, "00-01020300000000000000000000000000-0405000000000000-01",
		header.Get("traceparent"))

	there := trace.SpanContextFromContext(p.Extract(t.Context(), header))
	require.True(t, there.IsRemote())
	require.Equal(t, span.TraceID(), there.TraceID())
	require.Equal(t, span.SpanID(), there.SpanID())
	require.True(t, there.IsSampled())

	require.False(t, trace.SpanContextFromContext(p.Extract(t.Context(), make(http.Header))).IsValid())
}

// The context keeps its other values, its cancellation and its deadline.
func TestContextIsKept(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, 1))
	p := clusterotel.New(propagation.TraceContext{})
	got := p.Extract(ctx, http.Header{
		"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	})
	require.Equal(t, 1, got.Value(key{}))
	require.NoError(t, got.Err())
	cancel()
	require.Error(t, got.Err())
}

func TestNil(t *testing.T) {
	require.PanicsWithValue(t, "clusterotel: nil TextMapPropagator", func() { clusterotel.New(nil) })
}

// heard holds what Load found in its context.
type heard struct {
	node    string
	span    trace.SpanContext
	baggage string
}

// The trace of a caller is that of Load, on whichever of two nodes Load runs. Requests over TLS
// carry it as well.
func TestLoadIsInTheTraceOfTheCaller(t *testing.T) {
	for name, keys := range map[string][][]byte{"plain": nil,
		"TLS": {make([]byte, cluster.MinSharedKey)}} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			loads := make(map[string]heard) // by key
			a := startNode(t, "a", nil, keys, func(ctx context.Context, key, node string) {
				mu.Lock()
				defer mu.Unlock()
				loads[key] = heard{node, trace.SpanContextFromContext(ctx),
					baggage.FromContext(ctx).Member("user").Value()}
			})
			b := startNode(t, "b", []string{a.names.Addr()}, keys, a.load)
			for _, n := range []*node{a, b} {
				require.Eventually(t, func() bool {
					peers := n.Stats().Peers
					return len(peers) == 1 && peers[0].Synced
				}, 20*time.Second, 5*time.Millisecond)
			}

			here, there := 0, 0
			for i := 1; i < 1000 && (here == 0 || there == 0); i++ {
				key := strconv.Itoa(i)
				span := trace.NewSpanContext(trace.SpanContextConfig{
					TraceID: trace.TraceID{byte(i), byte(i >> 8), 1}, SpanID: trace.SpanID{byte(i), 7},
					TraceFlags: trace.FlagsSampled,
				})
				member, err := baggage.NewMember("user", "u"+key)
				require.NoError(t, err)
				bag, err := baggage.New(member)
				require.NoError(t, err)
				ctx := baggage.ContextWithBaggage(trace.ContextWithSpanContext(t.Context(), span), bag)
				_, err = a.Fetch(ctx, key)
				require.NoError(t, err)

				mu.Lock()
				got := loads[key]
				mu.Unlock()
				if got.node == "a" {
					here++
				} else {
					there++
				}
				require.Equal(t, span.TraceID(), got.span.TraceID(), "on %s", got.node)
				require.Equal(t, span.SpanID(), got.span.SpanID())
				require.Equal(t, got.node == "b", got.span.IsRemote())
				require.Equal(t, "u"+key, got.baggage)
			}
			require.NotZero(t, here)
			require.NotZero(t, there)
		})
	}
}

// With a tracer on both nodes, the caller, its flight, the owner's flight and Load are one trace.
func TestFlightsHaveSpans(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter))
	defer func() { require.NoError(t, provider.Shutdown(context.WithoutCancel(t.Context()))) }()
	on := func(node string) []courier.Option {
		return []courier.Option{
			courier.WithName(node), courier.WithTracer(cacheotel.NewTracer(provider)),
		}
	}
	var mu sync.Mutex
	loads := make(map[string]heard) // by key
	a := startNode(t, "a", nil, nil, func(ctx context.Context, key, node string) {
		mu.Lock()
		defer mu.Unlock()
		loads[key] = heard{node: node, span: trace.SpanContextFromContext(ctx)}
	}, on("a")...)
	b := startNode(t, "b", []string{a.names.Addr()}, nil, a.load, on("b")...)
	for _, n := range []*node{a, b} {
		require.Eventually(t, func() bool {
			peers := n.Stats().Peers
			return len(peers) == 1 && peers[0].Synced
		}, time.Minute, 5*time.Millisecond)
	}
	for i := range 1000 {
		key := strconv.Itoa(i)
		ctx, caller := provider.Tracer("test").Start(t.Context(), "caller")
		_, err := a.Fetch(ctx, key)
		require.NoError(t, err)
		caller.End()
		mu.Lock()
		load := loads[key]
		mu.Unlock()
		if load.node != "b" {
			continue
		}
		spans := make(map[trace.SpanID]tracetest.SpanStub)
		require.Eventually(t, func() bool { // a flight's span ends after its callers wake
			for _, s := range exporter.GetSpans() {
				spans[s.SpanContext.SpanID()] = s
			}
			owner, ok := spans[load.span.SpanID()]
			_, asked := spans[owner.Parent.SpanID()]
			return ok && asked
		}, time.Minute, time.Millisecond)
		owner := spans[load.span.SpanID()]
		require.Equal(t, "load b", owner.Name)
		require.True(t, owner.Parent.IsRemote())
		flight := spans[owner.Parent.SpanID()]
		require.Equal(t, "load a", flight.Name)
		require.Equal(t, caller.SpanContext().SpanID(), flight.Parent.SpanID())
		require.Equal(t, caller.SpanContext().TraceID(), load.span.TraceID())
		return
	}
	t.Fatal("b owns no key")
}

type node struct {
	*cluster.Cache[string]
	names *registry.Registry
	load  func(ctx context.Context, key, node string)
}

func startNode(
	t *testing.T, name string, seeds []string, keys [][]byte,
	load func(ctx context.Context, key, node string), opts ...courier.Option,
) *node {
	t.Helper()
	names, err := registry.Open(t.Context(), registry.Config{NodeName: name, Seeds: seeds})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, names.Close()) })
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server, scheme := &http.Server{ReadHeaderTimeout: time.Minute}, "http://"
	serve := server.Serve
	if len(keys) > 0 {
		server.TLSConfig, err = cluster.SharedKeyTLS(keys...)
		require.NoError(t, err)
		scheme, serve = "https://", func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	c, err := cluster.New(cluster.Options[string]{
		Registry: names, URL: scheme + listener.Addr().String(), SharedKeys: keys,
		Load: func(ctx context.Context, key string) (string, error) {
			load(ctx, key, name)
			return "the user " + key, nil
		},
		PeerTimeout: 5 * time.Second, // on a busy machine as well
		Cache:       cache.Options[string, string]{Courier: opts},
		Propagator: clusterotel.New(propagation.NewCompositeTextMapPropagator(
			propagation.TraceContext{}, propagation.Baggage{})),
	})
	require.NoError(t, err)
	server.Handler = c.Handler()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = serve(listener)
	}()
	t.Cleanup(func() {
		require.NoError(t, c.Close())
		require.NoError(t, server.Close())
		<-served
	})
	return &node{c, names, load}
}

func Example() {
	p := clusterotel.New(propagation.TraceContext{}) // goes into cluster.Options.Propagator

	// The cache uses it on the node that asks,
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1},
		SpanID: trace.SpanID{2}})
	request := make(http.Header)
	p.Inject(trace.ContextWithSpanContext(context.Background(), span), request)

	// and on the owner, for the context of Load.
	ctx := p.Extract(context.Background(), request)
	fmt.Println(trace.SpanContextFromContext(ctx).TraceID())
	// Output: 01000000000000000000000000000000
}
