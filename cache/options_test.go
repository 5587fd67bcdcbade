package cache_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

// Each invalid option is an error with its name and value.
func TestOptionErrors(t *testing.T) {
	type options = cache.Options[int, int]
	weigher := func(int, int) uint32 { return 1 }
	for _, tt := range []struct {
		o     options
		field string
		value any
		text  string
	}{
		{options{Capacity: -1}, "Capacity", -1,
			"cache: Options.Capacity: -1: want 0 (the default) or more"},
		{options{MaxWeight: 1 << 63, Weigher: weigher}, "MaxWeight", uint64(1 << 63),
			"cache: Options.MaxWeight: 9223372036854775808: want less than 2^63"},
		{options{MaxWeight: 1}, "Weigher", "nil",
			"cache: Options.Weigher: nil: want a function, since MaxWeight is set"},
		{options{Weigher: weigher}, "MaxWeight", 0,
			"cache: Options.MaxWeight: 0: want a bound above 0, since Weigher is set"},
		{options{TTL: -time.Second}, "TTL", -time.Second,
			"cache: Options.TTL: -1s: want 0 (no expiry) or more"},
		{options{TTLJitter: -0.5}, "TTLJitter", -0.5,
			"cache: Options.TTLJitter: -0.5: want a share from 0 to 1"},
		{options{TTLJitter: 1.5}, "TTLJitter", 1.5,
			"cache: Options.TTLJitter: 1.5: want a share from 0 to 1"},
		{options{Policy: 9}, "Policy", uint8(9),
			"cache: Options.Policy: 9: want cache.Adaptive, cache.LRU, cache.TinyLFU or cache.StrictLRU"},
		{options{ShedAbove: 1.5}, "ShedAbove", 1.5,
			"cache: Options.ShedAbove: 1.5: want a share from 0 to 1"},
		{options{ClockError: time.Minute}, "ClockError", time.Minute,
			"cache: Options.ClockError: 1m0s: want at most a second"},
		{options{StaleFor: -1}, "StaleFor", time.Duration(-1),
			"cache: Options.StaleFor: -1ns: want 0 (never) or more"},
		{options{SoftTimeout: -1}, "SoftTimeout", time.Duration(-1),
			"cache: Options.SoftTimeout: -1ns: want 0 (until the load ends) or more"},
		{options{SoftTimeout: time.Second}, "SoftTimeout", time.Second,
			"cache: Options.SoftTimeout: 1s: want 0, since StaleFor is not set"},
		{options{StaleRetry: -1}, "StaleRetry", time.Duration(-1),
			"cache: Options.StaleRetry: -1ns: want 0 (the default) or more"},
		{options{StaleRetry: time.Second}, "StaleRetry", time.Second,
			"cache: Options.StaleRetry: 1s: want 0, since StaleFor is not set"},
		{options{RefreshAt: -0.1}, "RefreshAt", -0.1,
			"cache: Options.RefreshAt: -0.1: want a share from 0 (never) to less than 1"},
		{options{RefreshAt: 1}, "RefreshAt", 1.0,
			"cache: Options.RefreshAt: 1: want a share from 0 (never) to less than 1"},
		{options{NotFoundTTL: -1}, "NotFoundTTL", time.Duration(-1),
			"cache: Options.NotFoundTTL: -1ns: want 0 (not remembered) or more"},
		{options{MaxNotFound: -1}, "MaxNotFound", -1,
			"cache: Options.MaxNotFound: -1: want 0 (the default) or more"},
		{options{MaxNotFound: 1}, "MaxNotFound", 1,
			"cache: Options.MaxNotFound: 1: want 0, since NotFoundTTL is not set"},
		{options{MaxBatch: -1}, "MaxBatch", -1, "cache: Options.MaxBatch: -1: want 0 (no bound) or more"},
	} {
		_, err := cache.New(tt.o)
		var bad *cache.OptionError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, tt.field, bad.Field)
		require.Equal(t, tt.value, bad.Value)
		require.EqualError(t, err, tt.text)
	}
	_, err := cache.New(options{TTLJitter: math.NaN()})
	require.EqualError(t, err, "cache: Options.TTLJitter: NaN: want a share from 0 to 1")

	_, err = cache.New(options{Courier: []courier.Option{courier.WithTimeout(-time.Second)}})
	var bad *courier.OptionError
	require.ErrorAs(t, err, &bad)
	require.Equal(t, "WithTimeout", bad.Option)
}

func TestOptionsAtTheirBounds(t *testing.T) {
	type options = cache.Options[int, int]
	for _, o := range []options{
		{Capacity: math.MaxInt},
		{MaxWeight: math.MaxInt64, Weigher: func(int, int) uint32 { return math.MaxUint32 }},
		{TTL: math.MaxInt64, TTLJitter: 1},
		{TTL: 2, RefreshAt: math.SmallestNonzeroFloat64},
		{TTL: math.MaxInt64, RefreshAt: math.Nextafter(1, 0), StaleFor: math.MaxInt64},
		{TTL: 1, StaleFor: 1, SoftTimeout: math.MaxInt64, StaleRetry: math.MaxInt64},
		{NotFoundTTL: math.MaxInt64, MaxNotFound: math.MaxInt},
		{Timeout: cache.NoTimeout}, {Timeout: math.MaxInt64},
		{Policy: cache.TinyLFU, ShedAbove: 1, ClockError: time.Second, TTL: time.Second},
	} {
		c := newCache(t, o)
		for i := range 100 {
			c.Set(i, i)
			_, err := c.Fetch(t.Context(), -i, returns[int](i))
			require.NoError(t, err)
		}
	}
}
