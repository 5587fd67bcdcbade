package sim

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A mutation is a bug as a change of the source: bug replaces text, which must occur exactly once.
// The bug is in effect if the condition $ in it is true.
type mutation struct {
	file, text, bug string
}

// A plantedBug is a bug that the tests must catch.
type plantedBug struct {
	name      string
	test      string // the test that must catch it
	mutations []mutation
}

// plantedBugs quote lines of the core, and must be changed with them.
var plantedBugs = []plantedBug{
	{"forget the tombstone", "TestSeeds",
		[]mutation{{"apply.go", "\t\tt.tombs[r.Name] = r\n",
			"\t\tif !$ {\n\t\t\tt.tombs[r.Name] = r\n\t\t}\n"}}},
	{"tie-break by arrival", "TestSeeds", []mutation{
		{"apply.go", "c = &contest{claims: []*Record{was}}",
			"c = &contest{claims: []*Record{was}}\n\t\tif $ {\n\t\t\tc.winner = was\n\t\t}"},
		{"apply.go", "a.Time.Compare(b.Time), strings.Compare(a.Node, b.Node))",
			"a.Time.Compare(b.Time), p.arrival(a, b, $), strings.Compare(a.Node, b.Node))"},
	}},
	{"purge another node's claim on conflict", "TestSeeds",
		[]mutation{{"apply.go",
			"\tif c == nil || c.winner == nil || c.winner.Node == p.cfg.Self {\n",
			"\tif $ {\n\t\tp.purge(name)\n\t\tc = p.contests[name]\n\t}\n" +
				"\tif c == nil || c.winner == nil || c.winner.Node == p.cfg.Self {\n"}}},
	{"millisecond clock", "TestSeeds",
		[]mutation{{"hlc/clock.go", "if now := wall - c.ahead; now > c.last.Nanos {",
			"if $ {\n\t\twall -= wall % 1e6\n\t}\n\tif now := wall - c.ahead; now > c.last.Nanos {"}}},
	{"gap not detected", "TestSeeds",
		[]mutation{{"receive.go", "\tif u.After > t.seq {\n", "\tif u.After > t.seq && !$ {\n"}}},
	{"watermark moved on over a gap", "TestSeeds",
		[]mutation{{"receive.go", "\t\tp.bufferUpdate(t, u)\n",
			"\t\tp.bufferUpdate(t, u)\n" +
				"\t\tif $ {\n\t\t\tt.seq = u.After\n\t\t\tp.applyBuffered(at, t)\n\t\t}\n"}}},
	{"what no longer stands not dropped", "TestSeeds",
		[]mutation{{"check.go", "\t\t\tp.sweep(at, t, span)\n",
			"\t\t\tif !$ {\n\t\t\t\tp.sweep(at, t, span)\n\t\t\t}\n"}}},
	{"dropped tombstones not reported", "TestSeeds",
		[]mutation{{"pull.go", "c.UpTo, c.AsOf, c.Floor = t.seq, t.seq, t.floor\n",
			"c.UpTo, c.AsOf, c.Floor = t.seq, t.seq, t.floor\n\tif $ {\n\t\tc.Floor = 0\n\t}\n"}}},
	{"node down not hidden", "TestSeeds",
		[]mutation{{"members.go", "\t\tp.reveal(at, t, false, WhyNodeDown)\n",
			"\t\tif !$ {\n\t\t\tp.reveal(at, t, false, WhyNodeDown)\n\t\t}\n"}}},
	{"node that left not emptied", "TestSeeds",
		[]mutation{{"members.go", "\t\tp.empty(at, t, WhyNodeLeft)\n",
			"\t\tif !$ {\n\t\t\tp.empty(at, t, WhyNodeLeft)\n\t\t}\n"}}},
	{"old incarnation heard", "TestSeeds",
		[]mutation{{"receive.go", "!t.up || inc < t.inc {", "!t.up || inc < t.inc && !$ {"}}},
	{"old incarnation not emptied", "TestSeeds", []mutation{
		{"receive.go", "\t\tp.empty(at, t, WhyNodeRestart)\n",
			"\t\tif !$ {\n\t\t\tp.empty(at, t, WhyNodeRestart)\n\t\t}\n"},
		{"members.go", "\t\t\tp.empty(at, t, WhyNodeRestart)\n",
			"\t\t\tif !$ {\n\t\t\t\tp.empty(at, t, WhyNodeRestart)\n\t\t\t}\n"},
	}},
	{"loser not notified", "TestSeeds",
		[]mutation{{"apply.go", "\tp.out.Lost = append(p.out.Lost, loss)\n",
			"\tif !$ {\n\t\tp.out.Lost = append(p.out.Lost, loss)\n\t}\n"}}},
	{"loser does not yield when the winner comes back in sight", "TestSeeds",
		[]mutation{{"members.go", "\t\t\tp.yieldTo(at, r.Name)\n",
			"\t\t\tif !$ {\n\t\t\t\tp.yieldTo(at, r.Name)\n\t\t\t}\n"}}},
	{"shown before anybody spoke for it", "TestSeeds",
		[]mutation{{"receive.go",
			"\tif !t.up || !t.hasTarget {\n", "\tif !t.up || !t.hasTarget && !$ {\n"}}},
	{"shown before it is sure", "TestSeeds",
		[]mutation{{"receive.go", "min(t.sure, t.top) >= t.target && t.seq > 0)",
			"(min(t.sure, t.top) >= t.target || $) && t.seq > 0)"}}},
	{"spoken for before caught up", "TestSeeds",
		[]mutation{{"receive.go", "t.visible && t.caught && t.exact(),",
			"t.visible && (t.caught && t.exact() || $),"}}},
	{"incarnation not raised", "TestSeeds",
		[]mutation{{"receive.go", "seq <= t.seq || at.Mono < p.refuteAt {",
			"seq <= t.seq || at.Mono < p.refuteAt || $ {"}}},
	{"incarnation raised by one", "TestTwoRunsApart",
		[]mutation{{"receive.go", "\tt.seq, t.floor, t.log, t.stale = 0, 0, nil, 0\n",
			"\tif $ {\n\t\tt.inc = inc + 1\n\t}\n\tt.seq, t.floor, t.log, t.stale = 0, 0, nil, 0\n"}}},
	{"walk begins anew when tombstones ran out", "TestSeeds", []mutation{
		{"table.go", "\tlog   []*Record\n", "\twalkStart, walkNext uint64\n\tlog   []*Record\n"},
		{"pull.go", "\tq := &Pull{Origin: t.origin, Incarnation: t.inc, After: t.seq}\n",
			"\tq := &Pull{Origin: t.origin, Incarnation: t.inc, After: max(t.seq, t.walkNext)}\n"},
		{"pull.go", "server: server, after: t.seq,", "server: server, after: q.After,"},
		{"pull.go", "\tif c.After > t.seq || c.UpTo <= t.seq ||",
			"\tif $ && p.oldRule(at, t, from, c) {\n\t\treturn\n\t}\n" +
				"\tif c.After > t.seq || c.UpTo <= t.seq ||"},
	}},
	{"server begins anew where tombstones ran out", "TestSeeds",
		[]mutation{{"pull.go", "\tc.UpTo, c.AsOf,",
			"\tif $ && c.After < t.floor {\n\t\tc.After = 0\n\t}\n\tc.UpTo, c.AsOf,"}}},
	{"served by who is on the way", "TestSeeds",
		[]mutation{{"pull.go", "\tif t != p.own && !t.exact() ||",
			"\tif t != p.own && !t.exact() && !$ ||"}}},
	{"checked by who is on the way", "TestSeeds",
		[]mutation{{"check.go", "\tif t != p.own && !t.exact() ||",
			"\tif t != p.own && !t.exact() && !$ ||"}}},
	{"claims of a late server held to be sure", "TestSeeds",
		[]mutation{{"receive.go", "\t\t\tt.sure = min(t.sure, asOf)\n",
			"\t\t\tif !$ || t.seq == 0 {\n\t\t\t\tt.sure = min(t.sure, asOf)\n\t\t\t}\n"}}},
	{"checks without a bound", "TestSeeds",
		[]mutation{{"check.go", "\t\tif n == most {\n", "\t\tif n == most && !$ {\n"}}},
	{"old news relayed for ever", "TestSeeds",
		[]mutation{{"receive.go", "\tif u.UpTo <= t.seq {\n\t\treturn\n",
			"\tif u.UpTo <= t.seq {\n" +
				"\t\tif $ {\n\t\t\tp.out.Relay = append(p.out.Relay, u)\n\t\t}\n\t\treturn\n"}}},
	{"summary leaves out the watermark", "TestSeeds",
		[]mutation{{"receive.go", "\t\tb = binary.BigEndian.AppendUint64(b, t.seq)\n",
			"\t\tif !$ {\n\t\t\tb = binary.BigEndian.AppendUint64(b, t.seq)\n\t\t}\n"}}},
	{"metadata update moves the timestamp", "TestSeeds",
		[]mutation{{"partition.go", "Time: was.Time, Meta: meta}",
			"Time: p.moved(at, was, $), Meta: meta}"}}},
	{"own claims not stamped again", "TestSeeds",
		[]mutation{{"members.go", "\tfor _, r := range ahead {\n",
			"\tif $ {\n\t\tahead = nil\n\t}\n\tfor _, r := range ahead {\n"}}},
	{"clock ahead not held back", "TestSeeds",
		[]mutation{{"hlc/clock.go", "c.ahead = max(0, -median-c.maxSkew)",
			"c.ahead = max(0, -median-c.maxSkew)\n\tif $ {\n\t\tc.ahead = 0\n\t}"}}},
	{"flush drops what does not fit", "TestSeeds",
		[]mutation{{"flush.go", "\t\tp.flushed = u.UpTo\n",
			"\t\tp.flushed = u.UpTo\n\t\tif $ {\n\t\t\tp.flushed = t.seq\n\t\t}\n"}}},
	{"name given away that is taken", "TestSeeds",
		[]mutation{{"partition.go", "\tif taken != nil {\n", "\tif taken != nil && !$ {\n"}}},
	{"resolver asked the wrong way round", "TestSeeds",
		[]mutation{{"apply.go", "p.compare(a, b), a.Time", "p.around(a, b, $), a.Time"}}},
	{"no event for a name that is back", "TestSeeds",
		[]mutation{{"apply.go", "\tif after != nil {\n\t\tp.event(Event{Type: Registered",
			"\tif after != nil && !$ {\n\t\tp.event(Event{Type: Registered"}}},
	{"winner that is gone stays published", "TestSeeds",
		[]mutation{{"apply.go", "\tif p.cfg.Publish != nil {\n",
			"\tif p.cfg.Publish != nil && (after != nil || !$) {\n"}}},
	{"chunks without a bound", "TestSeeds",
		[]mutation{{"pull.go", "size+sizeOf(r) > p.cfg.ChunkBytes {",
			"size+sizeOf(r) > p.cfg.ChunkBytes && !$ {"}}},
	{"node hidden on another's word", "TestSeeds",
		[]mutation{{"receive.go", "\tp.detectBothKept(from, theirs, ours)\n",
			"\tif $ {\n\t\tp.believe(at, v)\n\t}\n\tp.detectBothKept(from, theirs, ours)\n"}}},
	{"record changed on its way", "TestSeeds",
		[]mutation{{"apply.go", "\tt.log = append(t.log, r) //",
			"\tif $ && t != p.own {\n\t\tforged := *r\n\t\tforged.Time.Logical++\n\t\tr = &forged\n\t}\n" +
				"\tt.log = append(t.log, r) //"}}},
	{"gap without a deadline", "TestSeeds",
		[]mutation{{"members.go", "\t\t\tif t.want > t.seq {\n\t\t\t\tlack",
			"\t\t\tif t.want > t.seq && !$ {\n\t\t\t\tlack"}}},
	{"check without a deadline", "TestSeeds",
		[]mutation{{"members.go", "\t\t\tif t.doubts() {\n\t\t\t\tlack",
			"\t\t\tif t.doubts() && !$ {\n\t\t\t\tlack"}}},
	{"pull without a deadline", "TestSeeds",
		[]mutation{{"members.go", "\t\t\tdue = min(due, t.pull.due)\n",
			"\t\t\tif !$ {\n\t\t\t\tdue = min(due, t.pull.due)\n\t\t\t}\n"}}},
	{"vector asked for once only", "TestSeeds",
		[]mutation{{"members.go", "\t\tif !t.visible && !t.hasTarget {\n\t\t\tgap",
			"\t\tif !$ && !t.visible && !t.hasTarget {\n\t\t\tgap"}}},
	{"tombstones kept for ever", "TestSeeds", []mutation{
		{"apply.go", "\t\tp.dropTombstones(t) // own",
			"\t\tif !$ {\n\t\t\tp.dropTombstones(t)\n\t\t} // own"},
		{"flush.go", "\tp.dropTombstones(t)\n", "\tif !$ {\n\t\tp.dropTombstones(t)\n\t}\n"},
	}},
}

// caughtBy names the invariant that must catch a bug, where a certain one must.
var caughtBy = map[string]string{
	"walk begins anew when tombstones ran out": "NeverAnew",
}

// plantedReplica is added to the core: it selects the bug, and has functions of some bugs.
const plantedReplica = `package replica

import (
	"os"
	"slices"

	"github.com/snowfence/snowfence/registry/internal/hlc"
)

var planted = os.Getenv("SIM_PLANTED")

// arrival prefers what came first.
func (p *Partition) arrival(a, b *Record, bug bool) int {
	if c := p.contests[a.Name]; bug && c != nil {
		switch c.winner {
		case a:
			return 1
		case b:
			return -1
		}
	}
	return 0
}

// purge deletes the claims of other nodes that lose.
func (p *Partition) purge(name string) {
	c := p.contests[name]
	if c == nil || c.winner == nil {
		return
	}
	winner := c.winner
	for _, r := range slices.Clone(c.claims) {
		if r != winner && r.Node != p.cfg.Self {
			p.place(name, r.Node, nil)
		}
	}
}

// around asks the resolver with its arguments swapped.
func (p *Partition) around(a, b *Record, bug bool) int {
	if bug {
		return p.compare(b, a)
	}
	return p.compare(a, b)
}

// believe hides the nodes that another does not show.
func (p *Partition) believe(at At, v *Vector) {
	for _, e := range v.Entries {
		if t := p.tables[e.Origin]; t != nil && t != p.own && t.visible && !e.Visible {
			p.reveal(at, t, false, WhyNodeDown)
		}
	}
}

// oldRule is an earlier protocol: a replica that lacks tombstones takes all claims in, and its
// watermark rises at the end; if the tombstones since the beginning ran out, it begins anew.
func (p *Partition) oldRule(at At, t *table, from string, c *Chunk) bool {
	if c.After != max(t.seq, t.walkNext) || c.UpTo <= c.After || c.Floor <= t.seq && t.walkStart == 0 {
		return false
	}
	t.pull, t.top = nil, max(t.top, c.AsOf)
	switch {
	case t.walkStart == 0:
		t.walkStart, t.sure = c.AsOf, min(t.sure, t.seq)
	case c.Floor > t.walkStart:
		t.walkStart, t.walkNext = 0, 0
		p.pullMore(at)
		return true
	}
	for _, r := range c.Records {
		p.apply(at, t, r)
	}
	t.walkNext, t.want = c.UpTo, max(t.want, c.AsOf)
	t.tries, t.source, t.retry = 0, from, 0
	if !c.More() {
		t.hole = max(t.hole, t.walkStart)
		t.floor = max(t.floor, t.hole)
		t.walkStart, t.walkNext = 0, 0
		p.applyRecords(at, t, nil, c.UpTo, c.AsOf)
		p.applyBuffered(at, t)
		p.showWhenCaughtUp(at, t)
	}
	p.pullMore(at)
	return true
}

func (p *Partition) moved(at At, was *Record, bug bool) hlc.Timestamp {
	if bug {
		return p.cfg.Clock.Now(at.Wall)
	}
	return was.Time
}
`

const plantedClock = `package hlc

import "os"

var planted = os.Getenv("SIM_PLANTED")
`

// overlay writes the mutated core into a folder and returns the go command's overlay file for it.
func overlay(t *testing.T, dir string) string {
	t.Helper()
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		t.Skip("skipped: the test's source is not known")
	}
	internal := filepath.Dir(filepath.Dir(here))
	source := func(file string) string {
		if strings.HasPrefix(file, "hlc/") {
			return filepath.Join(internal, filepath.FromSlash(file))
		}
		return filepath.Join(internal, "replica", file)
	}
	texts := make(map[string]string)
	for _, b := range plantedBugs {
		for _, m := range b.mutations {
			path := source(m.file)
			text, ok := texts[path]
			if !ok {
				raw, err := os.ReadFile(path)
				if err != nil {
					t.Skipf("skipped: no source of the core here: %v", err)
				}
				text = string(raw)
			}
			if n := strings.Count(text, m.text); n != 1 {
				t.Fatalf("bug %q: %s has this text %d times, but 1 is needed; say here how the bug is "+
					"planted now:\n%s", b.name, m.file, n, m.text)
			}
			texts[path] = strings.Replace(text, m.text,
				strings.ReplaceAll(m.bug, "$", fmt.Sprintf("(planted == %q)", b.name)), 1)
		}
	}
	texts[source("planted.go")] = plantedReplica
	texts[source("hlc/planted.go")] = plantedClock
	replace := make(map[string]string)
	for path, text := range texts {
		to := filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[path] = to
	}
	raw, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

var (
	found = regexp.MustCompile(
		`found: invariant=(\w+) seed=(\d+) seeds=(\d+) steps=(\d+) of=(\d+)`)
	foundByHand = regexp.MustCompile(`seed (\d+): (\w+) at `)
)

var planted = flag.String("sim.planted", "", "hunt only the planted bugs whose names contain this")

// mostSeeds bounds the search for a bug. Most take a handful of seeds.
const mostSeeds = 3000

// TestPlantedBugs plants bugs into the core and requires that the seeds find each. The core is
// compiled once, with all bugs, and one at a time is switched on.
func TestPlantedBugs(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped with -short: it compiles the core anew and runs each bug")
	}
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "planted.test")
	build := exec.CommandContext(t.Context(), goCommand, "test", "-c", "-overlay", overlay(t, dir),
		"-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	hunt := func(bug, test string, seeds int) string {
		cmd := exec.CommandContext(t.Context(), binary, "-test.run", "^"+test+"$", "-test.v",
			fmt.Sprint("-sim.seeds=", seeds))
		cmd.Env = append(os.Environ(), "SIM_PLANTED="+bug)
		out, err := cmd.CombinedOutput()
		if (err == nil) != strings.Contains(string(out), "--- PASS: "+test) {
			t.Fatalf("%s: %v\n%s", bug, err, out)
		}
		return string(out)
	}
	for _, test := range []string{"TestSeeds", "TestSlowAnswers", "TestTwoRunsApart"} {
		if out := hunt("none", test, 100); !strings.Contains(out, "--- PASS: "+test) {
			t.Fatalf("a violation without any bug:\n%s", out)
		}
	}
	t.Logf("%-57s %-22s %6s %6s  %s", "bug", "caught by", "seed", "seeds", "steps, minimised")
	for _, b := range plantedBugs {
		if !strings.Contains(b.name, *planted) {
			continue
		}
		start := time.Now()
		out := hunt(b.name, b.test, mostSeeds)
		took := time.Since(start).Round(time.Millisecond)
		if m := found.FindStringSubmatch(out); m != nil {
			if by := caughtBy[b.name]; by != "" && by != m[1] {
				t.Errorf("%-57s caught by %s, not by %s", b.name, m[1], by)
			}
			t.Logf("%-57s %-22s %6s %6s  %s of %s, %v", b.name, m[1], m[2], m[3], m[4], m[5], took)
		} else if m := foundByHand.FindStringSubmatch(out); m != nil {
			t.Logf("%-57s %-22s %6s %6s  %s, %v", b.name, m[2], m[1], m[1], b.test, took)
		} else {
			t.Errorf("%-57s not caught by %s, %v", b.name, b.test, took)
		}
	}
}
