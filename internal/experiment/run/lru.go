package run

import (
	"fmt"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/snowfence/snowfence/internal/workload"
)

// A Comparison is the hit ratio of a plain golang-lru cache for the same requests.
type Comparison struct {
	Requests uint64  `json:"requests"`
	HitRatio float64 `json:"hit_ratio"`
}

// plainLRU asks a golang-lru cache of a capacity for the keys of worker 0 of a fresh space, and
// adds what is missing at once. It does not count the first requests up to skip, and counts those
// after them up to count.
func plainLRU(
	keys *workload.Space, capacity int, skip, count uint64,
) (*Comparison, error) {
	plain, err := lru.New[uint64, struct{}](capacity)
	if err != nil {
		return nil, fmt.Errorf("golang-lru: %w", err)
	}
	source := keys.Source(0)
	var hits uint64
	for i := range skip + count {
		key, ok := source.Next()
		if !ok {
			return nil, fmt.Errorf("the keys ended after %d of %d", i, skip+count)
		}
		if _, hit := plain.Get(key); !hit {
			plain.Add(key, struct{}{})
		} else if i >= skip {
			hits++
		}
	}
	c := &Comparison{Requests: count}
	if count > 0 {
		c.HitRatio = float64(hits) / float64(count)
	}
	return c, nil
}
