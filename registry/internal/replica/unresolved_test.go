package replica

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Whatever happens to claims and nodes, the unresolved names are those on which the own claim wins
// and there is another visible one.
func TestUnresolvedNamesAreKnown(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		o := observe(t, Config{Shared: func(name string) bool { return name == "s" }}, "b", "c")
		name := func() string { return rapid.SampledFrom([]string{"x", "y", "s"}).Draw(r, "name") }
		node := func() string { return rapid.SampledFrom([]string{"b", "c"}).Draw(r, "node") }
		r.Repeat(map[string]func(*rapid.T){
			"own claim": func(*rapid.T) { o.Register(o.at, name(), nil) },
			"own end":   func(*rapid.T) { o.Unregister(o.at, name(), WhyReleased) },
			"another's": func(r *rapid.T) {
				origin := node()
				seq := o.tables[origin].seq
				theirs := claimOf(origin, name(), seq+1)
				theirs.Time.Nanos = o.at.Wall + rapid.Int64Range(-1e9, 1e9).Draw(r, "age")
				if rapid.Bool().Draw(r, "dead") {
					theirs.Dead, theirs.Why = true, WhyReleased
				}
				inc := o.tables[origin].inc
				o.hear(origin, &Update{Origin: origin, Incarnation: inc, After: seq, UpTo: seq + 1,
					Records: []*Record{theirs}})
			},
			"down": func(r *rapid.T) { o.NodeDown(o.at, node(), rapid.Bool().Draw(r, "left")) },
			"up": func(*rapid.T) {
				origin := node()
				o.NodeUp(o.at, origin, 1)
				o.hear(origin, &Vector{Entries: []Entry{{Origin: origin, Incarnation: 1,
					Seq: o.tables[origin].seq, Visible: true}}})
			},
			"": func(r *rapid.T) {
				var want []string
				for name, c := range o.contests {
					if c.winner != nil && c.winner.Node == "a" && name != "s" && len(o.Claims(name)) > 1 {
						want = append(want, name)
					}
				}
				slices.Sort(want)
				require.Equal(r, want, o.unresolvedNames())
			},
		})
	})
}

// The cost of a vector depends on the unresolved names, not on the contested ones, which with
// groups are nearly all.
func BenchmarkVectorBesideManyGroups(b *testing.B) {
	p, at := filled(benchNames())
	p.cfg.Shared = func(string) bool { return true }
	for _, n := range benchNames() {
		p.Register(at, n, nil)
	}
	v := &Vector{Entries: []Entry{{Origin: "a", Incarnation: 1, Seq: p.own.seq, Visible: true},
		{Origin: "b", Incarnation: 1, Seq: p.tables["b"].seq, Visible: true}}}
	b.ReportAllocs()
	for b.Loop() {
		p.Receive(at, "b", v)
	}
}
