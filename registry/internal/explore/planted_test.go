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

// A planted bug is a line of the core that is replaced. Worlds are the tests that must see it.
type planted struct {
	name, file, line, instead string
	invariants                []string // one of these must be what catches it
}

var bugs = []planted{
	{
		name: "the tombstone is forgotten by who serves a pull", file: "pull.go",
		line:       "if !p.current(t, r) || r.Dead && r.Seq <= c.Start {",
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
		name: "a snapshot sweeps nothing", file: "pull.go",
		line:       "if _, ok := seen[r.Seq]; !ok && r.Seq <= upTo {",
		instead:    "if _, ok := seen[r.Seq]; !ok && r.Seq > upTo {",
		invariants: []string{"NoZombie"},
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
			path := filepath.Join(core, b.file)
			source, err := os.ReadFile(path) //nolint:gosec // a file of this module
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(source), b.line); n != 1 {
				t.Fatalf("%s has %d times, not once:\n\t%s\nThe bug has to be planted another way.", b.file, n, b.line)
			}
			wrong := filepath.Join(dir, fmt.Sprintf("%d-%s", i, b.file))
			if err := os.WriteFile(wrong, []byte(strings.Replace(string(source), b.line, b.instead, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			overlay := filepath.Join(dir, fmt.Sprintf("%d.json", i))
			files, err := json.Marshal(map[string]map[string]string{"Replace": {path: wrong}})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(overlay, files, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-failfast", "-overlay", overlay, //nolint:gosec // our own arguments
				"-run", "^(TestWorlds|TestSynRace)$", "-short", "-count=1", "-v", ".")
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
