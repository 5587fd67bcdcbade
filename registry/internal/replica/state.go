package replica

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/snowfence/snowfence/registry/internal/hlc"
)

// Clone returns an independent copy, with a clock and a Publish of its own. It is for tools that try what
// would happen, such as the explorer. What Take would return is not copied.
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
	if t.snap != nil {
		s := *t.snap
		s.seen = maps.Clone(t.snap.seen)
		c.snap = &s
	}
	return &c
}

// AppendState appends all that decides how the partition behaves from now on, in a form
// in which equal states are equal bytes. Deadlines count from at; statistics and the random source
// are left out.
func (p *Partition) AppendState(b []byte, at At) []byte {
	deadline := func(b []byte, d time.Duration) []byte { return binary.AppendVarint(b, int64(max(0, d-at.Mono))) }
	text := func(b []byte, s string) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	flag := func(b []byte, v bool) []byte {
		if v {
			return append(b, 1)
		}
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, p.flushed)
	b = deadline(b, p.summaryAt)
	b = deadline(b, p.refuteAt)
	b = binary.AppendVarint(b, int64(p.refuteGap))
	for _, node := range p.order {
		t := p.tables[node]
		b = text(b, node)
		for _, n := range []uint64{t.inc, t.member, t.seq, t.want, t.floor, t.target, uint64(t.tries), uint64(t.asks)} {
			b = binary.AppendUvarint(b, n)
		}
		b = flag(flag(flag(b, t.visible), t.aimed), t.up)
		b = text(b, t.source)
		for _, d := range []time.Duration{t.gapAt, t.retry, t.asked + p.cfg.VectorEvery, t.downAt + p.cfg.ForgetAfter} {
			b = deadline(b, d)
		}
		for _, r := range t.log {
			if p.current(t, r) {
				b = r.append(b)
			}
		}
		b = append(b, 0xff)
		for _, u := range t.buffer {
			b = binary.AppendUvarint(binary.AppendUvarint(b, u.After), u.UpTo)
			for _, r := range u.Records {
				b = r.append(b)
			}
		}
		b = append(b, 0xff)
		if q := t.pull; q != nil {
			b = text(b, q.server)
			b = deadline(binary.AppendUvarint(binary.AppendUvarint(b, q.after), q.start), q.due)
		}
		b = append(b, 0xff)
		if s := t.snap; s != nil {
			b = text(b, s.server)
			b = binary.AppendUvarint(binary.AppendUvarint(b, s.start), s.next)
			for _, seq := range slices.Sorted(maps.Keys(s.seen)) {
				b = binary.AppendUvarint(b, seq)
			}
		}
		b = append(b, 0xff)
	}
	for _, name := range slices.Sorted(maps.Keys(p.withdrawn)) {
		b = text(b, name)
		l := p.withdrawn[name]
		b = l.Winner.append(l.Own.append(b))
	}
	return b
}

func (r *Record) append(b []byte) []byte {
	for _, s := range []string{r.Name, r.Node, string(r.Meta), r.Winner} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	for _, n := range []uint64{r.Seq, uint64(r.Time.Nanos), uint64(r.Time.Logical), uint64(r.Why), r.WinnerSeq, r.LostSeq} { //nolint:gosec // bits, not numbers
		b = binary.AppendUvarint(b, n)
	}
	if r.Dead {
		b = append(b, 1)
	}
	return b
}
