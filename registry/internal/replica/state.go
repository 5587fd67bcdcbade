package replica

import (
	"cmp"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/snowfence/snowfence/registry/internal/hlc"
)

// Clone returns an independent copy, with a clock and a Publish of its own. It is for tools that
// try inputs out, such as the explorer. Effects that were not taken are not copied.
func (p *Partition) Clone(clock *hlc.Clock, publish func(string, *Record)) *Partition {
	c := *p
	c.cfg.Clock, c.cfg.Publish = clock, publish
	source := *p.source
	c.source, c.rand = &source, rand.New(&source)
	c.order, c.peers = slices.Clone(p.order), slices.Clone(p.peers)
	c.sole = maps.Clone(p.sole)
	c.contests = make(map[string]*contest, len(p.contests))
	for name, k := range p.contests {
		c.contests[name] = &contest{claims: slices.Clone(k.claims), winner: k.winner}
	}
	c.tables = make(map[string]*table, len(p.tables))
	for node, t := range p.tables {
		c.tables[node] = t.clone()
	}
	c.own = c.tables[p.cfg.Self]
	c.unresolved = maps.Clone(p.unresolved)
	c.withdrawn, c.disagreed = maps.Clone(p.withdrawn), maps.Clone(p.disagreed)
	c.out = Output{}
	return &c
}

func (t *table) clone() *table {
	c := *t
	c.log, c.buffer, c.tombs = slices.Clone(t.log), slices.Clone(t.buffer), maps.Clone(t.tombs)
	if t.pull != nil {
		q := *t.pull
		c.pull = &q
	}
	if t.check != nil {
		q := *t.check
		c.check = &q
	}
	return &c
}

// Reseed restarts the random source from a seed, so that the next steps follow from the state and
// the seed alone. It is for the same tools.
func (p *Partition) Reseed(seed uint64) {
	p.source = rand.NewPCG(seed, uint64(p.cfg.Partition)) //nolint:gosec // bits, not a number
	//nolint:gosec // the choice of a peer is no secret
	p.rand = rand.New(p.source)
}

// AppendState appends all that decides how the partition behaves from now on; equal states are
// equal bytes. Of a deadline it holds only whether it is over, so time must pass in steps that
// outlast each interval of the protocol, or none of it. Statistics, the clock, the random source
// and the stale records of a log are left out.
func (p *Partition) AppendState(b []byte, at At) []byte {
	number := func(n uint64) { b = binary.AppendUvarint(b, n) }
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	flag := func(v bool) {
		if v {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	number(p.flushed)
	number(uint64(p.pending)) //nolint:gosec // not negative
	flag(p.summaryAt != 0)
	flag(p.summaryAt > at.Mono)
	flag(p.refuteAt > at.Mono)
	number(uint64(p.refuteGap)) //nolint:gosec // not negative
	number(uint64(len(p.order)))
	for _, node := range p.order {
		b = p.tables[node].append(b, p, at)
	}
	for _, losses := range []map[string]Loss{p.withdrawn, p.disagreed} {
		number(uint64(len(losses)))
		for _, name := range slices.Sorted(maps.Keys(losses)) {
			text(name)
			l := losses[name]
			b = l.Winner.append(l.Own.append(b))
		}
	}
	return b
}

func (t *table) append(b []byte, p *Partition, at At) []byte {
	number := func(n uint64) { b = binary.AppendUvarint(b, n) }
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	text(t.origin)
	// Of tries beyond the fourth only the parity matters.
	few := func(tries int) uint64 {
		if tries > 4 {
			tries = 4 + tries%2
		}
		return uint64(tries) //nolint:gosec // not negative
	}
	for _, n := range []uint64{
		t.inc, t.member, t.seq, t.want, t.floor, t.target, few(t.tries), t.sure, t.hole, t.top,
	} {
		number(n)
	}
	text(t.source)
	flags := 0
	for i, v := range []bool{
		t.visible, t.hasTarget, t.up, t.gapAt != 0, t.gapAt > at.Mono, t.retry > at.Mono,
		t.asked != 0 && t.asked+p.cfg.VectorEvery > at.Mono, !t.up &&
			t.downAt+p.cfg.ForgetAfter > at.Mono,
		t.pull != nil, t.check != nil, t.caught,
	} {
		if v {
			flags |= 1 << i
		}
	}
	number(uint64(flags)) //nolint:gosec // not negative
	records := func(all []*Record, wanted func(*Record) bool) {
		for _, r := range all {
			if wanted(r) {
				b = r.append(append(b, 1))
			}
		}
		b = append(b, 0)
	}
	records(t.log, func(r *Record) bool { return p.current(t, r) })
	number(uint64(len(t.buffer)))
	for _, u := range t.buffer {
		number(u.After)
		number(u.UpTo)
		records(u.Records, func(*Record) bool { return true })
	}
	if q := t.pull; q != nil {
		text(q.server)
		number(q.after)
		b = append(b, byte(cmp.Compare(q.due, at.Mono)))
		if q.check {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	if c := t.check; c != nil {
		number(c.bound)
		number(c.next)
		number(few(c.tries))
		b = append(b, byte(cmp.Compare(c.retry, at.Mono)))
		if c.asked {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	return b
}

func (r *Record) append(b []byte) []byte {
	var v Verdict
	if r.Verdict != nil {
		v = *r.Verdict
	}
	for _, s := range []string{r.Name, r.Node, string(r.Meta), v.Winner} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	for _, n := range []uint64{
		r.Seq, uint64(r.Time.Nanos), uint64(r.Time.Logical), //nolint:gosec // bits, not numbers
		uint64(r.Why), v.WinnerSeq, v.LostSeq,
		uint64(v.Time.Nanos), uint64(v.Time.Logical), //nolint:gosec // as above
	} {
		b = binary.AppendUvarint(b, n)
	}
	if r.Dead {
		return append(b, 1)
	}
	return append(b, 0)
}
