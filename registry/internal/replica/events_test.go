package replica

import (
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/snowfence/snowfence/registry/internal/hlc"
)

// The messages of b and c are drawn at random. The visible claims of a must be those of a naive
// model, which keeps claims in sets. The events and the published claims must lead to the same.
func TestEventsReplayToWhatIsShown(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		published := map[string]*Record{}
		p := New(Config{
			Self: "a", Incarnation: 1, Clock: hlc.New(time.Hour),
			Limits: Limits{Tombstones: rapid.IntRange(1, 4).Draw(r, "tombstones")},
			Publish: func(name string, winner *Record) {
				if winner == nil {
					delete(published, name)
				} else {
					published[name] = winner
				}
			},
		})
		at := At{Wall: 1e18, Mono: time.Hour}
		others := []string{"b", "c"}
		// The standing claims by node and name.
		claims := map[string]map[string]*Record{"a": {}, "b": {}, "c": {}}
		seq, up := map[string]uint64{}, map[string]bool{}
		shown := map[string]*Record{}
		names := rapid.SampledFrom([]string{"w", "x", "y", "z"})
		model := func(name string) (best *Record) {
			for _, n := range []string{"a", "b", "c"} {
				c := claims[n][name]
				if c != nil && (n == "a" || up[n]) && (best == nil || best.Time.Compare(c.Time) <= 0) {
					best = c
				}
			}
			return best
		}
		r.Repeat(map[string]func(*rapid.T){
			"register": func(r *rapid.T) {
				name := names.Draw(r, "name")
				at.Wall += rapid.Int64Range(-10, 10).Draw(r, "step")
				own, taken := p.Register(at, name, nil)
				require.Equal(r, model(name), taken)
				if own != nil {
					claims["a"][name] = own
				}
			},
			"update": func(r *rapid.T) {
				name := names.Draw(r, "name")
				own := p.Update(at, name, []byte(strconv.Itoa(int(p.own.seq))))
				require.Equal(r, claims["a"][name] != nil, own != nil)
				if own != nil {
					claims["a"][name] = own
				}
			},
			"release": func(r *rapid.T) {
				name := names.Draw(r, "name")
				require.Equal(r, claims["a"][name] != nil, p.Unregister(at, name, WhyEnded))
				delete(claims["a"], name)
			},
			"flush": func(*rapid.T) { p.Flush(60, 1) },
			"other": func(r *rapid.T) {
				node := rapid.SampledFrom(others).Draw(r, "node")
				if !up[node] {
					r.Skip()
				}
				u := &Update{Origin: node, Incarnation: 1, After: seq[node]}
				for range rapid.IntRange(1, 3).Draw(r, "records") {
					seq[node]++
					rec := &Record{
						Name: names.Draw(r, "name"), Node: node, Seq: seq[node], Dead: rapid.Bool().Draw(r, "dead"),
						Time: hlc.Timestamp{Nanos: at.Wall + rapid.Int64Range(-20, 20).Draw(r, "time")},
					}
					u.Records = slices.DeleteFunc(u.Records, func(o *Record) bool { return o.Name == rec.Name })
					u.Records = append(u.Records, rec)
					if rec.Dead {
						rec.Why = WhyReleased
					}
				}
				u.UpTo = seq[node]
				p.Receive(at, node, u)
				for _, rec := range u.Records {
					if rec.Dead {
						delete(claims[node], rec.Name)
					} else {
						claims[node][rec.Name] = rec
					}
				}
			},
			"down": func(r *rapid.T) {
				node := rapid.SampledFrom(others).Draw(r, "node")
				left := rapid.Bool().Draw(r, "left")
				p.NodeDown(at, node, left)
				if up[node] && left {
					clear(claims[node])
					seq[node] = 0
				}
				up[node] = false
			},
			"up": func(r *rapid.T) {
				node := rapid.SampledFrom(others).Draw(r, "node")
				if up[node] {
					r.Skip()
				}
				up[node] = true
				p.NodeUp(at, node, 1)
				p.Receive(at, node, &Vector{Entries: []Entry{{Origin: node, Incarnation: 1, Seq: seq[node],
					Visible: true}}})
			},
			"": func(r *rapid.T) {
				out := p.Take()
				for _, l := range out.Lost {
					require.Equal(r, claims["a"][l.Own.Name], l.Own)
					require.Positive(r, l.Winner.Time.Compare(l.Own.Time)+1)
					delete(claims["a"], l.Own.Name)
				}
				for _, e := range out.Events {
					switch e.Type {
					case Registered:
						require.Nil(r, shown[e.Name])
						shown[e.Name] = e.Record
					case Updated:
						require.Same(r, shown[e.Name], e.Other)
						shown[e.Name] = e.Record
					case Unregistered:
						require.Same(r, shown[e.Name], e.Record)
						delete(shown, e.Name)
					}
				}
				want := map[string]*Record{}
				for _, name := range []string{"w", "x", "y", "z"} {
					if m := model(name); m != nil {
						want[name] = m
					}
					require.Equal(r, want[name], p.Lookup(name), name)
					require.Equal(r, claims["a"][name], p.Own(name), name)
				}
				require.True(r, maps.Equal(want, shown), "the events")
				require.True(r, maps.Equal(want, published), "what is published")
				require.Equal(r, len(want), p.Len())
			},
		})
	})
}
