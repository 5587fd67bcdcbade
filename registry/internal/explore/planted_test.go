package explore

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A planted bug is some lines of the core that are replaced. Worlds are the tests that must see it.
type planted struct {
	name, file, line, instead string
	more                      []change
	invariants                []string // one of these must be what catches it
	only                      string   // the world that must; "": any
}

// A change is one more line that is replaced.
type change struct{ file, line, instead string }

var bugs = []planted{
	{
		name: "the tombstone is forgotten by who serves a pull", file: "pull.go",
		line:       "if !p.current(t, r) {",
		instead:    "if !p.current(t, r) || r.Dead {",
		invariants: []string{"NoZombie"},
	},
	{
		name: "a tie falls to who came first", file: "claims.go",
		line:       "return cmp.Or(p.compare(a, b), a.Time.Compare(b.Time), strings.Compare(a.Node, b.Node))",
		instead:    "return cmp.Or(p.compare(a, b), a.Time.Compare(b.Time), cmp.Compare(p.own.seq, 1))",
		invariants: []string{"WinnerIsResolved", "ThereCanBeOnlyOne"},
	},
	{
		name: "a conflict purges the other node's claim", file: "claims.go",
		line:       "if c == nil || c.winner == nil || c.winner.Node == p.cfg.Self {",
		instead:    "if c != nil && c.winner != nil && c.winner.Node == p.cfg.Self {\n\t\tfor _, r := range c.claims {\n\t\t\tif r.Node != p.cfg.Self {\n\t\t\t\tp.place(name, r.Node, nil)\n\t\t\t\tbreak\n\t\t\t}\n\t\t}\n\t\treturn\n\t}\n\tif c == nil || c.winner == nil || c.winner.Node == p.cfg.Self {",
		invariants: []string{"NoHearsay", "AllRegistered", "ThereCanBeOnlyOne"},
	},
	{
		name: "an update is applied over a gap", file: "receive.go",
		line:       "if u.After > t.seq {",
		instead:    "if false && u.After > t.seq {",
		invariants: []string{"NoZombie", "AllRegistered", "WatermarkRises"},
	},
	{
		name: "what no longer stands is not dropped", file: "check.go",
		line:       "p.sweep(at, t, span)",
		instead:    "_ = span",
		invariants: []string{"NoZombie"},
	},
	{
		name: "nobody is told that tombstones are gone", file: "pull.go",
		line:       "c.UpTo, c.AsOf, c.Floor = t.seq, t.seq, t.floor",
		instead:    "c.UpTo, c.AsOf = t.seq, t.seq",
		invariants: []string{"NoZombie"},
	},
	{
		name: "a walk begins anew when tombstones ran out", file: "pull.go",
		line:    "	if c.After > t.seq || c.UpTo <= t.seq || t.outdates(c.AsOf) {",
		instead: oldRule + "	if c.After > t.seq || c.UpTo <= t.seq || t.outdates(c.AsOf) {",
		more: []change{
			{"table.go", "	log   []*Record", "	walkStart, walkNext uint64\n	log   []*Record"},
			{"pull.go", "After: t.seq}", "After: max(t.seq, t.walkNext)}"},
			{"pull.go", "server: server, after: t.seq,", "server: server, after: q.After,"},
		},
		invariants: []string{"CatchesUp"},
		only:       "two:-churn",
	},
	{
		name: "the claims of a node that is down stay in sight", file: "members.go",
		line:       "p.reveal(at, t, false, WhyNodeDown)",
		instead:    "_ = at",
		invariants: []string{"DownIsHidden"},
	},
	{
		name: "a loser is not told", file: "claims.go",
		line:       "p.out.Lost = append(p.out.Lost, loss)",
		instead:    "_ = loss",
		invariants: []string{"LosersTold"},
	},
	{
		name: "a restarted node's old claims stay", file: "members.go",
		line:       "p.empty(at, t, WhyNodeRestart)",
		instead:    "_ = at",
		invariants: []string{"NoZombie", "AllRegistered", "AllMessagesProcessed"},
	},
	{
		name: "nobody refutes a rumour", file: "receive.go",
		line:       "if inc < t.inc || inc == t.inc && seq <= t.seq || at.Mono < p.refuteAt {",
		instead:    "if inc < t.inc || inc >= t.inc {",
		invariants: []string{"AllMessagesProcessed"},
	},
}

// oldRule is how it was once: a replica that lacks tombstones takes all claims in, and its watermark
// rises at the end; if the tombstones since the beginning ran out meanwhile, it begins anew.
const oldRule = `	if c.After == max(t.seq, t.walkNext) && c.UpTo > c.After && (c.Floor > t.seq || t.walkStart > 0) {
		if t.walkStart > 0 && c.Floor > t.walkStart {
			t.walkStart, t.walkNext = 0, 0
			p.pullMore(at)
			return
		}
		if t.walkStart == 0 {
			t.walkStart = c.AsOf
		}
		t.top = max(t.top, c.AsOf)
		for _, r := range c.Records {
			p.apply(at, t, r)
		}
		t.walkNext, t.want = c.UpTo, max(t.want, c.AsOf)
		t.tries, t.source, t.retry = 0, from, 0
		if !c.More() {
			t.hole, t.sure = max(t.hole, t.walkStart), min(t.sure, t.seq)
			t.floor = max(t.floor, t.hole)
			t.walkStart, t.walkNext = 0, 0
			p.take(at, t, nil, c.UpTo, c.AsOf)
			p.drain(at, t)
			p.aim(at, t)
		}
		p.pullMore(at)
		return
	}
`

// The explorer is worth what it finds: each of these bugs, in the worlds that take seconds.
func TestPlantedBugsAreCaught(t *testing.T) {
	if testing.Short() || race {
		t.Skip("builds the core once for each bug")
	}
	dir := t.TempDir()
	core, err := filepath.Abs("../replica")
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range bugs {
		t.Run(strings.ReplaceAll(b.name, " ", "-"), func(t *testing.T) {
			wrong := map[string]string{}
			for _, c := range append([]change{{b.file, b.line, b.instead}}, b.more...) {
				path := filepath.Join(core, c.file)
				source, ok := wrong[path]
				if !ok {
					raw, err := os.ReadFile(path) //nolint:gosec // a file of this module
					if err != nil {
						t.Fatal(err)
					}
					source = string(raw)
				}
				if n := strings.Count(source, c.line); n != 1 {
					t.Fatalf("%s has %d times, not once:\n\t%s\nThe bug has to be planted another way.", c.file, n, c.line)
				}
				wrong[path] = strings.Replace(source, c.line, c.instead, 1)
			}
			replace := map[string]string{}
			for path, source := range wrong {
				file := filepath.Join(dir, fmt.Sprintf("%d-%s", i, filepath.Base(path)))
				if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
					t.Fatal(err)
				}
				replace[path] = file
			}
			overlay := filepath.Join(dir, fmt.Sprintf("%d.json", i))
			files, err := json.Marshal(map[string]map[string]string{"Replace": replace})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(overlay, files, 0o600); err != nil {
				t.Fatal(err)
			}
			run := "^(TestWorlds|TestSynRace)$"
			if b.only != "" {
				run = "^TestWorlds$/worlds/^" + b.only + "$"
			}
			cmd := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-failfast", "-overlay", overlay, //nolint:gosec // our own arguments
				"-run", run, "-short", "-count=1", "-v", ".")
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("nobody noticed:\n%s", out)
			}
			var seen []string
			for line := range strings.Lines(string(out)) {
				if line = strings.TrimSpace(line); !strings.Contains(line, "_test.go:") {
					continue
				}
				seen = append(seen, line)
				for _, inv := range b.invariants {
					if strings.Contains(line, inv+": ") {
						t.Log(line)
						return
					}
				}
			}
			t.Fatalf("wanted one of %v, got:\n%s", b.invariants, strings.Join(seen, "\n"))
		})
	}
}
