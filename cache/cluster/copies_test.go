package cluster_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
)

// Copies leave room for the entries that a node owns: the oldest go when there are too many, or too
// heavy ones.
func TestCopiesAreBounded(t *testing.T) {
	for name, change := range map[string]func(o *cluster.Options[string]){
		"number": func(o *cluster.Options[string]) { o.Cache.Capacity = 80 },
		"weight": func(o *cluster.Options[string]) {
			o.Cache.MaxWeight, o.Cache.Weigher = 800, func(string, string) uint32 { return 10 }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var from origin
			n := start(t, 1, &from, func(_ int, o *cluster.Options[string]) {
				o.Ownership, o.CopyTTL = cluster.ByRing, time.Hour
				change(o)
			})[0]
			x := startFake(t, "x", n.registry.Addr(), func(string) (peer.Value, error) {
				return peer.Value{Data: []byte("x"), Keep: cache.Forever}, nil
			})
			waitForFakes(t, n, 1)
			var own, copied []string
			for i := range 400 {
				key, loads := fmt.Sprint("key", i), n.Stats().Loads
				if len(own) == 40 && n.Stats().Loads == loads && len(copied) > 100 {
					break
				}
				_, err := n.Fetch(t.Context(), key)
				require.NoError(t, err)
				switch {
				case n.Stats().Loads == loads:
					copied = append(copied, key)
				case len(own) < 40:
					own = append(own, key)
				default:
					require.NoError(t, ignoreUnconfirmed(n.Delete(t.Context(), key)))
				}
				require.LessOrEqual(t, n.Stats().Copies, 10)
			}
			require.Greater(t, len(copied), 100)
			require.Equal(t, 10, n.Stats().Copies)
			for _, key := range own {
				_, ok := n.Get(key)
				require.True(t, ok, "an own entry made room for a copy")
			}
			for i, key := range copied {
				_, ok := n.Get(key)
				require.Equal(t, i >= len(copied)-10, ok, "the oldest went first")
			}
			x.leave() // n owns all keys from now on, so they are no copies
			waitForFakes(t, n, 0)
			_ = n.Clear(t.Context())
			require.Zero(t, n.Stats().Copies)
			require.Zero(t, n.Stats().Entries)
		})
	}
}
