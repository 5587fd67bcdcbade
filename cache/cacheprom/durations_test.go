package cacheprom_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cacheprom"
	"github.com/snowfence/snowfence/courier"
)

// goWrong makes loads of c end in each way, and returns the duration of each, in seconds. c has a
// Timeout of 20 s, one turn and a QueueWait of 5 s.
func goWrong(t *testing.T, c *cache.Cache[string, int]) map[string]float64 {
	t.Helper()
	after := func(d time.Duration, end func() (int, error)) func(context.Context, string) (int, error) {
		return func(context.Context, string) (int, error) {
			time.Sleep(d)
			return end()
		}
	}
	load := func(fetch func(context.Context, string) (int, error)) {
		_, _ = c.Fetch(t.Context(), t.Name(), fetch)
		c.Delete(t.Name())
	}
	load(after(2*time.Second, func() (int, error) { return 1, nil }))
	load(after(3*time.Second, func() (int, error) { return 0, cache.ErrNotFound }))
	load(after(5*time.Second, func() (int, error) { return 0, errors.New("down") }))
	load(after(7*time.Second, func() (int, error) { panic("boom") }))
	load(after(9*time.Second, func() (int, error) { runtime.Goexit(); return 0, nil }))
	load(func(ctx context.Context, _ string) (int, error) { <-ctx.Done(); return 0, nil }) // times out

	ctx, cancel := context.WithTimeout(t.Context(), 11*time.Second)
	defer cancel()
	_, err := c.Fetch(ctx, "left", func(ctx context.Context, _ string) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	synctest.Wait()

	var callers sync.WaitGroup
	callers.Go(func() {
		_, err := c.Fetch(t.Context(), "closed", func(ctx context.Context, _ string) (int, error) {
			<-ctx.Done()
			return 0, nil
		})
		assert.ErrorIs(t, err, cache.ErrClosed)
	})
	synctest.Wait()
	callers.Go(func() {
		_, err := c.Fetch(t.Context(), "queued", nil)
		assert.ErrorIs(t, err, courier.ErrOverloaded)
	})
	time.Sleep(13 * time.Second)
	require.NoError(t, c.Close())
	callers.Wait()
	return map[string]float64{
		"value": 2, "answer": 3, "error": 5, "panic": 7, "goexit": 9, "timeout": 20, "cancelled": 11,
		"closed": 13, "overloaded": 5,
	}
}

func broken(t *testing.T) (registry *prometheus.Registry, took map[string]float64) {
	t.Helper()
	c, err := cache.New(cache.Options[string, int]{
		Timeout: 20 * time.Second,
		Courier: []courier.Option{
			courier.WithMaxConcurrent(1), courier.WithQueueWait(5 * time.Second),
		},
	})
	require.NoError(t, err)
	took = goWrong(t, c)
	registry = prometheus.NewPedanticRegistry()
	registry.MustRegister(cacheprom.New("users", c))
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
	return registry, took
}

// scrape returns what Prometheus gets with that Accept header.
func scrape(t *testing.T, registry *prometheus.Registry, accept string) *http.Response {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
	request.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, request)
	require.Equal(t, http.StatusOK, w.Code)
	return w.Result()
}

// families returns the families of a response.
func families(t *testing.T, r *http.Response) map[string]*dto.MetricFamily {
	t.Helper()
	defer func() { require.NoError(t, r.Body.Close()) }()
	decoder := expfmt.NewDecoder(r.Body, expfmt.ResponseFormat(r.Header))
	all := make(map[string]*dto.MetricFamily)
	for {
		f := &dto.MetricFamily{}
		err := decoder.Decode(f)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		all[f.GetName()] = f
	}
}

const protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; " +
	"encoding=delimited"

// Loads that end in each way are counted, with their durations, in the classic buckets of a scrape
// in text and in those of protobuf, which has native ones as well.
func TestDurationsByOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry, took := broken(t)
		text := families(t, scrape(t, registry, "text/plain")) //nolint:bodyclose // families does
		binary := families(t, scrape(t, registry, protobuf))   //nolint:bodyclose // families does
		for _, all := range []map[string]*dto.MetricFamily{text, binary} {
			f := all["snowfence_cache_load_duration_seconds"]
			require.Equal(t, dto.MetricType_HISTOGRAM, f.GetType())
			require.Len(t, f.GetMetric(), len(took), "no outcome besides these")
			for _, m := range f.GetMetric() {
				outcome := label(m, "outcome")
				require.Contains(t, took, outcome)
				h := m.GetHistogram()
				require.EqualValues(t, 1, h.GetSampleCount(), outcome)
				require.InDelta(t, took[outcome], h.GetSampleSum(), 1e-9, outcome)
				for _, b := range h.GetBucket() {
					want := uint64(0)
					if b.GetUpperBound() >= took[outcome] {
						want = 1
					}
					if b.GetUpperBound() == took[outcome] {
						continue // buckets of the courier do not include their upper bounds
					}
					require.Equal(t, want, b.GetCumulativeCount(), "%s below %v", outcome, b.GetUpperBound())
				}
			}
		}
		for _, m := range binary["snowfence_cache_load_duration_seconds"].GetMetric() {
			h := m.GetHistogram()
			require.EqualValues(t, 2, h.GetSchema())
			require.Len(t, h.GetPositiveDelta(), 1)
			require.Len(t, h.GetPositiveSpan(), 1)
			upper := math.Exp2(float64(h.GetPositiveSpan()[0].GetOffset()) / 4)
			require.GreaterOrEqual(t, upper, took[label(m, "outcome")])
			require.LessOrEqual(t, upper/math.Exp2(0.25), took[label(m, "outcome")]+1e-9)
		}
		waits := binary["snowfence_cache_wait_duration_seconds"].GetMetric()
		require.Len(t, waits, 1)
		sum := 0.0
		for _, d := range took {
			sum += d
		}
		require.EqualValues(t, len(took), waits[0].GetHistogram().GetSampleCount())
		require.InDelta(t, sum, waits[0].GetHistogram().GetSampleSum(), 1e-9)
	})
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// The bounds of the classic buckets are plain numbers, and an unused cache has the series of
// values, so that a rate over them begins at 0.
func TestClassicBounds(t *testing.T) {
	c, err := cache.New(cache.Options[string, int]{})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(cacheprom.New("users", c))
	r := scrape(t, registry, "text/plain")
	defer func() { require.NoError(t, r.Body.Close()) }()
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	var bounds []string
	const start = `snowfence_cache_load_duration_seconds_bucket{cache="users",outcome="value",le="`
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, start); ok {
			bound, value, ok := strings.Cut(rest, `"} `)
			require.True(t, ok)
			require.Equal(t, "0\n", value)
			bounds = append(bounds, bound)
		}
	}
	require.Equal(t, []string{
		"0.0001220703125", "0.00048828125", "0.0009765625", "0.001953125", "0.00390625", "0.0078125",
		"0.015625", "0.03125", "0.0625", "0.125", "0.25", "0.5", "1", "2", "4", "8", "16", "32", "64",
		"+Inf",
	}, bounds)
	require.Contains(t, string(body), `snowfence_cache_wait_duration_seconds_count{cache="users"} 0`)
}

// Stale entries, remembered missing records and resting keys are shown while they are there.
func TestPresentState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.New(cache.Options[string, int]{
			TTL: 10 * time.Second, StaleFor: time.Hour, NotFoundTTL: 20 * time.Second,
			Courier: []courier.Option{courier.WithBackoff(time.Minute, time.Minute)},
		})
		require.NoError(t, err)
		defer func() { require.NoError(t, c.Close()) }()
		state := func() (all [3]float64) {
			t.Helper()
			registry := prometheus.NewPedanticRegistry()
			registry.MustRegister(cacheprom.New("users", c))
			families, err := registry.Gather()
			require.NoError(t, err)
			for _, f := range families {
				value := f.GetMetric()[0].GetGauge().GetValue()
				switch f.GetName() {
				case "snowfence_cache_stale_entries":
					all[0] = value
				case "snowfence_cache_not_found_keys":
					all[1] = value
				case "snowfence_cache_keys_resting":
					all[2] = value
				}
			}
			return all
		}
		require.Equal(t, [3]float64{}, state())
		c.Set("a", 1)
		c.Set("b", 2)
		for key, err := range map[string]error{"c": cache.ErrNotFound, "d": errors.New("down")} {
			_, got := c.Fetch(t.Context(), key, func(context.Context, string) (int, error) { return 0, err })
			require.ErrorIs(t, got, err)
		}
		require.Equal(t, [3]float64{0, 1, 1}, state())
		time.Sleep(15 * time.Second)
		require.Equal(t, [3]float64{2, 1, 1}, state())
		c.Set("a", 3)
		require.Equal(t, [3]float64{1, 1, 1}, state())
		time.Sleep(50 * time.Second)
		require.Equal(t, [3]float64{2, 0, 0}, state())
	})
}
