package deletes

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A planted bug is some lines of this package that are replaced.
type planted struct {
	name, file, line, instead string
	invariants                []string // one of these must catch it
}

var bugs = []planted{
	{
		name: "a delete counts as applied everywhere when its origin says so", file: "after.go",
		line:       "max(c.latest[key], c.wide, floor, c.base), p.of(origin)",
		instead:    "max(c.latest[key], c.wide, floor, c.base), max(p.of(origin), b.peers[origin].of(origin))",
		invariants: []string{"Fresh"},
	},
	{
		name: "who was never seen is asked without deletes", file: "after.go",
		line:       "if p != nil && p.current == b.version {",
		instead:    "if p == nil || p.current == b.version || len(p.reported) == 0 {",
		invariants: []string{"Fresh"},
	},
	{
		name: "what was forgotten is not asked for", file: "after.go",
		line:       "max(c.latest[key], c.wide, floor, c.base), p.of(origin)",
		instead:    "max(c.latest[key], c.wide, floor), p.of(origin)",
		invariants: []string{"Fresh"},
	},
	{
		name: "nothing is known of who was handed over", file: "after.go",
		line:       "return b.handed[origin].upTo",
		instead:    "return 0",
		invariants: []string{"Ends", "NoClear", "Bounded", "AllHaveAll"},
	},
	{
		name: "an own delete is reported before it is applied", file: "book.go",
		line:       "	b.version++\n	b.mu.Unlock()\n	b.o.Apply(",
		instead:    "	b.version++\n	b.own.applied = seq\n	b.mu.Unlock()\n	b.o.Apply(",
		invariants: []string{"Fresh", "Honest"},
	},
	{
		name: "an own delete is shown after it was applied", file: "book.go",
		line:       "	b.mu.Lock()\n	b.add(b.own, d)\n	seq",
		instead:    "	b.o.Apply([]Delete{d})\n	b.mu.Lock()\n	b.add(b.own, d)\n	seq",
		invariants: []string{"Fresh"},
	},
	{
		name: "a delete that arrives is reported before it is applied", file: "message.go",
		line:       "	return list, reset, nil\n",
		instead:    "	for _, c := range b.chapters {\n		c.applied = c.shown()\n	}\n	return list, reset, nil\n",
		invariants: []string{"Fresh", "Honest"},
	},
	{
		name: "details go when some have them", file: "book.go",
		line:       "if incarnation != origin {",
		instead:    "if incarnation != origin && !p.away {",
		invariants: []string{"NoClear"},
	},
	{
		name: "a handover does not wait", file: "book.go",
		line:       "if forced || len(members) == 0 && (len(absentees) == 0 || rest > b.maxAway) {",
		instead:    "if members != nil || members == nil {",
		invariants: []string{"NoClear"},
	},
	{
		name: "a handover that cannot wait is not asked for", file: "book.go",
		line:       "p.floor[in.origin] = max(p.floor[in.origin], in.seq)",
		instead:    "_ = p",
		invariants: []string{"Fresh"},
	},
	{
		name: "handovers from before are not asked for", file: "book.go",
		line:       "if c.handover > 0 {",
		instead:    "if c.handover > 1<<40 {",
		invariants: []string{"Fresh"},
	},
	{
		name: "who lacks what was handed over need not reset", file: "message.go",
		line:       "reset = true // it lacks what was handed over",
		instead:    "_ = b",
		invariants: []string{"Fresh", "AllHaveAll"},
	},
	{
		name: "numbers are taken over without a reset", file: "message.go",
		line:       "reset = b.o.Reset()",
		instead:    "reset = true",
		invariants: []string{"Fresh", "AllHaveAll"},
	},
	{
		name: "a tag concerns no key", file: "book.go",
		line:       "case Tag, All:\n		c.wide = seq",
		instead:    "case All:\n		c.wide = seq",
		invariants: []string{"Fresh"},
	},
	{
		name: "the old rule: a clear stands for those who have left", file: "book.go",
		line:       "b.add(b.own, Delete{handover, encodeMark(mark{origin, upTo})})",
		instead:    "b.add(b.own, Delete{Kind: All})",
		invariants: []string{"Made"},
	},
	{
		name: "nobody hears of chapters that were ended", file: "message.go",
		line:       "c.endedElsewhere = c.endedElsewhere || !there",
		instead:    "_ = there",
		invariants: []string{"Bounded"},
	},
}

// The explorer is worth what it finds: each of these bugs.
func TestPlantedBugsAreCaught(t *testing.T) {
	if testing.Short() || race {
		t.Skip("builds the package once for each bug")
	}
	dir := t.TempDir()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range bugs {
		t.Run(strings.ReplaceAll(b.name, " ", "-"), func(t *testing.T) {
			path := filepath.Join(here, b.file)
			source, err := os.ReadFile(path) //nolint:gosec // a file of this module
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(source), b.line); n != 1 {
				t.Fatalf("%s has %d times, not once:\n\t%s\nThe bug has to be planted another way.", b.file, n, b.line)
			}
			wrong := filepath.Join(dir, fmt.Sprintf("%d.go", i))
			if err := os.WriteFile(wrong, []byte(strings.Replace(string(source), b.line, b.instead, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			files, err := json.Marshal(map[string]map[string]string{"Replace": {path: wrong}})
			if err != nil {
				t.Fatal(err)
			}
			overlay := filepath.Join(dir, fmt.Sprintf("%d.json", i))
			if err := os.WriteFile(overlay, files, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-overlay", overlay, //nolint:gosec // our own arguments
				"-run", "^(TestExplore|TestRandom)$", "-short", "-count=1", ".")
			cmd.Env = append(os.Environ(), "SEED=1")
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("nobody noticed:\n%s", out)
			}
			for line := range strings.Lines(string(out)) {
				for _, invariant := range b.invariants {
					if strings.Contains(line, invariant+": ") {
						t.Log(strings.TrimSpace(line))
						return
					}
				}
			}
			t.Fatalf("wanted one of %v, got:\n%s", b.invariants, out)
		})
	}
}
