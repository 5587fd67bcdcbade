package courier_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// However flights begin and end, and whoever looks meanwhile, each flight has one duration, each
// call one wait, and each span one end.
func TestEachFlightAndCallerIsCountedOnce(t *testing.T) {
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // any
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		spans := &pairedSpans{}
		opts := []courier.Option{
			courier.WithTracer(spans), courier.WithTimeout(5 * time.Millisecond),
			courier.WithKeyText(func(any) string { return "key" }),
			courier.WithLogger(slog.New(slog.DiscardHandler)),
			courier.WithMaxAbandoned(1_000_000, 1_000_000), courier.WithMaxBatch(3),
		}
		c, inner := courier.New[int, int](opts...), courier.New[int, int](opts...)
		var callers sync.WaitGroup
		const workers, calls = 8, 200
		for worker := range workers {
			callers.Go(func() {
				r := rand.New(rand.NewPCG(seed, uint64(worker))) //nolint:gosec // any
				for range calls {
					callAtRandom(t.Context(), c, inner, r)
				}
			})
		}
		for range calls {
			time.Sleep(time.Millisecond / 3)
			for f := range c.Flights() {
				assert.LessOrEqual(t, len(f.WaitsForText), 1)
			}
			_, _, _ = c.Slowest(), c.Timings(), c.Stats()
		}
		callers.Wait()
		require.NoError(t, c.Shutdown(t.Context()))
		require.NoError(t, inner.Shutdown(t.Context()))
		synctest.Wait()
		for _, of := range []*courier.Courier[int, int]{c, inner} {
			stats, flights := of.Stats(), uint64(0)
			for _, h := range of.Timings().Flights {
				flights += h.Count
				assert.GreaterOrEqual(t, h.Sum, time.Duration(0))
			}
			assert.Equal(t, stats.Started, flights)
			still(t, stats)
		}
		assert.Equal(t, uint64(workers*calls), c.Timings().Waits.Count)
		assert.Equal(t, spans.started.Load(), spans.ended.Load())
	})
}

// callAtRandom makes a call of c, whose function may call inner.
func callAtRandom(ctx context.Context, c, inner *courier.Courier[int, int], r *rand.Rand) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.IntN(8)+1)*time.Millisecond)
	defer cancel()
	if r.IntN(8) == 0 {
		time.AfterFunc(time.Duration(r.IntN(3)+1)*time.Millisecond, cancel)
	}
	if r.IntN(3) == 0 {
		ctx = pprof.WithLabels(ctx, pprof.Labels("mine", "yes"))
	}
	if r.IntN(10) == 0 {
		c.Forget(r.IntN(8))
	}
	takes, how, key := time.Duration(r.IntN(10))*time.Millisecond, r.IntN(8), r.IntN(8)
	fetch := func(ctx context.Context) (int, error) {
		switch how {
		case 0:
			panic("boom")
		case 1:
			runtime.Goexit()
		case 2:
			return 0, errors.New("no")
		case 3:
			courier.Go(ctx, func(context.Context) error { time.Sleep(takes); panic("boom") })
		case 4:
			v, _, err := inner.Do(ctx, key, func(context.Context) (int, error) {
				time.Sleep(takes)
				return 1, nil
			})
			return v, err
		case 5:
			<-ctx.Done()
		}
		time.Sleep(takes)
		return 1, nil
	}
	if r.IntN(4) > 0 {
		_, _, _ = c.Do(ctx, key, fetch)
		return
	}
	_ = c.DoMany(ctx, r.Perm(8)[:r.IntN(7)+1],
		func(ctx context.Context, missing []int) ([]courier.Outcome[int], error) {
			_, err := fetch(ctx)
			return make([]courier.Outcome[int], len(missing)), err
		})
}

// pairedSpans counts spans.
type pairedSpans struct{ started, ended atomic.Int64 }

func (p *pairedSpans) Start(
	ctx context.Context, _ courier.TracedFlight,
) (context.Context, courier.Span) {
	p.started.Add(1)
	return ctx, p
}
func (p *pairedSpans) Joined(context.Context) {}
func (p *pairedSpans) End(courier.TracedEnd)  { p.ended.Add(1) }
