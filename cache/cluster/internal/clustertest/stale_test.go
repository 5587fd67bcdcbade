package clustertest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestStale lets copies live for an hour, of entries that live for two seconds: no copy outlives
// its entry.
func TestStale(t *testing.T) {
	t.Parallel()
	const ttl, handing = 2 * time.Second, time.Second // handing is from the origin to Load's return
	grid(t, func(t *testing.T, c *testCluster) {
		keys := series("stale", 30)
		var oldest time.Duration
		fetches := 0
		for began := time.Now(); time.Since(began) < 2*ttl; time.Sleep(20 * time.Millisecond) {
			nodes := []int{0}
			if time.Since(began) > ttl*9/10 {
				nodes = []int{1, 2} // which take their copies when the entries are old
			}
			results := c.fetch(len(nodes)*len(keys), keys, nodes...)
			values(t, results)
			for _, r := range results {
				fetches++
				oldest = max(oldest, time.Duration(r.Begin-r.Issued))
			}
			require.LessOrEqual(t, oldest, ttl+handing, "the age of a value when a caller asked for it")
		}
		t.Logf("%d fetches; the oldest value was %v old", fetches, oldest.Round(time.Millisecond))
		require.Greater(t, oldest, ttl/2, "values are kept")
	}, spec{TTL: ttl, CopyTTL: time.Hour}, cell{"key", 3, always}, cell{"slot", 3, whenAll},
		cell{"ring", 3, whenAll})
}
