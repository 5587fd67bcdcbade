package peers

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// These libraries can't end their goroutines.
		goleak.IgnoreAnyFunction(
			"github.com/viccon/sturdyc.(*Client[...]).performContinuousEvictions.func1"),
		goleak.IgnoreAnyFunction("github.com/hashicorp/golang-lru/v2/expirable.NewLRU[...].func1"))
}

var all = []struct {
	name string
	open func(Setup[string]) (Cache[string], error)
	lost error // what callers get where the library loses the error of a load
}{
	{"otter", Otter[string], nil},
	{"sturdyc", Sturdyc[string], nil},
	{"theine", Theine[string], nil},
	{"ttlcache", TTLCache[string], ErrNoItem},
	{"golang-lru", GolangLRU[string], nil},
	{"golang-lru DoChan", GolangLRUChan[string], nil},
	{"ristretto", Ristretto[string], nil},
}

var errOrigin = errors.New("the origin is down")

// Callers of one key share a load. A late one finds the value that it has stored.
func TestLoadsAreShared(t *testing.T) {
	for _, p := range all {
		t.Run(p.name, func(t *testing.T) {
			const callers = 20
			var loads, arrived atomic.Int64
			c, err := p.open(Setup[string]{
				Capacity: 1000, TTL: time.Hour,
				Load: func(context.Context, uint64) (string, error) {
					loads.Add(1)
					for arrived.Load() < callers {
						runtime.Gosched()
					}
					return "seven", nil
				},
			})
			require.NoError(t, err)
			defer c.Close()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					arrived.Add(1)
					v, err := c.Fetch(t.Context(), 7)
					assert.NoError(t, err)
					assert.Equal(t, "seven", v)
				})
			}
			wg.Wait()
			// A caller that has looked in vain may load just after the value was stored.
			require.Less(t, loads.Load(), int64(callers/2))
		})
	}
}

// The error of a load reaches its caller and is not kept. A value that was set is found.
func TestErrorsAndValues(t *testing.T) {
	for _, p := range all {
		t.Run(p.name, func(t *testing.T) {
			loads := 0
			c, err := p.open(Setup[string]{
				Capacity: 1000, TTL: time.Hour,
				Load: func(context.Context, uint64) (string, error) {
					loads++
					return "", errOrigin
				},
			})
			require.NoError(t, err)
			defer c.Close()
			want := errOrigin
			if p.lost != nil {
				want = p.lost
			}
			for range 2 {
				_, err := c.Fetch(t.Context(), 7)
				require.ErrorIs(t, err, want)
			}
			require.Equal(t, 2, loads)
			c.Set(8, "eight")
			require.Eventually(t, func() bool {
				v, err := c.Fetch(t.Context(), 8)
				return v == "eight" && err == nil
			}, 10*time.Second, time.Millisecond)
		})
	}
}

// Past its TTL a value is loaded anew, however often it was asked for before. Sturdyc gives the
// older one if that fails.
func TestTTL(t *testing.T) {
	const ttl = 200 * time.Millisecond
	for _, p := range all {
		t.Run(p.name, func(t *testing.T) {
			var loads atomic.Int64
			c, err := p.open(Setup[string]{
				Capacity: 1000, TTL: ttl, RefreshAfter: ttl / 2, StaleFor: time.Hour,
				Load: func(context.Context, uint64) (string, error) {
					if loads.Add(1) > 1 {
						return "", errOrigin
					}
					return "seven", nil
				},
			})
			require.NoError(t, err)
			defer c.Close()
			for end := time.Now().Add(2 * ttl); time.Now().Before(end); time.Sleep(ttl / 20) {
				_, _ = c.Fetch(t.Context(), 7)
			}
			require.Greater(t, loads.Load(), int64(1))
			v, err := c.Fetch(t.Context(), 7)
			if p.name == "sturdyc" {
				require.NoError(t, err)
				require.Equal(t, "seven", v)
				return
			}
			require.Error(t, err)
		})
	}
}
