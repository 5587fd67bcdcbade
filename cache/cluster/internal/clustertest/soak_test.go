package clustertest

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/cluster"
)

var (
	soakFor   = flag.Duration("soak", 0, "how long TestSoak runs; 0: not at all")
	soakSeed  = flag.Uint64("soak.seed", 0, "the seed of what TestSoak does; 0: any")
	soakNodes = flag.Int("soak.nodes", 5, "how many nodes TestSoak has")
	soakOnly  = flag.String("soak.faults", "",
		"the faults of TestSoak, by name, with commas between; by default all")
	soakOwner = flag.String("soak.ownership", "", "key, slot or ring; by default the seed decides")
)

const (
	soakKeys     = 300
	soakTTL      = 5 * time.Second
	soakCopyTTL  = 500 * time.Millisecond
	soakDeadline = 15 * time.Second // of callers
	soakSlack    = 6 * time.Second  // see slack; more goes on at a time
)

// TestSoak disturbs a cluster at random, from a seed, while callers on all nodes fetch and delete.
// It checks that
//
//   - each value that a caller got was issued by the origin for that key;
//   - it was not older than its TTL when the caller asked, and not from before a Delete or Clear
//     that had returned nil by then, on a node that the deleter saw;
//   - each caller got a value, or an error that says what is wrong, within its deadline and within
//     two peer time-outs and the time that the origin takes;
//   - once all is healed, no value is left from before any delete whose node still runs;
//   - after all nodes were closed, no goroutine, connection, file or name was left in any process.
//
// The seed decides the schedule: which disturbance hits which victim, when and for how long. What
// the callers of each moment see differs from run to run.
func TestSoak(t *testing.T) {
	if *soakFor == 0 {
		t.Skip("it runs with -soak 3m, see make soak")
	}
	seed := *soakSeed
	for seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d; again: -soak %v -soak.seed %d -soak.nodes %d -soak.ownership %q -soak.faults %q",
		seed, *soakFor, seed, *soakNodes, *soakOwner, *soakOnly)
	r := rand.New(rand.NewPCG(seed, 0))
	ownership := cluster.Ownership(r.IntN(2)).String() // BySlot or ByKey
	if *soakOwner != "" {
		ownership = *soakOwner
	}
	c := start(t, *soakNodes, spec{
		Ownership: ownership, TTL: soakTTL, CopyTTL: soakCopyTTL, IdleRelease: 2 * time.Second,
		PeerTimeout: 500 * time.Millisecond, MaxLocalLoads: 256,
	})
	s := newSoak(t, c)
	if *soakOnly != "" {
		only := strings.Split(*soakOnly, ",")
		s.faults = slices.DeleteFunc(s.faults,
			func(f fault) bool { return !slices.Contains(only, f.name) })
		require.NotEmpty(t, s.faults, "none of the faults is one of %q", only)
	}
	s.drive(seed)
	for began := time.Now(); time.Since(began) < *soakFor && !t.Failed(); {
		s.episode(r)
		s.book.check(time.Now().Add(-2 * soakDeadline))
	}
	s.finish()
	s.book.check(time.Now())
	s.book.report(ownership)
}

// A soak is a cluster with disturbances.
type soak struct {
	t      *testing.T
	c      *testCluster
	book   *ledger
	faults []fault
	*drivers
}

func newSoak(t *testing.T, c *testCluster) *soak {
	t.Helper()
	book := newLedger(t, c)
	return &soak{t, c, book, slices.Clone(faults), newDrivers(c, book)}
}

// An episode is one or two disturbances at the same time, and the time to recover, or some of it.
func (s *soak) episode(r *rand.Rand) {
	s.t.Helper()
	first, second := s.faults[r.IntN(len(s.faults))], s.faults[r.IntN(len(s.faults))]
	list := []fault{first}
	if r.IntN(3) == 0 && first.name != second.name && (!first.ends || !second.ends) {
		list = append(list, second)
	}
	var names []string
	var undo []func()
	for _, f := range list {
		how, u := f.strike(s, r)
		names = append(names, f.name+how)
		undo = append(undo, u)
		s.book.fault(f.name)
	}
	last, rest := between(r, 300*time.Millisecond, 8*time.Second), between(r, 0, 4*time.Second)
	s.t.Logf("%s for %v, then %v of rest", strings.Join(names, ", "), last, rest)
	time.Sleep(last)
	slices.Reverse(undo)
	for _, u := range undo {
		u()
	}
	time.Sleep(rest)
}

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return (least + time.Duration(r.Int64N(int64(most-least)))).Round(time.Millisecond)
}

// A fault is a disturbance of the cluster until it is undone. What it draws from r depends on r
// alone.
type fault struct {
	name   string
	ends   bool // it ends or stops processes
	strike func(s *soak, r *rand.Rand) (how string, undo func())
}

func cutting(name string, ways int, refuse bool) fault {
	return fault{name, false, func(s *soak, r *rand.Rand) (string, func()) {
		c := s.c
		nodes := r.Perm(len(c.nodes))
		at := 1 + r.IntN(len(nodes)-1)
		c.refuse = refuse
		c.split(ways, nodes[:at], nodes[at:])
		c.apply()
		return fmt.Sprintf(" %v|%v", nodes[:at], nodes[at:]), c.heal
	}}
}

var faults = []fault{
	{"kill", true, func(s *soak, r *rand.Rand) (string, func()) {
		i := r.IntN(len(s.c.nodes))
		s.stop(i)
		s.c.nodes[i].kill()
		return " " + nameOf(i), func() {
			s.c.restart(i)
			s.resume(i)
		}
	}},
	{"kill and restart", true, func(s *soak, r *rand.Rand) (string, func()) {
		i := r.IntN(len(s.c.nodes))
		s.stop(i)
		s.c.nodes[i].kill()
		s.c.restart(i)
		s.resume(i)
		return " " + nameOf(i), func() {}
	}},
	{"pause", true, func(s *soak, r *rand.Rand) (string, func()) {
		i := r.IntN(len(s.c.nodes))
		p := s.c.nodes[i]
		end := s.book.paused(nameOf(i))
		require.NoError(s.t, p.pause())
		return " " + nameOf(i), func() {
			require.NoError(s.t, p.resume())
			s.c.apply() // the cuts that it missed
			end()
		}
	}},
	cutting("registry split", overRegistry, false),
	cutting("http split", overHTTP, false),
	cutting("split", overBoth, false),
	cutting("http refused", overHTTP, true),
	{"one way", false, func(s *soak, r *rand.Rand) (string, func()) {
		nodes := r.Perm(len(s.c.nodes))
		ways := 1 + r.IntN(overBoth)
		s.c.cutOneWay(ways, nodes[0], nodes[1])
		s.c.apply()
		return fmt.Sprintf(" %s to %s (%d)", nameOf(nodes[0]), nameOf(nodes[1]), ways), s.c.heal
	}},
	{"slow registry", false, func(s *soak, r *rand.Rand) (string, func()) {
		s.c.delay = between(r, 50*time.Millisecond, 600*time.Millisecond)
		how := " by " + s.c.delay.String()
		s.c.apply()
		return how, s.c.heal
	}},
	{"slow origin", false, func(s *soak, r *rand.Rand) (string, func()) {
		d := between(r, 20*time.Millisecond, 2*time.Second)
		return " by " + d.String(), s.origin(treatment{delay: d}, d)
	}},
	{"failing origin", false, func(s *soak, _ *rand.Rand) (string, func()) {
		return "", s.origin(treatment{answer: answer{Error: originFails}}, 0)
	}},
	{"panicking load", false, func(s *soak, _ *rand.Rand) (string, func()) {
		return "", s.origin(treatment{answer: answer{Panic: originFails}}, 0)
	}},
	{"silent origin", false, func(s *soak, _ *rand.Rand) (string, func()) {
		return "", s.origin(treatment{never: true}, soakDeadline)
	}},
	{"clear", false, func(s *soak, r *rand.Rand) (string, func()) {
		i := r.IntN(len(s.c.nodes))
		if p := s.nodes[i].Load(); p != nil {
			s.wg.Go(func() { s.remove(p, "clear", "") }) // which takes long if the node is stopped
		}
		return " on " + nameOf(i), func() {}
	}},
	{"rolling restart", true, func(s *soak, _ *rand.Rand) (string, func()) {
		for i := range s.c.nodes {
			s.stop(i)
			s.shut(i)
			s.c.restart(i)
			s.resume(i)
		}
		return "", func() {}
	}},
	{"rubbish", false, func(s *soak, r *rand.Rand) (string, func()) {
		modes := []string{"raw", "html", "fault", "noise", "endless", "cut", "half", "silent", "working"}
		i, mode := r.IntN(len(s.c.nodes)), modes[r.IntN(len(modes))]
		end := func() {}
		if mode == "working" {
			end = s.book.slow(soakDeadline)
		}
		p := s.c.nodes[i]
		if p.alive() {
			s.c.sabotage(i, mode)
		}
		return fmt.Sprintf(" %s from %s", mode, nameOf(i)), func() {
			if s.c.nodes[i] == p && p.alive() {
				s.c.sabotage(i, "")
			}
			end()
		}
	}},
}

// originFails is the text of the origin's errors.
const originFails = "the origin fails"

// origin makes the origin treat all loads in a way. Loads that it never answers are answered when
// this is undone.
func (s *soak) origin(t treatment, d time.Duration) (undo func()) {
	end := s.book.slow(d)
	var release func()
	if t.never {
		release = s.c.origin.hold("")
	} else {
		s.c.origin.treat("", t)
	}
	return func() {
		s.c.origin.treat("", treatment{})
		if release != nil {
			release()
		}
		end()
	}
}

// shut closes a node as a program should. Nothing may be left of it.
func (s *soak) shut(i int) {
	s.t.Helper()
	p := s.c.nodes[i]
	r, err := p.do(command{Op: "close cache"})
	require.NoError(s.t, err)
	if r.Error != "" {
		s.t.Errorf("closing the cache of %s: %s", p.spec.Name, r.Error)
	}
	r, err = p.do(command{Op: "leave"})
	require.NoError(s.t, err)
	if r.Error != "" { // the others may not be reached
		s.t.Logf("leaving, %s: %s", p.spec.Name, r.Error)
	}
	if r.Left != "" {
		s.t.Errorf("left on %s: %s", p.spec.Name, r.Left)
	}
	p.queue.put(&command{Op: "exit"})
	<-p.gone
}

// finish heals everything and waits until the cluster is calm. Then no value from before a delete
// may be left.
func (s *soak) finish() {
	s.t.Helper()
	s.c.heal()
	s.end()
	s.c.settle()
	keys := slices.Sorted(maps.Keys(s.book.unique()))
	s.t.Logf("healed: %d keys are looked at on each node", len(keys))
	for i := range s.c.nodes {
		results := s.c.fetch(len(keys), keys, i)
		values(s.t, results)
		for k := range results {
			s.book.last(results[k])
		}
	}
}
