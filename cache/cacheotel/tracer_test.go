package cacheotel_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cacheotel"
	"github.com/snowfence/snowfence/courier"
)

// A traced is a cache whose loads have spans.
type traced struct {
	*cache.Cache[string, int]
	trace.Tracer // of callers
	exporter     *tracetest.InMemoryExporter
}

func newTraced(
	t *testing.T, o cache.Options[string, int], opts ...cacheotel.Option,
) *traced {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter))
	o.Courier = append(o.Courier, courier.WithName("users"),
		courier.WithTracer(cacheotel.NewTracer(provider, opts...)))
	c, err := cache.New(o)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, c.Close())
		require.NoError(t, provider.Shutdown(context.Background()))
	})
	return &traced{c, provider.Tracer("test"), exporter}
}

// span returns the ended span of that name, of which there is one.
func (c *traced) span(t *testing.T, name string) tracetest.SpanStub {
	t.Helper()
	var found []tracetest.SpanStub
	spans := c.exporter.GetSpans()
	for i := range spans {
		if spans[i].Name == name {
			found = append(found, spans[i])
		}
	}
	require.Len(t, found, 1, name)
	return found[0]
}

func attributes(s tracetest.SpanStub) map[string]string {
	all := make(map[string]string)
	for _, a := range s.Attributes {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

// The span of a flight is a child of the first caller's, and that of the fetch function its child.
// A caller that joins is linked, both ways. The first caller leaves, and the span goes on.
func TestSpanOfAFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTraced(t, cache.Options[string, int]{})
		fetch := func(ctx context.Context, _ string) (int, error) {
			_, inner := c.Start(ctx, "query")
			defer inner.End()
			time.Sleep(10 * time.Second)
			return 1, nil
		}
		call := func(name string, timeout time.Duration) (ended chan error) {
			ended = make(chan error, 1)
			go func() {
				ctx, s := c.Start(t.Context(), name)
				ctx, cancel := context.WithTimeout(ctx, timeout)
				defer cancel()
				_, err := c.Fetch(ctx, "secret", fetch)
				s.End()
				ended <- err
			}()
			synctest.Wait()
			return ended
		}
		first := call("first", time.Second)
		early := call("early", 2*time.Second)
		second := call("second", time.Minute)
		require.ErrorIs(t, <-first, context.DeadlineExceeded)
		require.ErrorIs(t, <-early, context.DeadlineExceeded)
		for _, s := range c.exporter.GetSpans() {
			require.NotEqual(t, "load users", s.Name, "it has not ended with the first caller")
		}
		require.NoError(t, <-second)
		synctest.Wait()

		load := c.span(t, "load users")
		require.Equal(t, c.span(t, "first").SpanContext.SpanID(), load.Parent.SpanID())
		require.Equal(t, load.SpanContext.SpanID(), c.span(t, "query").Parent.SpanID())
		require.Equal(t, 10*time.Second, load.EndTime.Sub(load.StartTime))
		require.Equal(t, map[string]string{
			"snowfence.cache.name": "users", "snowfence.cache.load.outcome": "value",
			"snowfence.cache.load.keys": "1", "snowfence.cache.load.joined": "2",
		}, attributes(load))
		require.Equal(t, codes.Unset, load.Status.Code)

		require.Len(t, load.Links, 2)
		for i, name := range []string{"early", "second"} {
			joiner := c.span(t, name)
			require.Equal(t, joiner.SpanContext.SpanID(), load.Links[i].SpanContext.SpanID())
			require.NotEqual(t, load.SpanContext.TraceID(), joiner.SpanContext.TraceID())
			require.Len(t, joiner.Links, 1)
			require.True(t, load.SpanContext.Equal(joiner.Links[0].SpanContext))
			require.Equal(t, []attribute.KeyValue{attribute.String("snowfence.cache.link", "load")},
				joiner.Links[0].Attributes)
		}
		require.Empty(t, c.span(t, "first").Links)
	})
}

// A flight that times out has ended then, and the late result changes nothing.
func TestLateResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTraced(t, cache.Options[string, int]{Timeout: time.Second})
		_, err := c.Fetch(t.Context(), "secret", func(context.Context, string) (int, error) {
			time.Sleep(time.Minute)
			return 1, nil
		})
		require.ErrorIs(t, err, courier.ErrTimeout)
		synctest.Wait()
		load := c.span(t, "load users")
		require.Equal(t, time.Second, load.EndTime.Sub(load.StartTime))
		require.Equal(t, sdk.Status{Code: codes.Error, Description: "timeout"}, load.Status)
		require.Equal(t, map[string]string{
			"snowfence.cache.name": "users", "snowfence.cache.load.outcome": "timeout",
			"snowfence.cache.load.keys": "1", "snowfence.cache.load.joined": "0",
			"snowfence.cache.load.runs_on": "true", "error.type": "timeout",
		}, attributes(load))
		time.Sleep(time.Hour)
		require.Len(t, c.exporter.GetSpans(), 1)
	})
}

// Failures have the status Error, and answers have not. Keys and texts are there if asked for.
func TestOutcomes(t *testing.T) {
	ends := map[string]struct {
		fetch func(context.Context, string) (int, error)
		code  codes.Code
		text  string
	}{
		"value":  {func(context.Context, string) (int, error) { return 1, nil }, codes.Unset, ""},
		"answer": {func(context.Context, string) (int, error) { return 0, cache.ErrNotFound }, codes.Unset, ""},
		"error": {func(context.Context, string) (int, error) {
			return 0, errors.New("no secret")
		}, codes.Error, "no secret"},
		"panic": {func(context.Context, string) (int, error) {
			panic("a secret")
		}, codes.Error, "courier: fetch panicked: a secret"},
		"goexit": {func(context.Context, string) (int, error) {
			runtime.Goexit()
			return 0, nil
		}, codes.Error, courier.ErrGoexit.Error()},
		"cancelled": {func(ctx context.Context, _ string) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}, codes.Unset, ""},
	}
	for name, end := range ends {
		for _, asked := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " ", asked), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var opts []cacheotel.Option
					if asked {
						opts = []cacheotel.Option{cacheotel.WithKeys(), cacheotel.WithErrorText()}
					}
					c := newTraced(t, cache.Options[string, int]{Courier: []courier.Option{
						courier.WithKeyText(func(key any) string { return fmt.Sprint(key) }),
					}}, opts...)
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					_, _ = c.Fetch(ctx, "secret", end.fetch)
					synctest.Wait()
					load := c.span(t, "load users")
					require.Equal(t, name, attributes(load)["snowfence.cache.load.outcome"])
					require.Equal(t, end.code, load.Status.Code)
					if !asked {
						require.NotContains(t, fmt.Sprintf("%+v", load), "secret")
						return
					}
					require.Equal(t, "secret", attributes(load)["snowfence.cache.load.key"])
					require.Equal(t, end.text, load.Status.Description)
					if end.text != "" {
						require.Len(t, load.Events, 1)
						require.Equal(t, "exception", load.Events[0].Name)
					}
				})
			})
		}
	}
}

// A batch has one span, to which those are linked that have joined one of its keys.
func TestSpanOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTraced(t, cache.Options[string, int]{})
		done := make(chan error, 2)
		go func() {
			ctx, s := c.Start(t.Context(), "first")
			defer s.End()
			_, err := c.FetchMany(ctx, []string{"a", "b", "c"},
				func(context.Context, []string) (map[string]int, error) {
					time.Sleep(time.Second)
					return map[string]int{"a": 1, "b": 2, "c": 3}, nil
				})
			done <- err
		}()
		synctest.Wait()
		go func() {
			ctx, s := c.Start(t.Context(), "single")
			defer s.End()
			_, err := c.Fetch(ctx, "a", nil)
			done <- err
		}()
		synctest.Wait()
		ctx, s := c.Start(t.Context(), "many")
		_, err := c.FetchMany(ctx, []string{"b", "c"}, nil)
		s.End()
		require.NoError(t, errors.Join(err, <-done, <-done))
		synctest.Wait()

		load := c.span(t, "load users")
		require.Equal(t, "3", attributes(load)["snowfence.cache.load.keys"])
		require.Equal(t, "2", attributes(load)["snowfence.cache.load.joined"], "many is linked once")
		require.Equal(t, c.span(t, "first").SpanContext.SpanID(), load.Parent.SpanID())
		for _, name := range []string{"single", "many"} {
			links := c.span(t, name).Links
			require.Len(t, links, 1, name)
			require.True(t, load.SpanContext.Equal(links[0].SpanContext))
		}
	})
}

// The links of a flight with many callers are bounded, and those of the callers are not.
func TestManyJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTraced(t, cache.Options[string, int]{})
		const callers = 150
		done := make(chan error, callers)
		for range callers {
			go func() {
				ctx, s := c.Start(t.Context(), "caller")
				_, err := c.Fetch(ctx, "k", func(context.Context, string) (int, error) {
					time.Sleep(time.Second)
					return 1, nil
				})
				s.End()
				done <- err
			}()
		}
		for range callers {
			require.NoError(t, <-done)
		}
		synctest.Wait()
		load := c.span(t, "load users")
		require.Len(t, load.Links, 100)
		linked := 0
		for _, s := range c.exporter.GetSpans() {
			if s.Name == "caller" {
				linked += len(s.Links)
			}
		}
		require.Equal(t, callers-1, linked)
	})
}

// Without a caller's span a flight's is a root; and a provider that does nothing is no trouble.
func TestNoSpans(t *testing.T) {
	c := newTraced(t, cache.Options[string, int]{})
	_, err := c.Fetch(t.Context(), "k", func(context.Context, string) (int, error) { return 1, nil })
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(c.exporter.GetSpans()) == 1 }, time.Minute,
		time.Millisecond)
	require.False(t, c.span(t, "load users").Parent.IsValid())

	quiet := courier.New[string, int](courier.WithTracer(cacheotel.NewTracer(noop.NewTracerProvider())))
	_, _, err = quiet.Do(t.Context(), "k", func(context.Context) (int, error) { return 1, nil })
	require.NoError(t, err)
}
