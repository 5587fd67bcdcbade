package deletes

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"
)

// A search visits every state that a world can reach with a number of actions of each kind, those
// with fewest actions first. So it reports a shortest way to a failure.
type search struct {
	name    string
	nodes   int
	limits  func(*Book)
	meddles meddling
	begin   func(*world)
	budget  budget
	clears  bool // a node that clears its cache is no failure
}

// A budget bounds the number of actions of each kind.
type budget struct {
	load, fetch, delete, other, tag, clear, send, dup, drop, split, heal, see, restart, cold uint8
}

type searchState struct {
	*world
	left budget
}

// tiny sets bounds with which small worlds lose what 64,000 deletes or 1,024 processes lose
// otherwise.
func tiny(b *Book) { b.o.Max, b.maxSpare, b.maxAbsent, b.maxHandedOver = 2, 1, 1, 4 }

// noSpare sets bounds with which entries are dropped as soon as all have applied them.
func noSpare(b *Book) { b.maxSpare = 0 }

// crowded sets bounds with which absentees are forgotten.
func crowded(b *Book) { b.maxAbsent, b.maxHandedOver = 1, 4 }

var searches = []search{
	{
		name: "two-looked-at", nodes: 2, limits: noSpare, meddles: othersLook,
		budget: budget{load: 1, fetch: 1, delete: 1, send: 2},
	},
	{
		name: "two", nodes: 2, limits: noSpare, meddles: itAsks, clears: true,
		budget: budget{
			load: 1, fetch: 2, delete: 2, tag: 1, send: 2, dup: 1, drop: 1, split: 1, heal: 1, see: 2,
			restart: 1,
		},
	},
	{
		name: "two-tiny", nodes: 2, limits: tiny, clears: true,
		budget: budget{
			load: 1, fetch: 1, delete: 2, other: 2, send: 2, split: 1, heal: 1, see: 3, restart: 1,
			cold: 1,
		},
	},
	{
		name: "three-away", nodes: 3, limits: noSpare,
		budget: budget{load: 1, fetch: 1, delete: 2, send: 3, split: 1, heal: 1, see: 4},
	},
	{
		name: "three-no-spare", nodes: 3, limits: noSpare, clears: true,
		budget: budget{
			load: 1, fetch: 2, delete: 1, clear: 1, send: 3, split: 1, heal: 1, see: 4, restart: 1,
		},
	},
	{
		name: "three-missed", nodes: 3, begin: misses,
		budget: budget{load: 1, fetch: 2, delete: 1, send: 3, heal: 1, see: 4, restart: 1},
	},
	{
		name: "three-missed-tiny", nodes: 3, limits: tiny, begin: misses, clears: true,
		budget: budget{load: 1, fetch: 2, delete: 1, other: 2, send: 3, heal: 1, see: 4, restart: 2},
	},
	{
		name: "three-reset", nodes: 3, limits: tiny, clears: true,
		begin: func(w *world) {
			w.get(w.nodes[1], "k")
			w.cut, w.size = 3, 0
			for _, key := range []string{"k", "j", "j"} {
				w.delete(2, Delete{Key, key})
			}
		},
		budget: budget{load: 1, fetch: 2, send: 2, heal: 1, see: 3},
	},
	{
		name: "three-left", nodes: 3, limits: crowded, clears: true,
		begin: func(w *world) {
			misses(w)
			w.restart(2, true)
			w.delete(2, Delete{Key, "k"})
			w.exchange(2, 0)
			w.restart(2, true)
		},
		budget: budget{load: 1, fetch: 2, send: 2, heal: 1, see: 4, restart: 1},
	},
}

// misses deletes a key that node 1, which is cut off, has.
func misses(w *world) {
	w.get(w.nodes[1], "k")
	w.cut = 2
	w.delete(2, Delete{Key, "k"})
	w.exchange(2, 0)
}

func TestExplore(t *testing.T) {
	for _, s := range searches {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.run(t)
		})
	}
}

func (s search) run(t *testing.T) {
	t.Helper()
	limit := 30_000
	switch {
	case testing.Short() && race:
		limit = 1_000
	case testing.Short():
		limit = 6_000
	case race:
		limit = 20_000
	}
	w := newWorld(s.nodes, []string{"k"}, s.limits)
	if w.meddles = s.meddles; s.begin != nil {
		s.begin(w)
	}
	queue, seen := []searchState{{w, s.budget}}, make(map[uint64]bool)
	for len(queue) > 0 && len(seen) < limit {
		at := queue[0]
		queue = queue[1:]
		for _, a := range at.actions() {
			next := searchState{at.clone(), at.left}
			a.do(&next)
			next.check()
			s.report(t, next.world, a.name)
			h := xxhash.Sum64(fmt.Appendf(next.append(nil), "%v", next.left))
			if seen[h] {
				continue
			}
			seen[h] = true
			next.logf("%s", a.name)
			if len(seen)%8 == 0 || len(next.flying) == 0 {
				calm := next.clone()
				calm.meddles = 0
				calm.rest()
				s.report(t, calm, "all is at rest")
			}
			queue = append(queue, next)
		}
	}
	t.Logf("%d states, %d not expanded", len(seen), len(queue))
}

func (s search) report(t *testing.T, w *world, last string) {
	t.Helper()
	if !s.clears && w.clears() > 0 {
		w.fail("NoClear: a node has cleared itself")
	}
	if len(w.failures) > 0 {
		t.Fatalf("%s\n\tafter: %s, %s", w.failures[0], strings.Join(w.trace, ", "), last)
	}
}

// TestRandom takes random actions, more than TestExplore gets to. If no entry is dropped before its
// time, no node clears its cache.
func TestRandom(t *testing.T) {
	walks := 400
	if testing.Short() {
		walks = 40
	}
	seed := time.Now().UnixNano()
	if s := os.Getenv("SEED"); s != "" { // of a run that failed, or of TestPlantedBugsAreCaught
		var err error
		seed, err = strconv.ParseInt(s, 10, 64)
		require.NoError(t, err)
		walks = 400
	}
	t.Logf("SEED=%d", seed)
	dice := rand.New(rand.NewPCG(uint64(seed), 0))
	for walk := range walks {
		limits := walk / 6 % 3
		s := search{
			nodes: 2 + walk%2, limits: []func(*Book){nil, noSpare, tiny}[limits],
			meddles: meddling(walk / 2 % 3), clears: limits > 0,
		}
		w := newWorld(s.nodes, []string{"k"}, s.limits)
		w.meddles, w.size = s.meddles, []int{1 << 20, 0}[walk/3%2]
		p := searchState{w, budget{20, 30, 10, 5, 4, 2, 30, 5, 5, 3, 3, 30, 3, 1}}
		for range 100 {
			list := p.actions()
			a := list[dice.IntN(len(list))]
			a.do(&p)
			p.check()
			s.report(t, p.world, a.name)
			p.logf("%s", a.name)
		}
		p.meddles = 0
		p.rest()
		s.report(t, p.world, "all is at rest")
	}
}

// An action changes a searchState.
type action struct {
	name string
	do   func(*searchState)
}

func (p *searchState) actions() (list []action) {
	add := func(left *uint8, do func(p *searchState), format string, args ...any) {
		if *left > 0 {
			*left--
			after := p.left
			*left++
			list = append(list, action{fmt.Sprintf(format, args...), func(q *searchState) {
				q.left = after
				do(q)
			}})
		}
	}
	w, l := p.world, &p.left
	for i, n := range w.nodes {
		_, stored := n.store["k"]
		if !stored {
			add(&l.load, func(p *searchState) { p.get(p.nodes[i], "k") }, "%d loads", i)
		}
		add(&l.delete, func(p *searchState) { p.delete(i, Delete{Key, "k"}) }, "%d deletes", i)
		add(&l.other, func(p *searchState) { p.delete(i, Delete{Key, "j"}) }, "%d deletes another key", i)
		add(&l.tag, func(p *searchState) { p.delete(i, Delete{Tag, "k"}) }, "%d deletes the tag", i)
		add(&l.clear, func(p *searchState) { p.delete(i, Delete{Kind: All}) }, "%d clears", i)
		add(&l.restart, func(p *searchState) { p.restart(i, true) }, "%d restarts", i)
		add(&l.cold, func(p *searchState) { p.restart(i, false) }, "%d restarts and greets no node", i)
		if w.cut == 0 && (w.nodes[1] != n || len(w.nodes) > 2) {
			add(&l.split, func(p *searchState) { p.cut = i + 1 }, "%d is cut off", i)
		}
		if fmt.Sprint(n.view) != fmt.Sprint(w.reality(i)) {
			add(&l.see, func(p *searchState) { p.see(i) }, "%d sees the members", i)
		}
		for j, o := range w.nodes {
			if o == n || !w.linked(n, o) || !n.sees(o) {
				continue
			}
			if !stored {
				add(&l.fetch, func(p *searchState) { p.ask(p.nodes[i], p.nodes[j], "k") }, "%d asks %d", i, j)
			}
			if len(w.flying) < 2 {
				add(&l.send, func(p *searchState) { p.send(i, j) }, "%d sends to %d", i, j)
			}
		}
	}
	if w.cut > 0 {
		add(&l.heal, func(p *searchState) { p.cut = 0 }, "the split heals")
	}
	for i, x := range w.flying {
		what := "message"
		if x.answer {
			what = "answer"
		}
		without := func(p *searchState) { p.flying = append(p.flying[:i:i], p.flying[i+1:]...) }
		free := uint8(1)
		it := fmt.Sprintf("the %s of %d to %d", what, x.from, x.to)
		add(&free, func(p *searchState) { without(p); p.deliver(x) }, "%s arrives", it)
		add(&l.dup, func(p *searchState) { p.deliver(x) }, "%s arrives, twice", it)
		add(&l.drop, without, "%s is lost", it)
	}
	return list
}
