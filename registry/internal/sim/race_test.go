package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/snowfence/snowfence/registry/internal/hlc"
	"github.com/snowfence/snowfence/registry/internal/replica"
)

// A duo is two cores and the messages between them, which the test delivers one by one.
type duo struct {
	t     *testing.T
	now   time.Duration
	cores [2]*replica.Partition
	lost  [2]int
	mail  [2][]replica.Message // to each
	done  []string             // the steps so far, for a failure
}

func newDuo(t *testing.T) *duo {
	d := &duo{t: t, now: time.Second}
	for i := range d.cores {
		d.cores[i] = replica.New(replica.Config{
			Self: nodeName(i), Incarnation: uint64(i + 1), Clock: hlc.New(time.Second), Seed: uint64(i),
			Limits: replica.Limits{ChunkBytes: 1, SummaryEvery: time.Second,
				PullTimeout: 300 * time.Millisecond},
		})
	}
	return d
}

func (d *duo) at() replica.At { return replica.At{Wall: epoch + int64(d.now), Mono: d.now} }

func (d *duo) did(format string, args ...any) {
	d.done = append(d.done, fmt.Sprintf(format, args...))
	d.now += time.Millisecond
}

// take puts a core's messages into the other's mail.
func (d *duo) take(i int) {
	out := d.cores[i].Take()
	d.lost[i] += len(out.Lost)
	for _, e := range out.Send {
		d.mail[1-i] = append(d.mail[1-i], e.Message)
	}
}

func (d *duo) register(i int) {
	d.did("%s registers", nodeName(i))
	if own, taken := d.cores[i].Register(d.at(), "x", nil); own == nil {
		d.t.Fatalf("taken: %s", record(taken))
	}
	d.take(i)
}

func (d *duo) release(i int) bool {
	d.did("%s releases", nodeName(i))
	ok := d.cores[i].Unregister(d.at(), "x", replica.WhyReleased)
	d.take(i)
	return ok
}

func (d *duo) meet() {
	for i := range d.cores {
		d.did("%s sees %s up", nodeName(i), nodeName(1-i))
		d.cores[i].NodeUp(d.at(), nodeName(1-i), uint64(2-i))
		d.take(i)
	}
}

// flush puts own changes into the other's mail.
func (d *duo) flush(i int) {
	for _, u := range d.cores[i].Flush(1, 0) {
		d.mail[1-i] = append(d.mail[1-i], u)
	}
}

// deliver delivers the first or the last message of a mailbox, and leaves a copy there if double.
func (d *duo) deliver(i int, newest, double bool) bool {
	n := len(d.mail[i])
	if n == 0 {
		return false
	}
	k := 0
	if newest {
		k = n - 1
	}
	m := d.mail[i][k]
	if !double {
		d.mail[i] = append(append([]replica.Message(nil), d.mail[i][:k]...), d.mail[i][k+1:]...)
	}
	d.did("%s <- %s", nodeName(i), describe(m))
	d.cores[i].Receive(d.at(), nodeName(1-i), m)
	d.take(i)
	return true
}

// deliverAll delivers all messages, and lets time pass, until neither side sends another.
func (d *duo) deliverAll(newest bool) {
	for range 100 {
		for d.deliver(0, newest, false) || d.deliver(1, newest, false) {
			if len(d.done) > 5000 {
				d.fail("they never stop talking")
			}
		}
		for i := range d.cores {
			d.now += 50 * time.Millisecond
			d.cores[i].Tick(d.at())
			d.take(i)
			d.flush(i)
		}
	}
}

func (d *duo) fail(format string, args ...any) {
	d.t.Helper()
	for _, a := range d.done[:min(len(d.done), 60)] {
		d.t.Log(a)
	}
	d.t.Fatalf(format, args...)
}

// agree checks that both sides show the same holder, which is alive at its own node, and returns
// it.
func (d *duo) agree() (holder int) {
	d.t.Helper()
	holder = -1
	for i := range d.cores {
		if d.cores[i].Own("x") != nil {
			if holder >= 0 {
				d.fail("both hold the name")
			}
			holder = i
		}
	}
	for i, c := range d.cores {
		got := c.Lookup("x")
		switch {
		case got == nil && holder >= 0:
			d.fail("%s does not know that %s holds the name", nodeName(i), nodeName(holder))
		case got != nil && holder < 0:
			d.fail("zombie: %s shows %s, but nobody holds the name", nodeName(i), record(got))
		case got != nil && got.Node != nodeName(holder):
			d.fail("zombie: %s shows %s, but %s holds the name", nodeName(i), record(got), nodeName(holder))
		}
	}
	return holder
}

// TestSynRace is the race that syn's TLA+ model found: two nodes register one name while they are
// apart and meet; while their messages are under way, one of them releases. In syn the other could
// then add the name again from the message under way, and it stayed for ever.
// Here the release is tried at every point of the exchange, by either node, with messages in order
// or the newest first, once or doubled, and with its tombstone sent at once or later.
func TestSynRace(t *testing.T) {
	worlds := 0
	for who := range 2 {
		for _, newest := range []bool{false, true} {
			for _, double := range []bool{false, true} {
				for _, late := range []bool{false, true} {
					for point := range 14 {
						worlds++
						synRace(t, who, point, newest, double, late)
					}
				}
			}
		}
	}
	t.Logf("%d ways to race", worlds)
}

func synRace(t *testing.T, who, point int, newest, double, late bool) {
	d := newDuo(t)
	d.register(0)
	d.register(1) // the newer one
	for i := range d.cores {
		d.cores[i].Flush(1, 0) // no member receives it
	}
	d.meet()
	var stale [2][]replica.Message // delivered once more at the end
	for k := range point {
		i := k % 2
		if n := len(d.mail[i]); n > 0 {
			stale[i] = append(stale[i], d.mail[i]...)
		}
		d.deliver(i, newest, double)
		if double {
			d.deliver(i, newest, false)
		}
	}
	released := d.release(who)
	if !late {
		d.flush(who)
	}
	d.deliverAll(newest)
	holder := d.agree()
	// A message that is delivered again can't bring a claim back.
	for i := range stale {
		d.mail[i] = append(d.mail[i], stale[i]...)
	}
	d.deliverAll(newest)
	if again := d.agree(); again != holder {
		d.fail("held by %d, and after old messages by %d", holder, again)
	}
	switch {
	case who == 0 && holder != 1:
		d.fail("%s never released, and had the newer claim, but does not hold the name", nodeName(1))
	case who == 1 && !released:
		d.fail("%s lost to an older claim", nodeName(1))
	case who == 1 && holder == 0 && d.lost[0] > 0, who == 1 && holder < 0 && d.lost[0] == 0:
		d.fail("%s got %d losses", nodeName(0), d.lost[0])
	case who == 0 && released && d.lost[0] > 0, who == 0 && !released && d.lost[0] != 1:
		d.fail("%s released: %v, lost: %d", nodeName(0), released, d.lost[0])
	}
	// And the name can be registered again.
	if holder < 0 {
		d.register(0)
		d.flush(0)
		d.deliverAll(newest)
		if d.agree() != 0 {
			d.fail("can't be taken again")
		}
	}
}
