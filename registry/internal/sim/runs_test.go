package sim

import (
	"testing"
	"time"

	"github.com/snowfence/snowfence/registry/internal/hlc"
	"github.com/snowfence/snowfence/registry/internal/replica"
)

// TestTwoRunsApart starts a node twice with its clock set back. Both runs detect an earlier one
// with a higher incarnation, and raise their own above that. They must not raise it to the same
// number, since the others would then confuse the records of the two. (One world in some thousands
// shows this.)
func TestTwoRunsApart(t *testing.T) {
	const before uint64 = 5_000_000_000
	raised := make(map[uint64]uint64)
	for run := uint64(1); run <= 50; run++ {
		p := replica.New(replica.Config{Self: "na", Incarnation: 1_000_000_000 + run*7919,
			Clock: hlc.New(time.Second), Seed: run})
		at := replica.At{Wall: epoch, Mono: time.Second}
		p.NodeUp(at, "nb", 1)
		p.Take()
		p.Receive(at, "nb", &replica.Vector{Entries: []replica.Entry{{Origin: "na", Incarnation: before,
			Seq: 1, Visible: true}}})
		got := uint64(0)
		for _, e := range p.Take().Send {
			if v, ok := e.Message.(*replica.Vector); ok && v.Entries[0].Origin == "na" {
				got = v.Entries[0].Incarnation
			}
		}
		if got <= before {
			t.Fatalf("seed %d: AllRegistered at the raise: incarnation %d is not above %d", run, got, before)
		}
		if other := raised[got]; other != 0 {
			t.Fatalf("seed %d: TwoRunsApart at the raise: run %d, too, has incarnation %d", run, other, got)
		}
		raised[got] = run
	}
}
