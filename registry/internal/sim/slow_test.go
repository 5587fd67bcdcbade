package sim

import (
	"testing"
	"time"
)

// TestSlowAnswers makes answers take longer than the time-out of a pull, and walks of many chunks.
// The repair must still end: a late chunk is applied, whichever node was asked meanwhile.
func TestSlowAnswers(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 15
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		s := NewSetup(seed)
		s.Nodes, s.Drawn, s.Skew, s.Partitions = 4, numbers(4), make([]time.Duration, 4), 1
		s.Churn, s.Weather = Churn{}, Weather{Delay: [2]time.Duration{1e6, 300e6}}
		s.Limits.PullTimeout, s.Limits.ChunkBytes, s.Limits.Tombstones = 200*time.Millisecond, 100, 1
		s.Fanout, s.FlushBytes, s.FlushMax, s.Backlog = 1, 60, 1, 1000
		steps := []Step{
			{At: 16 * time.Millisecond, Kind: Burst, Node: 2, Arg: 60},
			{At: 27 * time.Millisecond, Kind: Burst, Node: 3, Arg: 60},
			{At: 300 * time.Millisecond, Kind: Split, Arg: 1<<2 | 1<<3},
			{At: 380 * time.Millisecond, Kind: Burst, Node: 1, Arg: 60},
		}
		if v := Run(s, steps); v != nil {
			t.Fatalf("seed %d: %v", seed, v)
		}
	}
}
