package courier_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// flightsOf returns c's flights, sorted by key and state, without what differs between runs.
func flightsOf(t *testing.T, c courier.Inspector) []courier.Flight {
	t.Helper()
	flights := slices.Collect(c.Flights())
	slices.SortFunc(flights, func(a, b courier.Flight) int {
		return strings.Compare(a.KeyText+a.State.String(), b.KeyText+b.State.String())
	})
	for i := range flights {
		assert.NotEmpty(t, flights[i].Label)
		flights[i].Label = ""
	}
	return flights
}

func keyText(key any) string { return key.(string) } //nolint:errcheck,forcetypeassert // all keys are strings

func TestFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(3), courier.WithKeyText(keyText),
			courier.WithQueueWait(0))
		assert.Empty(t, slices.Collect(c.Flights()))
		release := make(chan struct{})
		abandoned := callers(t, c, 1, "abandoned", time.Second, deaf(release))
		require.Error(t, abandoned.one().err)
		late := callers(t, c, 1, "late", time.Second, deaf(release))
		lateStays := callers(t, c, 1, "late", 0, nil)
		require.Error(t, late.one().err)
		nested := callers(t, c, 2, "outer", 0, func(ctx context.Context) (int, error) {
			v, _, err := c.Do(ctx, "inner", deaf(release))
			return v, err
		})
		queued := callers(t, c, 1, "queued", 0, value(1))
		time.Sleep(time.Second)
		assert.Equal(t, []courier.Flight{
			{Key: "abandoned", KeyText: "abandoned", Age: 3 * time.Second, State: courier.Abandoned},
			{Key: "inner", KeyText: "inner", Age: time.Second, Waiters: 1, State: courier.Running},
			{Key: "late", KeyText: "late", Age: 2 * time.Second, Waiters: 1, State: courier.Late},
			{Key: "outer", KeyText: "outer", Age: time.Second, Waiters: 2, State: courier.Running,
				WaitsFor: []any{"inner"}, WaitsForText: []string{"inner"}},
			{Key: "queued", KeyText: "queued", Age: time.Second, Waiters: 1, State: courier.Queued},
		}, flightsOf(t, c))
		close(release)
		for _, h := range []*herd{lateStays, nested, queued} {
			h.wait()
		}
		synctest.Wait()
		assert.Empty(t, slices.Collect(c.Flights()))
		still(t, c.Stats())
	})
}

func TestFlightsOfBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithKeyText(keyText))
		release := make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.DoMany(ctx, []string{"a", "b"}, func(context.Context, []string) ([]courier.Outcome[int], error) {
				<-release
				return nil, nil
			})
		}()
		synctest.Wait()
		labels := map[string]bool{}
		for f := range c.Flights() {
			labels[f.Label] = true
		}
		assert.Len(t, labels, 1, "they have one goroutine")
		assert.Equal(t, []courier.Flight{
			{Key: "a", KeyText: "a", Waiters: 1, State: courier.Running},
			{Key: "b", KeyText: "b", Waiters: 1, State: courier.Running},
		}, flightsOf(t, c))
		<-done
		assert.Equal(t, []courier.Flight{
			{Key: "a", KeyText: "a", Age: time.Second, State: courier.Abandoned},
			{Key: "b", KeyText: "b", Age: time.Second, State: courier.Abandoned},
		}, flightsOf(t, c))
		close(release)
		synctest.Wait()
		assert.Empty(t, slices.Collect(c.Flights()))
	})
}

// Without WithKeyText no part of a key is shown.
func TestKeysAreNotShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithBackoff(time.Minute, time.Hour))
		_, _, err := c.Do(t.Context(), "secret", func(context.Context) (int, error) {
			time.Sleep(time.Second)
			return 0, errors.New("failed")
		})
		require.Error(t, err)
		resting := slices.Collect(c.Resting())
		require.Len(t, resting, 1)
		slowest := c.Slowest()
		require.Len(t, slowest, 1)
		assert.Regexp(t, `^#[0-9a-f]{8}$`, resting[0].KeyText)
		assert.Equal(t, resting[0].KeyText, slowest[0].KeyText)
		assert.Equal(t, courier.RestingKey{
			Key: "secret", KeyText: resting[0].KeyText, Failures: 1, Err: err, Until: resting[0].Until,
		}, resting[0])
		assert.Equal(t, courier.SlowFlight{
			Key: "secret", KeyText: slowest[0].KeyText, Took: time.Second, End: courier.EndError,
			Ended: slowest[0].Ended,
		}, slowest[0])
		assert.Zero(t, time.Since(slowest[0].Ended))
		time.Sleep(time.Hour)
		assert.Empty(t, slices.Collect(c.Resting()))
		assert.Empty(t, c.Slowest())
	})
}

func TestSlowest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[int, int]()
		took := func(d time.Duration) {
			_, _, err := c.Do(t.Context(), int(d), func(context.Context) (int, error) {
				time.Sleep(d)
				return 1, nil
			})
			require.NoError(t, err)
		}
		took(time.Millisecond - 1)
		assert.Empty(t, c.Slowest())
		for i := range 200 {
			took(time.Duration(i%100+1) * time.Millisecond)
		}
		slowest := c.Slowest()
		require.Len(t, slowest, 20)
		for i, f := range slowest {
			assert.Equal(t, time.Duration(100-i/2)*time.Millisecond, f.Took)
			assert.Equal(t, int(f.Took), f.Key)
		}
		time.Sleep(3 * time.Minute)
		took(time.Second)
		assert.Len(t, c.Slowest(), 20)
		time.Sleep(150 * time.Second)
		require.Len(t, c.Slowest(), 1, "the others are older than five minutes")
		assert.Equal(t, time.Second, c.Slowest()[0].Took)
	})
}

// Each flight counts once, by its end, and each caller once.
func TestTimings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](
			courier.WithIsFailure(func(err error) bool { return err.Error() != "no record" }))
		after := func(d time.Duration, f func() (int, error)) fetchFunc {
			return func(context.Context) (int, error) {
				time.Sleep(d)
				return f()
			}
		}
		release := make(chan struct{})
		for end, fetch := range map[courier.FlightEnd]fetchFunc{
			courier.EndValue:     after(time.Second, func() (int, error) { return 1, nil }),
			courier.EndAnswer:    after(time.Second, func() (int, error) { return 0, errors.New("no record") }),
			courier.EndError:     after(time.Second, func() (int, error) { return 0, errors.New("failed") }),
			courier.EndPanic:     after(time.Second, func() (int, error) { panic("died") }),
			courier.EndGoexit:    after(time.Second, func() (int, error) { t.SkipNow(); return 0, nil }),
			courier.EndTimeout:   deaf(release),
			courier.EndCancelled: deaf(release),
		} {
			want := time.Second
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			switch end {
			case courier.EndTimeout:
				want = courier.DefaultTimeout
			case courier.EndCancelled:
				want = 3 * time.Second
				ctx, cancel = context.WithTimeout(t.Context(), want)
			}
			before := c.Timings()
			_, _, _ = c.Do(ctx, end.String(), fetch)
			cancel()
			now := c.Timings()
			require.Contains(t, now.Flights, end)
			assert.EqualValues(t, 1, now.Flights[end].Count, end)
			assert.Equal(t, want, now.Flights[end].Sum, end)
			assert.Equal(t, before.Waits.Count+1, now.Waits.Count, end)
			assert.Equal(t, before.Waits.Sum+want, now.Waits.Sum, end)
		}
		close(release)
		synctest.Wait()
	})
}

// A caller that joins waits for the rest of the flight, and one with low priority is nobody who
// waits.
func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		release := make(chan struct{})
		first := callers(t, &c, 1, "key", 0, deaf(release))
		time.Sleep(time.Second)
		second := callers(t, &c, 2, "key", 0, nil)
		leaves := callers(t, &c, 1, "key", time.Second, nil)
		low := make(chan struct{})
		go func() {
			defer close(low)
			_, _, _ = c.Do(courier.ContextWithLowPriority(t.Context()), "key", nil)
		}()
		many := make(chan struct{})
		go func() {
			defer close(many)
			c.DoMany(t.Context(), []string{"key", "other"},
				func(context.Context, []string) ([]courier.Outcome[int], error) {
					return []courier.Outcome[int]{{Value: 1}}, nil
				})
		}()
		require.Error(t, leaves.one().err)
		time.Sleep(time.Second)
		close(release)
		first.wait()
		second.wait()
		<-low
		<-many
		waits := c.Timings().Waits
		assert.EqualValues(t, 5, waits.Count)
		assert.Equal(t, (3+2+2+1+2)*time.Second, waits.Sum)
	})
}

// A nil key of an interface type can rest as any other.
func TestNilKeyRests(t *testing.T) {
	c := courier.New[any, int](courier.WithBackoff(time.Hour, time.Hour))
	_, _, err := c.Do(t.Context(), nil, func(context.Context) (int, error) { return 0, errors.New("no") })
	require.Error(t, err)
	n := 0
	for r := range c.Resting() {
		n++
		assert.Nil(t, r.Key)
		assert.Equal(t, r.KeyText, c.KeyText(nil))
	}
	assert.Equal(t, 1, n)
}
