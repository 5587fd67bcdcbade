package run

import (
	"fmt"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/snowfence/snowfence/internal/workload"
)

// A Comparison is what a plain golang-lru cache made of the same requests.
type Comparison struct {
	Requests uint64  `json:"requests"`
	HitRatio float64 `json:"hit_ratio"`
}

// PlainLRU asks a golang-lru cache of the given capacity for the keys of worker
// 0 of a fresh space, adding what is missing at once. The first requests up to
// skip are not counted; those after them up to count are.
func PlainLRU(keys *workload.Space, capacity int, skip, count uint64) (Comparison, error) {
	plain, err := lru.New[uint64, struct{}](capacity)
	if err != nil {
		return Comparison{}, fmt.Errorf("load: golang-lru: %w", err)
	}
	source := keys.Source(0)
	var hits uint64
	for i := range skip + count {
		key, ok := source.Next()
		if !ok {
			return Comparison{}, fmt.Errorf("load: the keys ended after %d of %d", i, skip+count)
		}
		if _, hit := plain.Get(key); !hit {
			plain.Add(key, struct{}{})
		} else if i >= skip {
			hits++
		}
	}
	c := Comparison{Requests: count}
	if count > 0 {
		c.HitRatio = float64(hits) / float64(count)
	}
	return c, nil
}
