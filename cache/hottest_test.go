package cache_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

func TestHottestFindsTheKeysThatAreAskedForMost(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]cache.Options[string, int]{
		"LRU":     {},
		"TTL":     {TTL: time.Hour},
		"TinyLFU": {Policy: cache.TinyLFU},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Capacity = 2000
			o.Courier = append(o.Courier, courier.WithKeyText(func(key any) string {
				return fmt.Sprint("key ", key)
			}))
			c := newCache(t, o)
			for i := range 1000 {
				c.Set(strconv.Itoa(i), i)
			}
			hot := c.Hottest(5)
			require.Zero(t, hot.Sampled, "the first call starts the sample")
			seed := uint64(time.Now().UnixNano())
			t.Log("seed", seed)
			r := rand.New(rand.NewPCG(seed, 0))
			const hits = 1_000_000
			for range hits { // a third for key 7, a sixth for key 8
				key := r.IntN(1000)
				switch r.IntN(6) {
				case 0, 1:
					key = 7
				case 2:
					key = 8
				}
				if _, ok := c.Get(strconv.Itoa(key)); !ok {
					require.Fail(t, "a miss")
				}
			}
			hot = c.Hottest(5)
			require.Greater(t, hot.Sampled, 500)
			require.LessOrEqual(t, len(hot.Keys), 5)
			require.Equal(t, "7", hot.Keys[0].Key)
			require.Equal(t, "key 7", hot.Keys[0].KeyText)
			require.Equal(t, "8", hot.Keys[1].Key)
			require.InDelta(t, 1.0/3, float64(hot.Keys[0].Hits)/float64(hot.Sampled), 0.1)
			require.InDelta(t, 1.0/6, float64(hot.Keys[1].Hits)/float64(hot.Sampled), 0.1)
			require.True(t, c.Delete("7"))
			require.Equal(t, "8", c.Hottest(1).Keys[0].Key, "a key that has left is left out")
		})
	}
}

func TestHottestWhileHitsGoOn(t *testing.T) {
	t.Parallel()
	c := newCache(t, cache.Options[int, int]{Capacity: 100})
	c.Hottest(0)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			c.Set(i%200, i)
			c.Get(i % 200)
		}
	}()
	for range 200 {
		for _, k := range c.Hottest(10).Keys {
			require.Less(t, k.Key, 200)
		}
	}
	stop()
	<-done
}
