package registrytest_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry"
	"github.com/snowfence/snowfence/registry/registrytest"
)

// A recorder is a testing.TB that records failures instead of failing. Methods that it does not
// override panic.
type recorder struct {
	testing.TB
	failures, logs []string
}

func (*recorder) Helper()                      {}
func (r *recorder) Logf(f string, args ...any) { r.logs = append(r.logs, fmt.Sprintf(f, args...)) }
func (r *recorder) Errorf(f string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(f, args...))
}

// verdict returns the failure that CheckResolver reports for a resolver, or "".
func verdict(tb testing.TB, r registry.Resolver, opts ...registrytest.Option) string {
	tb.Helper()
	var rec recorder
	registrytest.CheckResolver(&rec, r, opts...)
	require.LessOrEqual(tb, len(rec.failures), 1)
	return strings.Join(rec.failures, "\n")
}

func sign(b bool) int {
	if b {
		return 1
	}
	return -1
}

type compare = func(a, b registry.Claim) int

// priority reads metadata of the form "priority=3"; others have priority 0.
func priority(c registry.Claim) int {
	digits, ok := bytes.CutPrefix(c.Meta, []byte("priority="))
	if !ok || len(digits) != 1 || digits[0] < '0' || digits[0] > '9' {
		return 0
	}
	return int(digits[0] - '0')
}

func drawPriority(rng *rand.Rand) []byte {
	return fmt.Appendf(nil, "priority=%d", rng.IntN(6))
}

func TestGoodResolvers(t *testing.T) {
	weights := map[string]int{"db-1": 3, "db-2": 2, "db-3": 2}
	good := map[string]registry.Resolver{
		"newest":  registry.KeepNewest,
		"oldest":  registry.KeepOldest,
		"default": registry.NewResolver("default", func(registry.Claim, registry.Claim) int { return 0 }),
		"nodes": registry.NewResolver("nodes", func(a, b registry.Claim) int {
			return cmp.Compare(weights[a.Node], weights[b.Node])
		}),
		"priority": registry.NewResolver("priority", func(a, b registry.Claim) int {
			return cmp.Compare(priority(a), priority(b))
		}),
		"difference": registry.NewResolver("difference",
			func(a, b registry.Claim) int { return 1000 * (priority(a) - priority(b)) }),
		"metadata": registry.NewResolver("metadata",
			func(a, b registry.Claim) int { return bytes.Compare(a.Meta, b.Meta) }),
	}
	for name, r := range good {
		t.Run(name, func(t *testing.T) {
			registrytest.CheckResolver(t, r)
			registrytest.CheckResolver(t, r, registrytest.WithMeta(drawPriority),
				registrytest.WithNodes("db-1", "db-2", "db-3", "web-1"))
		})
	}
}

// bad has functions that make invalid resolvers, since some have state.
var bad = map[string]struct {
	new  func() compare
	want string // in the report
}{
	"panics on empty metadata": {func() compare {
		return func(a, b registry.Claim) int { return cmp.Compare(a.Meta[0], b.Meta[0]) }
	}, "panics: Compare(a, a): runtime error: index out of range [0] with length 0"},
	"panics on garbage": {func() compare {
		return func(a, b registry.Claim) int {
			for _, c := range []registry.Claim{a, b} {
				if len(c.Meta) > 0 && !utf8.Valid(c.Meta) {
					panic("no text")
				}
			}
			return 0
		}
	}, "panics: Compare(a, a): no text"},
	"panics on two": {func() compare {
		return func(a, b registry.Claim) int {
			if a.Node != b.Node && a.Time == b.Time {
				panic("a tie")
			}
			return cmp.Compare(a.Time.Nanos, b.Time.Nanos)
		}
	}, "panics: Compare(a, b): a tie"},
	"sorts metadata in place": {func() compare {
		return func(_, b registry.Claim) int {
			slices.Sort(b.Meta)
			return 0
		}
	}, "modifies metadata: Compare(a, b) made those of b into"},
	"is random": {func() compare {
		return func(registry.Claim, registry.Claim) int { return rand.IntN(3) - 1 }
	}, "isn't deterministic: Compare(a, b) is "},
	"alternates": {func() compare {
		var n atomic.Int64
		return func(registry.Claim, registry.Claim) int { return int(n.Add(1)%2)*2 - 1 }
	}, "isn't deterministic: Compare(a, b) is "},
	"holds on to what it saw last": {func() compare {
		var mu sync.Mutex
		var last string
		return func(a, b registry.Claim) int {
			mu.Lock()
			defer mu.Unlock()
			switch last {
			case a.Node:
				return 1
			case b.Node:
				return -1
			}
			last = max(a.Node, b.Node)
			return sign(last == a.Node)
		}
	}, "when several goroutines ask for all pairs"},
	"keeps the first": {func() compare {
		return func(registry.Claim, registry.Claim) int { return 1 }
	}, "isn't symmetric: Compare(a, b) is positive and Compare(b, a) is positive"},
	"keeps the second": {func() compare {
		return func(registry.Claim, registry.Claim) int { return -1 }
	}, "isn't symmetric: Compare(a, b) is negative and Compare(b, a) is negative"},
	"forgets the tie": {func() compare {
		return func(a, b registry.Claim) int { return sign(a.Time.Compare(b.Time) > 0) }
	}, "isn't symmetric: Compare(a, b) is negative and Compare(b, a) is negative"},
	"forgets the logical time": {func() compare {
		return func(a, b registry.Claim) int { return sign(a.Time.Nanos > b.Time.Nanos) }
	}, "isn't symmetric: Compare(a, b) is negative and Compare(b, a) is negative"},
	"knows one side only": {func() compare {
		return func(a, _ registry.Claim) int { return priority(a) }
	}, "isn't symmetric: Compare(a, b) is "},
	"plays a game": {func() compare {
		return func(a, b registry.Claim) int { return (priority(a)%3-priority(b)%3+4)%3 - 1 }
	}, "runs in a circle: "},
	"calls close priorities equal": {func() compare {
		return func(a, b registry.Claim) int {
			if d := priority(a) - priority(b); d < -1 || d > 1 {
				return d
			}
			return 0
		}
	}, "(by default)"},
	"calls close times equal": {func() compare {
		return func(a, b registry.Claim) int {
			if d := a.Time.Time().Sub(b.Time.Time()); d.Abs() > time.Second {
				return cmp.Compare(d, 0)
			}
			return cmp.Compare(a.Node, b.Node)
		}
	}, "runs in a circle: "},
	"overflows": {func() compare {
		return func(a, b registry.Claim) int {
			d := int32(a.Time.Nanos - b.Time.Nanos)
			if d == -1<<31 {
				return 0
			}
			return int(d)
		}
	}, "runs in a circle: "},
	"compares a hash of both": {func() compare {
		return func(a, b registry.Claim) int {
			lo, hi := min(a.Node, b.Node), max(a.Node, b.Node)
			var h [8]byte
			copy(h[:], lo+hi)
			keepLow := binary.BigEndian.Uint64(h[:])*0x9e3779b97f4a7c15>>63 == 0
			return sign(keepLow == (a.Node == lo))
		}
	}, "runs in a circle: "},
}

// TestBadResolvers checks that each is detected with every seed, for the right reason.
func TestBadResolvers(t *testing.T) {
	for name, tt := range bad {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(3) {
				got := verdict(t, registry.NewResolver("mine", tt.new()), registrytest.WithMeta(drawPriority),
					registrytest.WithSeed(seed))
				if seed == 0 {
					t.Log(got)
				}
				require.Contains(t, got, `registrytest: resolver "mine" `)
				require.Contains(t, got, tt.want)
				require.Contains(t, got, fmt.Sprintf("registrytest.WithSeed(%d)", seed))
			}
		})
	}
}

// TestDefaultMetadata checks that without options there is enough variety to detect faults that
// depend on metadata.
func TestDefaultMetadata(t *testing.T) {
	for _, name := range []string{"panics on empty metadata", "panics on garbage",
		"sorts metadata in place", "knows one side only"} {
		require.Contains(t, verdict(t, registry.NewResolver("mine", bad[name].new())), bad[name].want,
			name)
	}
}

type named func() string

func (n named) Name() string                             { return n() }
func (named) Compare(registry.Claim, registry.Claim) int { return 0 }

func TestNames(t *testing.T) {
	require.Contains(t, verdict(t, named(func() string { return "" })), "the resolver's name is empty")
	require.Contains(t, verdict(t, named(func() string { panic("no name") })),
		"the resolver's Name panics: no name")
	calls := 0
	require.Contains(t, verdict(t, named(func() string { calls++; return fmt.Sprint("v", calls) })),
		`name changed from "v1" to "v2"`)
	calls = 0
	late := named(func() string {
		calls++
		return fmt.Sprint("v", calls/3) // another name from the third call on
	})
	require.Contains(t, verdict(t, late), `name changed from "v0" to "v1"`)
	require.Contains(t, verdict(t, nil), "the resolver is nil")
}

func TestOptionsAreChecked(t *testing.T) {
	for want, opt := range map[string]registrytest.Option{
		"WithRounds(0): at least 1":            registrytest.WithRounds(0),
		"WithMeta: the function is nil":        registrytest.WithMeta(nil),
		`WithNodes(["a" "b"]): at least three`: registrytest.WithNodes("a", "b"),
		`WithNodes(["a" "b" "a"]): at least`:   registrytest.WithNodes("a", "b", "a"),
		`WithNodes(["a" "b" ""]): at least`:    registrytest.WithNodes("a", "b", ""),
	} {
		require.Contains(t, verdict(t, registry.KeepNewest, opt), "registrytest: "+want)
	}
}

// TestSameSeedSameReport checks that a seed reproduces a failure.
func TestSameSeedSameReport(t *testing.T) {
	for _, name := range []string{"plays a game", "forgets the tie", "calls close times equal"} {
		report := func() string {
			return verdict(t, registry.NewResolver("mine", bad[name].new()), registrytest.WithSeed(7))
		}
		first := report()
		require.NotEmpty(t, first, name)
		require.Equal(t, first, report(), name)
	}
}

// TestSeedIsLogged checks that the seed is logged even if none was given and the check passes.
func TestSeedIsLogged(t *testing.T) {
	var a, b recorder
	registrytest.CheckResolver(&a, registry.KeepNewest, registrytest.WithRounds(1))
	registrytest.CheckResolver(&b, registry.KeepNewest, registrytest.WithRounds(1))
	require.Len(t, a.logs, 1)
	require.Contains(t, a.logs[0], "registrytest: seed ")
	require.NotEqual(t, a.logs, b.logs)
}

// TestExamplesAreSimple checks that the example has no claims without effect on the fault.
func TestExamplesAreSimple(t *testing.T) {
	report := verdict(t, registry.NewResolver("mine", bad["forgets the tie"].new()))
	require.Contains(t, report, `    a: node "a", time 2026-01-01T12:00:00.000000000Z, metadata nil
    b: node "b", time 2026-01-01T12:00:00.000000000Z, metadata nil
`)
	report = verdict(t, registry.NewResolver("mine", bad["calls close times equal"].new()))
	require.Contains(t, report, ` time 2026-01-01T12:00:00.000000000Z, metadata nil`)
	require.NotContains(t, report, "+")
	report = verdict(t, registry.NewResolver("mine", bad["holds on to what it saw last"].new()))
	require.NotContains(t, report, "    d: ", "three claims suffice")
}

// TestOnlyGivenNodes checks that only the given names of nodes are used.
func TestOnlyGivenNodes(t *testing.T) {
	nodes := []string{"x-1", "x-2", "x-3", "x-4"}
	seen := make(map[string]bool)
	var mu sync.Mutex
	r := registry.NewResolver("mine", func(a, b registry.Claim) int {
		mu.Lock()
		defer mu.Unlock()
		seen[a.Node], seen[b.Node] = true, true
		return 1
	})
	require.Contains(t, verdict(t, r, registrytest.WithNodes(nodes...)), "isn't symmetric")
	require.Len(t, seen, len(nodes))
	for _, n := range nodes {
		require.True(t, seen[n], n)
	}
}
