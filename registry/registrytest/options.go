package registrytest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/snowfence/snowfence/registry"
)

// An Option changes what [CheckResolver] tries.
type Option func(*options) error

// WithMeta sets the function that draws metadata. It must take its random numbers from the source
// given, so that the seed reproduces them. Use it if the resolver reads a format, which random
// bytes would hardly ever match. One in four metadata is still nil, empty or garbage.
func WithMeta(draw func(*rand.Rand) []byte) Option {
	return func(o *options) error {
		if draw == nil {
			return errors.New("WithMeta: the function is nil")
		}
		o.meta = draw
		return nil
	}
}

// WithNodes sets the names of the nodes that make claims, at least three. Use it if the resolver
// knows nodes by name.
func WithNodes(nodes ...string) Option {
	return func(o *options) error {
		sorted := slices.Sorted(slices.Values(nodes))
		if distinct := len(slices.Compact(sorted)); distinct != len(nodes) || distinct < 3 ||
			slices.Contains(nodes, "") {
			return fmt.Errorf("WithNodes(%q): at least three different names, none empty, are needed", nodes)
		}
		o.nodes = slices.Clone(nodes)
		return nil
	}
}

// WithSeed sets the seed of all random numbers. Without it each run draws another, and logs it.
func WithSeed(seed uint64) Option {
	return func(o *options) error {
		o.seed = seed
		return nil
	}
}

// WithRounds sets how many sets of claims are tried for each law; 500 by default.
func WithRounds(n int) Option {
	return func(o *options) error {
		if n < 1 {
			return fmt.Errorf("WithRounds(%d): at least 1 is needed", n)
		}
		o.rounds = n
		return nil
	}
}

type options struct {
	meta   func(*rand.Rand) []byte
	nodes  []string
	seed   uint64
	rounds int
}

func newOptions(opts []Option) (*options, error) {
	o := &options{
		meta:   anyMeta,
		nodes:  []string{"a", "b", "c", "node-1", "node-2", "node-10", "Z", "ä", "10.0.0.1:7946"},
		seed:   rand.Uint64(),
		rounds: 500,
	}
	for _, opt := range opts {
		if err := opt(o); err != nil {
			return nil, err
		}
	}
	return o, nil
}

const (
	poolSize = 8 // claims in a round

	noon = 1767268800_000000000 // 2026-01-01 12:00:00 UTC, in nanoseconds
)

func (o *options) drawMeta(rng *rand.Rand) []byte {
	switch rng.IntN(12) {
	case 0:
		return nil
	case 1:
		return []byte{}
	case 2:
		return garbage(rng)
	}
	return slices.Clip(slices.Clone(o.meta(rng)))
}

// anyMeta returns metadata in formats that are common.
func anyMeta(rng *rand.Rand) []byte {
	switch n := rng.IntN(10); rng.IntN(6) {
	case 0:
		return fmt.Append(nil, n)
	case 1:
		return []byte{byte(n)}
	case 2:
		return fmt.Appendf(nil, "10.0.0.%d:8080", n)
	case 3:
		return fmt.Appendf(nil, `{"priority":%d}`, n)
	case 4:
		return fmt.Appendf(nil, "priority=%d", n)
	default:
		return garbage(rng)
	}
}

func garbage(rng *rand.Rand) []byte {
	b := make([]byte, 1+rng.IntN(24))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// scales holds the distances between times, one for a round: a rule that calls close times equal
// may have its threshold near any of them.
var scales = []time.Duration{
	1, time.Microsecond, time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond,
	time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 24 * time.Hour,
}

// drawTime returns now, or another time within a few of scale of it.
func drawTime(rng *rand.Rand, now registry.Timestamp, scale int64) registry.Timestamp {
	switch rng.IntN(6) {
	case 0:
	case 1:
		now.Logical++
	case 2:
		now.Logical += 1 + rng.Uint32N(1000)
	default:
		now.Nanos += rng.Int64N(5*scale) - 2*scale
	}
	return now
}
