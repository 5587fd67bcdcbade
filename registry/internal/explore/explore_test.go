package explore

import (
	"bytes"
	"flag"
	"slices"
	"strings"
	"sync"
	"testing"
)

var most = flag.Int("explore.states", 0,
	"end the search of each world after this many states; 0: when all were seen")

var deep = flag.Bool("explore.deep", false, "search the bigger worlds too")

// quick is the number of states of a world that are explored with -short. The race detector, which
// has little to find here, gets fewer.
const quick = 20_000

// explore explores the worlds, two at a time, and prints the results.
func explore(t *testing.T, worlds []World) {
	var mu sync.Mutex // guards reports
	reports := make([]Report, len(worlds))
	t.Run("worlds", func(t *testing.T) {
		for i := range worlds {
			w := worlds[i]
			t.Run(strings.ReplaceAll(w.Name, " ", "-"), func(t *testing.T) {
				t.Parallel()
				switch {
				case race:
					w.MaxStates = quick / 4
				case testing.Short():
					w.MaxStates = quick
				}
				if *most > 0 {
					w.MaxStates = *most
				}
				r := Explore(w)
				mu.Lock()
				reports[i] = r
				mu.Unlock()
				if r.Violation != nil {
					t.Fatalf("%v\nafter:\n  %s", r.Violation, strings.Join(r.Path, "\n  "))
				}
				if !r.Complete && w.MaxStates == 0 {
					t.Fatal("the search ended early")
				}
				if r.Rests == 0 {
					t.Fatal("no state of rest was checked")
				}
			})
		}
	})
	t.Log("\n" + Table(reports))
}

func TestWorlds(t *testing.T)  { explore(t, Worlds()) }
func TestSynRace(t *testing.T) { explore(t, SynRace()) }

func TestDeepWorlds(t *testing.T) {
	if !*deep {
		t.Skip("takes minutes: -explore.deep")
	}
	explore(t, DeepWorlds())
}

// Each world has a name of its own, so that -run can select it.
func TestWorldsHaveNames(t *testing.T) {
	var names []string
	for _, w := range slices.Concat(Worlds(), SynRace(), DeepWorlds()) {
		if w.Name == "" || slices.Contains(names, w.Name) {
			t.Errorf("world %q is named twice, or not at all", w.Name)
		}
		names = append(names, w.Name)
	}
}

// A search is the same each time; otherwise a path could not be described.
func TestTheSearchIsRepeatable(t *testing.T) {
	w := World{Name: "two: small", Nodes: 2,
		Budget: Budget{Register: 2, Release: 1, Split: 1, Tick: 1}, Flying: 1, MaxStates: quick}
	a, b := Explore(w), Explore(w)
	a.Elapsed, b.Elapsed = 0, 0
	if a.States != b.States || a.Transitions != b.Transitions || a.Nodes != b.Nodes ||
		a.Depth != b.Depth || a.Rests != b.Rests {
		t.Fatalf("%+v, then %+v", a, b)
	}
}

// A state is the same after encoding and decoding.
func TestStatesAreWrittenInFull(t *testing.T) {
	s := state{
		node: [3]uint32{1, 70_000, 3}, run: [3]uint8{4, 5, 6},
		view: [3][3]uint8{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}},
		left: 1, cut: 2, made: 3, ended: [2]uint8{4, 5}, flying: []flight{{0, 1, 2}, {1, 2, 80_000}},
	}
	for i := range s.budget {
		s.budget[i] = uint8(10 + i)
	}
	var again state
	again.parse(s.append(nil))
	if !bytes.Equal(again.append(nil), s.append(nil)) || again.node != s.node ||
		again.view != s.view || again.budget != s.budget || !slices.Equal(again.flying, s.flying) {
		t.Fatalf("%+v became %+v", s, again)
	}
}
