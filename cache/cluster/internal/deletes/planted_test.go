package deletes

import (
	"testing"

	"github.com/snowfence/snowfence/internal/planted"
)

var bugs = []planted.Bug{
	{
		Name: "a delete counts as applied everywhere when its origin says so",
		Changes: []planted.Change{{
			"after.go", "			number = e.previous\n",
			"			if b.peer(e.origin).acked >= b.applied {\n				delete(needs, e.origin)\n			}\n" +
				"			number = e.previous\n",
		}},
		Invariants: []string{"Fresh"},
	},
	{
		Name:       "a node that was never seen is asked without deletes",
		Changes:    []planted.Change{{"after.go", "if acked >= max(", "if acked == 0 || acked >= max("}},
		Invariants: []string{"Fresh"},
	},
	{
		Name:       "what was forgotten is not asked for",
		Changes:    []planted.Change{{"after.go", "log.seq, acked = b.base, b.base", "acked = b.base"}},
		Invariants: []string{"Fresh"},
	},
	{
		Name:       "a node that lacks the log gives a key that it has missed",
		Changes:    []planted.Change{{"after.go", "done := b.peer(", "done := true || b.peer("}},
		Invariants: []string{"Fresh"},
	},
	{
		Name: "an own delete is reported before it is applied",
		Changes: []planted.Change{{
			"book.go", "	b.addOwn(d)\n", "	b.addOwn(d)\n	b.applyShown()\n",
		}},
		Invariants: []string{"Fresh", "Honest"},
	},
	{
		Name: "an own delete is shown after it was applied",
		Changes: []planted.Change{{
			"book.go", "	b.addOwn(d)\n	b.mu.Unlock()\n	b.o.Apply([]Delete{d})\n	b.mu.Lock()\n",
			"	b.mu.Unlock()\n	b.o.Apply([]Delete{d})\n	b.mu.Lock()\n	b.addOwn(d)\n",
		}},
		Invariants: []string{"Fresh"},
	},
	{
		Name: "a delete that arrives is reported before it is applied",
		Changes: []planted.Change{{
			"message.go", "	return list, theirs, reset, nil\n",
			"	b.applyShown()\n	return list, theirs, reset, nil\n",
		}},
		Invariants: []string{"Fresh", "Honest"},
	},
	{
		Name:       "entries go when some have them",
		Changes:    []planted.Change{{"book.go", "if all = min(all, p.acked); p", "if p"}},
		Invariants: []string{"NoClear"},
	},
	{
		Name:       "entries go when members have them",
		Changes:    []planted.Change{{"book.go", "b.drop(min(all,", "b.drop(min(members,"}},
		Invariants: []string{"NoClear"},
	},
	{
		Name: "what a message shows counts for all that came before it",
		Changes: []planted.Change{{
			"message.go", "if e := b.entries[p.acked-b.base]; e.seq > theirs[e.origin] {",
			"if e := b.entries[p.acked-b.base]; len(theirs) == 0 || e.origin == m.from {",
		}},
		Invariants: []string{"Fresh", "Honest"},
	},
	{
		Name:       "messages do not mention dropped entries",
		Changes:    []planted.Change{{"message.go", "if p.acked < b.base {", "if p.acked > b.base {"}},
		Invariants: []string{"Fresh", "AllHaveAll", "Honest"},
	},
	{
		Name:       "numbers are taken over without a reset",
		Changes:    []planted.Change{{"message.go", "reset = b.o.Reset()", "reset = true"}},
		Invariants: []string{"Fresh", "AllHaveAll"},
	},
	{
		Name:       "messages do not mention a reset",
		Changes:    []planted.Change{{"book.go", "case Tag, All, missed:", "case Tag, All:"}},
		Invariants: []string{"Fresh"},
	},
	{
		Name:       "a tag concerns no key",
		Changes:    []planted.Change{{"book.go", "case Tag, All, missed:", "case All, missed:"}},
		Invariants: []string{"Fresh"},
	},
	{
		Name: "the old rule: a clear stands for the deletes of nodes that have left",
		Changes: []planted.Change{{
			"book.go", "b.addOwn(handoverOf(mark{incarnation, b.origins[incarnation].applied}))",
			"_ = incarnation\n		b.addOwn(Delete{Kind: All})",
		}},
		Invariants: []string{"Made"},
	},
	{
		Name: "an origin is not mentioned once it is handed over",
		Changes: []planted.Change{{
			"book.go", "	o.handed = max(o.handed, of.seq)\n",
			"	o.handed = max(o.handed, of.seq)\n	o.forgotten = 0\n",
		}},
		Invariants: []string{"Fresh", "AllHaveAll", "Honest"},
	},
	{
		Name: "what the lowest has handed over is left to it",
		Changes: []planted.Change{{
			"book.go", "|| lowest == from && b.peers[from].acked == b.applied", "",
		}},
		Invariants: []string{"Bounded"},
	},
}

// The explorer finds each of these planted bugs.
func TestPlantedBugsAreCaught(t *testing.T) {
	if testing.Short() || race {
		t.Skip("builds the package once for each bug")
	}
	planted.Check(t, ".", "^(TestExplore|TestRandom)$", bugs)
}
