package explore

import (
	"testing"

	"github.com/snowfence/snowfence/internal/planted"
)

var bugs = []planted.Bug{
	{
		Name: "the tombstone is forgotten by who serves a pull",
		Changes: []planted.Change{
			{"pull.go", "if !p.current(t, r) {", "if !p.current(t, r) || r.Dead {"},
		},
		Invariants: []string{"NoZombie"},
	},
	{
		Name: "a tie falls to who came first",
		Changes: []planted.Change{
			{
				"apply.go",
				"return cmp.Or(p.compare(a, b), a.Time.Compare(b.Time), strings.Compare(a.Node, b.Node))",
				"return cmp.Or(p.compare(a, b), a.Time.Compare(b.Time), cmp.Compare(p.own.seq, 1))",
			},
		},
		Invariants: []string{"WinnerIsResolved", "ThereCanBeOnlyOne"},
	},
	{
		Name: "a conflict purges the other node's claim",
		Changes: []planted.Change{
			{
				"apply.go",
				"if c == nil || c.winner == nil || c.winner.Node == p.cfg.Self {",
				purge + "if c == nil || c.winner == nil || c.winner.Node == p.cfg.Self {",
			},
		},
		Invariants: []string{"NoHearsay", "AllRegistered", "ThereCanBeOnlyOne"},
	},
	{
		Name: "an update is applied over a gap",
		Changes: []planted.Change{
			{"receive.go", "if u.After > t.seq {", "if false && u.After > t.seq {"},
		},
		Invariants: []string{"NoZombie", "AllRegistered", "WatermarkRises"},
	},
	{
		Name: "what no longer stands is not dropped",
		Changes: []planted.Change{
			{"check.go", "p.sweep(at, t, span)", "_ = span"},
		},
		Invariants: []string{"NoZombie"},
	},
	{
		Name: "dropped tombstones are not reported",
		Changes: []planted.Change{
			{
				"pull.go",
				"c.UpTo, c.AsOf, c.Floor = t.seq, t.seq, t.floor",
				"c.UpTo, c.AsOf = t.seq, t.seq",
			},
		},
		Invariants: []string{"NoZombie"},
	},
	{
		Name: "a walk begins anew when tombstones ran out",
		Changes: []planted.Change{
			{
				"pull.go",
				"	if c.After > t.seq || c.UpTo <= t.seq || t.outdates(c.AsOf) {",
				oldRule + "	if c.After > t.seq || c.UpTo <= t.seq || t.outdates(c.AsOf) {",
			},
			{"table.go", "	log   []*Record", "	walkStart, walkNext uint64\n	log   []*Record"},
			{"pull.go", "After: t.seq}", "After: max(t.seq, t.walkNext)}"},
			{"pull.go", "server: server, after: t.seq,", "server: server, after: q.After,"},
		},
		Invariants: []string{"CatchesUp"},
		Run:        "^TestWorlds$/worlds/^two:-churn$",
	},
	{
		Name: "the claims of a node that is down stay in sight",
		Changes: []planted.Change{
			{"members.go", "p.reveal(at, t, false, WhyNodeDown)", "_ = at"},
		},
		Invariants: []string{"DownIsHidden"},
	},
	{
		Name: "a loser is not notified",
		Changes: []planted.Change{
			{"apply.go", "p.out.Lost = append(p.out.Lost, loss)", "_ = loss"},
		},
		Invariants: []string{"LosersTold"},
	},
	{
		Name: "a restarted node's old claims stay",
		Changes: []planted.Change{
			{"members.go", "p.empty(at, t, WhyNodeRestart)", "_ = at"},
		},
		Invariants: []string{"NoZombie", "AllRegistered", "AllMessagesProcessed"},
	},
	{
		Name: "nobody refutes a rumour",
		Changes: []planted.Change{
			{
				"receive.go",
				"if inc < t.inc || inc == t.inc && seq <= t.seq || at.Mono < p.refuteAt {",
				"if inc < t.inc || inc >= t.inc {",
			},
		},
		Invariants: []string{"AllMessagesProcessed"},
	},
}

// purge removes a claim of another node.
const purge = `	if c != nil && c.winner != nil && c.winner.Node == p.cfg.Self {
		for _, r := range c.claims {
			if r.Node != p.cfg.Self {
				p.place(name, r.Node, nil)
				break
			}
		}
		return
	}
`

// oldRule is an earlier protocol: a replica that lacks tombstones takes all claims in, and its
// watermark rises at the end; if the tombstones since the beginning ran out meanwhile, it begins
// anew.
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
			p.applyRecords(at, t, nil, c.UpTo, c.AsOf)
			p.applyBuffered(at, t)
			p.showWhenCaughtUp(at, t)
		}
		p.pullMore(at)
		return
	}
`

// The explorer finds each of these bugs, in the worlds that take seconds.
func TestPlantedBugsAreCaught(t *testing.T) {
	if testing.Short() || race {
		t.Skip("builds the core once for each bug")
	}
	planted.Check(t, "../replica", "^(TestWorlds|TestSynRace)$", bugs)
}
