package benchmarks

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLibraries checks that all libraries behave the same.
func TestLibraries(t *testing.T) {
	t.Run("int", testLibraries[int])
	t.Run("string", testLibraries[string])
}

func testLibraries[K keys](t *testing.T) {
	for _, ttl := range both {
		for _, l := range libraries[K, int]() {
			if ttl > 0 && !l.timed {
				continue
			}
			t.Run("ttl="+ttl.String()+"/"+l.name, func(t *testing.T) {
				c := l.make(t, 100, ttl, loaded[K])
				settle := func() {
					if c.wait != nil {
						c.wait()
					}
				}
				one, two := keyOf[K](1), keyOf[K](22)
				_, ok := c.get(one)
				require.False(t, ok)
				c.set(one, 70)
				settle()
				v, ok := c.get(one)
				require.True(t, ok)
				require.Equal(t, 70, v)
				if c.all != nil {
					seen := 0
					for key, v := range c.all {
						seen++
						require.Equal(t, one, key)
						require.Equal(t, 70, v)
					}
					require.Equal(t, 1, seen)
				}
				for range 2 {
					v, err := c.fetch(t.Context(), two)
					require.NoError(t, err)
					require.Equal(t, len(name(two)), v)
					settle()
				}
				c.del(one)
				settle()
				_, ok = c.get(one)
				require.False(t, ok, "deleted")
			})
		}
	}
}

// A library stores what it loads: the second fetch calls no loader.
func TestLibrariesLoadOnce(t *testing.T) {
	for _, l := range libraries[string, int]() {
		t.Run(l.name, func(t *testing.T) {
			loads := 0
			c := l.make(t, 100, time.Hour, func(_ context.Context, _ string) (int,
				error) {
				loads++
				return 1, nil
			})
			for range 5 {
				_, err := c.fetch(t.Context(), "k")
				require.NoError(t, err)
				if c.wait != nil {
					c.wait()
				}
			}
			require.Equal(t, 1, loads)
		})
	}
}
