package group

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry"
)

var benchMeta = []byte("10.20.30.40:5678")

// BenchmarkJoin joins and leaves a group in which this node already has members: its list is
// encoded again each time.
func BenchmarkJoin(b *testing.B) {
	for _, members := range []int{0, 10, 100, 1000} {
		b.Run("members="+strconv.Itoa(members), func(b *testing.B) {
			n := start(b, registry.Config{})
			for range members {
				join(b, b.Context(), n, "g", string(benchMeta))
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := join(b, b.Context(), n, "g", "x").Leave(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMembers reads one of 10,000 groups of 10 members, none of which changes.
func BenchmarkMembers(b *testing.B) {
	const groups = 10_000
	n := start(b, registry.Config{})
	var names []string
	for i := range groups {
		names = append(names, fmt.Sprint("group ", i))
		for range 10 {
			join(b, b.Context(), n, names[i], string(benchMeta))
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if len(n.groups.Members(names[i])) != 10 {
			b.Fatal(names[i])
		}
		i = (i + 1) % groups
	}
}

// BenchmarkParseList reads a list of 1,000 members.
func BenchmarkParseList(b *testing.B) {
	var members []Member
	for i := range 1000 {
		members = append(members, Member{
			ID:   1e18 + 3*uint64(i), //nolint:gosec // positive
			Time: at(1e18+1e6*int64(i), 0), Meta: benchMeta,
		})
	}
	list := appendList(nil, members)
	b.ReportMetric(float64(len(list))/1000, "bytes/member")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseList("n", list); err != nil {
			require.NoError(b, err)
		}
	}
}
