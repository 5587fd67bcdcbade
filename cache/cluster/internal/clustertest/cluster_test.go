package clustertest

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/cluster"
)

const (
	// patience is how long a test waits for what must come. It is not reached where all is well.
	patience = 40 * time.Second

	// leftPatience is how long a node that was closed may take until all that it had opened is gone.
	leftPatience = 10 * time.Second

	// slack is what a busy machine may add to a bound that is promised.
	slack = 4 * time.Second

	// deadline is that of callers where a test is not about theirs: far beyond what is promised.
	deadline = 30 * time.Second

	// A node that is dead is given up after four seconds or so.
	probeInterval = time.Second
	probeTimeout  = 700 * time.Millisecond
)

// A testCluster is some nodes, the links between them and their origin.
type testCluster struct {
	tb     testing.TB
	origin *origin
	base   spec
	nodes  []*process // in the order of their names, n0, n1, …
	cuts   map[cut]bool
	refuse bool
	delay  time.Duration
}

// A cut is one direction of a link, of the registry or of HTTP.
type cut struct {
	http     bool
	from, to int
}

// start opens n nodes and waits until all see each other.
func start(tb testing.TB, n int, base spec) *testCluster {
	tb.Helper()
	if base.Ownership == "" {
		base.Ownership = cluster.ByKey.String()
	}
	if base.Slots == 0 {
		base.Slots = 32
	}
	if base.PeerTimeout == 0 {
		base.PeerTimeout = 700 * time.Millisecond
	}
	c := &testCluster{tb: tb, origin: newOrigin(), base: base, cuts: make(map[cut]bool)}
	for i := range n {
		c.add(i)
	}
	c.settle()
	tb.Cleanup(c.finish)
	return c
}

// nextPort gives out ports that the system gives nobody by itself, so that a node which comes back finds its own free. Two
// runs of the tests at a time begin at different ones.
var nextPort atomic.Int32

const firstPort, ports = 12_000, 20_000

func newPort() int {
	nextPort.CompareAndSwap(0, 1+rand.Int32N(ports))
	return firstPort + int(nextPort.Add(1))%ports
}

func nameOf(i int) string { return "n" + strconv.Itoa(i) }

// add opens node i, which the cluster knows afterwards.
func (c *testCluster) add(i int) {
	c.tb.Helper()
	s := c.base
	s.Name = nameOf(i)
	require.NoError(c.tb, c.open(i, 0, &s))
}

// open opens a node. While its name or its port is taken it tries again.
func (c *testCluster) open(i, run int, s *spec) error {
	fixed := s.Port != 0
	s.Seeds = nil
	for k, p := range c.nodes {
		reached := !c.cuts[cut{false, i, k}] && !c.cuts[cut{false, k, i}]
		if k != i && p.alive() && reached {
			s.Seeds = append(s.Seeds, addrOf(p.spec.Port))
		}
	}
	for start := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		if !fixed {
			s.Port, s.HTTPPort = newPort(), newPort()
		}
		s.Links = c.linksOf(i)
		p, err := startProcess(c.tb, s, run, c.origin)
		switch {
		case err == nil:
			if i == len(c.nodes) {
				c.nodes = append(c.nodes, p)
			}
			c.nodes[i] = p
			return nil
		case time.Since(start) > patience,
			!errors.Is(err, errDuplicate) && !strings.Contains(err.Error(), "address already in use"):
			return fmt.Errorf("opening %s: %w", s.Name, err)
		}
	}
}

// restart opens a node anew, at the same addresses, after its process has ended.
func (c *testCluster) restart(i int) {
	c.tb.Helper()
	p := c.nodes[i]
	<-p.gone
	s := p.spec
	require.NoError(c.tb, c.open(i, p.run+1, &s))
}

func addrOf(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func (c *testCluster) all() []int {
	list := make([]int, len(c.nodes))
	for i := range list {
		list[i] = i
	}
	return list
}

// The ways between nodes.
const (
	overRegistry = 1 << iota
	overHTTP
	overBoth = overRegistry | overHTTP
)

// cutOneWay cuts the direction from one node to another.
func (c *testCluster) cutOneWay(ways, from, to int) { c.setCut(ways, from, to, true) }

func (c *testCluster) setCut(ways, from, to int, is bool) {
	if ways&overRegistry != 0 {
		c.cuts[cut{false, from, to}] = is
	}
	if ways&overHTTP != 0 {
		c.cuts[cut{true, from, to}] = is
	}
}

// split cuts all links between nodes of two groups.
func (c *testCluster) split(ways int, one, other []int) {
	for _, a := range one {
		for _, b := range other {
			c.cutOneWay(ways, a, b)
			c.cutOneWay(ways, b, a)
		}
	}
}

// apply has the cuts be in force: it returns when all nodes that run know.
func (c *testCluster) apply() {
	c.tb.Helper()
	for i, p := range c.nodes {
		if p.alive() {
			require.NoError(c.tb, c.tell(i))
		}
	}
}

// heal brings all links up again.
func (c *testCluster) heal() {
	c.tb.Helper()
	clear(c.cuts)
	c.refuse, c.delay = false, 0
	c.apply()
}

// tell tells a node which of its links are cut.
func (c *testCluster) tell(i int) error {
	s := c.linksOf(i)
	_, err := c.nodes[i].do(command{Op: "links", Links: &s})
	return err
}

func (c *testCluster) linksOf(i int) linkState {
	s := linkState{Refuse: c.refuse, RegistryDelay: c.delay}
	for k, p := range c.nodes {
		reg, http := addrOf(p.spec.Port), addrOf(p.spec.HTTPPort)
		if c.cuts[cut{false, i, k}] {
			s.RegistryOut = append(s.RegistryOut, reg)
		}
		if c.cuts[cut{false, k, i}] {
			s.RegistryIn = append(s.RegistryIn, reg)
		}
		if c.cuts[cut{true, i, k}] {
			s.HTTPOut = append(s.HTTPOut, http)
		}
		if c.cuts[cut{true, k, i}] {
			s.HTTPIn = append(s.HTTPIn, http)
		}
	}
	return s
}

// state returns what a node says of itself.
func (c *testCluster) state(i int) *state {
	c.tb.Helper()
	r, err := c.nodes[i].do(command{Op: "state"})
	require.NoError(c.tb, err)
	return r.State
}

// slow is when it is told what a test still waits for.
const slow = 8 * time.Second

// waitUntil waits until missing returns "", which otherwise says what is missing, and returns how long it took.
func waitUntil(tb testing.TB, what string, missing func() string) time.Duration {
	tb.Helper()
	start, tell := time.Now(), slow
	for {
		text := missing()
		took := time.Since(start)
		if text != "" && took > tell {
			tell += slow
			tb.Logf("%s: after %v still missing: %s", what, took.Round(time.Millisecond), text)
		}
		switch {
		case text == "":
			return took
		case took > patience:
			tb.Fatalf("%s: not within %v: %s", what, patience, text)
		}
		time.Sleep(60 * time.Millisecond)
	}
}

// settle waits until the cluster is calm: the nodes of each group, all running ones if none is given, see each
// other and nobody else, know of the same deletes, hold as many slots, and no name has changed hands for a while.
func (c *testCluster) settle(groups ...[]int) {
	c.tb.Helper()
	if len(groups) == 0 {
		var running []int
		for i, p := range c.nodes {
			if p.alive() {
				running = append(running, i)
			}
		}
		groups = [][]int{running}
	}
	type moves struct {
		claimed, released, lost uint64
		held                    int
	}
	var last []moves
	var since time.Time
	waitUntil(c.tb, fmt.Sprintf("settle %v", groups), func() string {
		var now []moves
		for _, group := range groups {
			least, most, held := c.base.Slots, 0, 0
			for _, i := range group {
				s := c.state(i)
				if text := c.stranger(i, group, s); text != "" {
					return text
				}
				now = append(now, moves{s.Stats.Claimed, s.Stats.Released, s.Stats.Lost, s.Stats.Held})
				least, most, held = min(least, s.Stats.Held), max(most, s.Stats.Held), held+s.Stats.Held
			}
			if c.base.Ownership == "slot" && (held != c.base.Slots || most > least+1) {
				return fmt.Sprintf("%d to %d slots are held by each node of %v, %d in all", least, most, group, held)
			}
		}
		if !slices.Equal(now, last) {
			last, since = now, time.Now()
		}
		if time.Since(since) < calmFor {
			return "names change hands"
		}
		return ""
	})
}

// calmFor is how long no name has changed hands when the cluster is taken for calm.
const calmFor = 600 * time.Millisecond

// stranger says how the nodes that a node sees differ from its group.
func (c *testCluster) stranger(i int, group []int, s *state) string {
	var others []string
	for _, k := range group {
		if k != i {
			others = append(others, nameOf(k))
		}
	}
	slices.Sort(others)
	var peers []string
	for _, p := range s.Stats.Peers {
		if p.Differs != "" {
			continue
		}
		peers = append(peers, p.Node)
		if slices.Contains(others, p.Node) && !p.Synced {
			return fmt.Sprintf("%s has deletes that it does not know to be on %s", nameOf(i), p.Node)
		}
		if slices.Contains(others, p.Node) && p.Breaker == "open" {
			return fmt.Sprintf("%s passes over %s", nameOf(i), p.Node)
		}
	}
	slices.Sort(peers)
	members := slices.DeleteFunc(slices.Clone(s.Members), func(m string) bool { return m == nameOf(i) })
	slices.Sort(members)
	switch {
	case !slices.Equal(members, others):
		return fmt.Sprintf("the registry of %s sees %v instead of %v", nameOf(i), members, others)
	case !slices.Equal(peers, others):
		return fmt.Sprintf("the cache of %s sees %v instead of %v", nameOf(i), peers, others)
	}
	return ""
}

// A herd is callers that have been let loose.
type herd struct {
	c     *testCluster
	calls []*call
}

// let has callers on each of the nodes, all nodes if none is given, fetch keys: caller i of a node the key i % len(keys).
func (c *testCluster) let(callers int, d time.Duration, keys []string, nodes ...int) *herd {
	if len(nodes) == 0 {
		nodes = c.all()
	}
	h := &herd{c: c}
	for k, i := range nodes {
		n := (callers + k) / len(nodes) // so that their sum is callers
		if n > 0 {
			h.calls = append(h.calls, c.nodes[i].begin(command{Op: "fetch", Keys: keys, Callers: n, Deadline: d}))
		}
	}
	return h
}

// wait returns what the callers got, but for those on nodes that have been killed. No value may be wrong.
func (h *herd) wait() []*result {
	h.c.tb.Helper()
	var all []*result
	for _, call := range h.calls {
		r, err := call.wait()
		if errors.Is(err, errEnded) {
			continue
		}
		require.NoError(h.c.tb, err)
		all = append(all, r.Results...)
	}
	for i := range all {
		if text := h.c.origin.check(all[i]); text != "" {
			h.c.tb.Errorf("%s", text)
		}
	}
	return all
}

// fetch has callers on the nodes fetch keys, and returns what they got.
func (c *testCluster) fetch(callers int, keys []string, nodes ...int) []*result {
	c.tb.Helper()
	return c.let(callers, deadline, keys, nodes...).wait()
}

// value has one caller on a node fetch a key, who must get a value.
func (c *testCluster) value(i int, key string) *result {
	c.tb.Helper()
	r := c.fetch(1, []string{key}, i)
	require.Len(c.tb, r, 1)
	require.Empty(c.tb, r[0].Error, "%s fetches %q", nameOf(i), key)
	return r[0]
}

// values checks that all callers got a value.
func values(tb testing.TB, results []*result) {
	tb.Helper()
	failures := make(map[string]int)
	for i := range results {
		if r := results[i]; r.Error != "" {
			failures[r.Node+": "+r.Error]++
		}
	}
	require.Empty(tb, failures, "callers that got an error, of %d", len(results))
}

// within checks that all callers got something in time: within the bound that is promised, which is two silences of
// an owner and the load, as the origin takes it.
func (c *testCluster) within(results []*result, load time.Duration) {
	c.tb.Helper()
	bound := 2*c.base.PeerTimeout + load + slack
	late := 0
	var most time.Duration
	for i := range results {
		if took := results[i].took(); took > bound {
			late++
			most = max(most, took)
		}
	}
	require.Zero(c.tb, late, "callers of %d that waited longer than %v, up to %v", len(results), bound, most)
}

// untilLoads waits until a key has had n loads.
func (c *testCluster) untilLoads(n int, keys ...string) {
	c.tb.Helper()
	waitUntil(c.tb, fmt.Sprintf("%d loads of %q", n, keys), func() string {
		if got := c.origin.count(keys...); got < n {
			return fmt.Sprintf("%d loads", got)
		}
		return ""
	})
}

// owned returns keys that a node owns, and which nobody has cached: they have been loaded there once, and deleted since.
func (c *testCluster) owned(i, n int, prefix string) []string {
	c.tb.Helper()
	var list []string
	for k := 0; len(list) < n; k++ {
		require.Less(c.tb, k, 200+100*n, "%s gets no keys", nameOf(i))
		key := fmt.Sprintf("%s/%d", prefix, k)
		before := c.origin.count(key)
		c.value(i, key)
		loads := c.origin.of(key)
		require.Len(c.tb, loads, before+1, "loads of %q", key)
		if loads[before].node == nameOf(i) {
			c.remove(i, key)
			list = append(list, key)
		}
	}
	return list
}

// remove deletes a key on all nodes, which must confirm it.
func (c *testCluster) remove(i int, key string) *reply {
	c.tb.Helper()
	r, err := c.nodes[i].do(command{Op: "delete", Keys: []string{key}, Deadline: deadline})
	require.NoError(c.tb, err)
	require.Empty(c.tb, r.Error, "%s deletes %q", nameOf(i), key)
	return r
}

// series returns n keys.
func series(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s/%d", prefix, i)
	}
	return list
}

// grid runs a test for ways to own and numbers of nodes.
func grid(t *testing.T, f func(t *testing.T, c *testCluster), base spec, cells ...cell) {
	for _, x := range cells {
		t.Run(fmt.Sprintf("%s%d", x.ownership, x.nodes), func(t *testing.T) {
			t.Parallel()
			if testing.Short() && x.when > always || x.when == whenAll && !*all {
				t.Skip("not with -short, or only with -all")
			}
			s := base
			s.Ownership = x.ownership
			f(t, start(t, x.nodes, s))
		})
	}
}

type cell struct {
	ownership string
	nodes     int
	when      when
}

// A when says in which runs there is a cell.
type when int

const (
	always   when = iota
	notShort      // not with -short
	whenAll       // with -all
)

var all = flag.Bool("all", false, "run each test with all ways to own a key, on more nodes: it takes some minutes")
