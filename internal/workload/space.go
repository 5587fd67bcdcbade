package workload

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
)

// SpaceConfig configures a Space.
type SpaceConfig struct {
	Keys     KeySpec
	Count    uint64 // the number of keys, 1 to 2^52; not for a trace, which has its own keys
	Seed     uint64
	Scramble bool // scatter popular keys over the range; not for a trace

	// Trace holds the requests of a trace as key numbers, in order, for the kind KindTrace. It is
	// only read.
	Trace []uint32
	// Loop restarts the trace when it ends.
	Loop bool
}

// A Space is the set of keys of a run with their popularity. It is safe for concurrent use.
type Space struct {
	cfg    SpaceConfig
	count  uint64
	zipf   *Zipf
	perm   *permutation // nil: key and rank are the same
	cursor atomic.Uint64
}

// NewSpace validates the configuration and returns its Space.
func NewSpace(c SpaceConfig) (*Space, error) {
	if err := c.Keys.Validate(); err != nil {
		return nil, err
	}
	s := &Space{cfg: c, count: c.Count}
	if c.Keys.Kind == KindTrace {
		if len(c.Trace) == 0 {
			return nil, fmt.Errorf("workload: Trace: is empty, but the keys are those of a trace")
		}
		if c.Count != 0 || c.Scramble {
			return nil, fmt.Errorf("workload: Count and Scramble: not for a trace, whose keys are its own")
		}
		s.count = uint64(slices.Max(c.Trace)) + 1
		return s, nil
	}
	if len(c.Trace) != 0 {
		return nil, fmt.Errorf("workload: Trace: given, but the keys are %s", c.Keys)
	}
	if c.Count < 1 || c.Count > maxRanks {
		return nil, fmt.Errorf("workload: Count: must be from 1 to %d, got %d", uint64(maxRanks), c.Count)
	}
	if c.Keys.hasSkew() {
		var err error
		if s.zipf, err = NewZipf(c.Count, c.Keys.Skew); err != nil {
			return nil, err
		}
	}
	if c.Scramble {
		s.perm = newPermutation(c.Count, Hash(c.Seed, pathPermutation))
	}
	return s, nil
}

// The purposes of the streams of a run: the first elements of their paths.
const (
	pathPermutation = 1 + iota
	pathKeys
	pathScan
)

// Count returns the number of keys. Keys are the numbers below it.
func (s *Space) Count() uint64 { return s.count }

// Key returns the key with the given rank, which must be below Count. The ranks of a trace or a
// scan do not reflect popularity.
func (s *Space) Key(rank uint64) uint64 {
	if s.perm == nil {
		return rank
	}
	return s.perm.of(rank)
}

// Targets chooses n keys of neighbouring ranks whose share of all requests is closest to the given
// one. With share 0 they are the n most popular keys. It returns the keys and their actual share.
//
// A share can be given only where popularity is zipf or comes from a trace; otherwise any n keys
// have the share n/Count.
func (s *Space) Targets(n int, share float64) (keys []uint64, got float64, err error) {
	if n < 1 || uint64(n) > s.count {
		return nil, 0, fmt.Errorf("workload: targets: number of keys: must be from 1 to %d, got %d",
			s.count, n)
	}
	if !(share >= 0 && share <= 1) {
		return nil, 0, fmt.Errorf("workload: targets: share: must be from 0 to 1, got %v", share)
	}
	kind := s.cfg.Keys.Kind
	if share > 0 && (kind == KindUniform || kind == KindScan) {
		return nil, 0, fmt.Errorf("workload: targets: share: has no meaning for %s keys, which are all "+
			"alike", s.cfg.Keys)
	}
	weight, total, byRank := s.popularity()
	// The window slides from the most popular ranks down. Its weight only falls, so the search ends
	// once it is below the wanted one.
	sum := 0.0
	for r := range n {
		sum += weight(uint64(r))
	}
	first, best := uint64(0), sum
	if share > 0 {
		want := share * total
		for r := uint64(1); r+uint64(n) <= s.count && sum > want; r++ {
			sum += weight(r+uint64(n)-1) - weight(r-1)
			if math.Abs(sum-want) < math.Abs(best-want) {
				first, best = r, sum
			}
		}
	}
	for r := first; r < first+uint64(n); r++ {
		keys = append(keys, byRank(r))
	}
	return keys, best / total, nil
}

// popularity returns each rank's weight, the sum of all, and each rank's key.
func (s *Space) popularity() (
	weight func(rank uint64) float64, total float64, byRank func(uint64) uint64,
) {
	spec := s.cfg.Keys
	switch spec.Kind {
	case KindZipf, KindZipfScan:
		sum := 0.0
		for r := s.count; r > 0; r-- { // smallest first, for an accurate sum
			sum += s.zipf.weight(float64(r))
		}
		scanned := 0.0
		if spec.Kind == KindZipfScan {
			scanned = spec.scanShare()
		}
		return func(r uint64) float64 {
			return (1-scanned)*s.zipf.weight(float64(r+1))/sum + scanned/float64(s.count)
		}, 1, s.Key
	case KindTrace:
		requests := make([]float64, s.count)
		for _, id := range s.cfg.Trace {
			requests[id]++
		}
		order := make([]uint64, s.count)
		for i := range order {
			order[i] = uint64(i)
		}
		slices.SortStableFunc(order, func(a, b uint64) int {
			return cmp.Compare(requests[b], requests[a])
		})
		return func(r uint64) float64 { return requests[order[r]] }, float64(len(s.cfg.Trace)),
			func(r uint64) uint64 { return order[r] }
	default:
		return func(uint64) float64 { return 1 }, float64(s.count), s.Key
	}
}
