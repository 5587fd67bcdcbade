package wire

import (
	"math"

	"github.com/snowfence/snowfence/registry/internal/hlc"
	"github.com/snowfence/snowfence/registry/internal/replica"
)

// Decode decodes a frame. It refuses one of another version with a [*VersionError], and all others
// that [Append] would not have written within the limits with a [*SyntaxError]. So the messages can
// be given to a partition as they are, and encoding the frame again gives the same bytes.
//
// The frame shares no memory with b, nor do its records with one another, except the names of
// nodes: the package's doc says why.
func Decode(b []byte, l Limits) (*Frame, error) {
	d := decoder{cursor: cursor{b: b, at: place{item: -1, record: -1}}, limits: l.orDefault()}
	return d.frame()
}

type decoder struct {
	cursor
	limits Limits
}

func (d *decoder) frame() (*Frame, error) {
	if len(d.b) > d.limits.MaxFrame {
		return nil, d.syntax("frame", "%d bytes are more than %d", len(d.b), d.limits.MaxFrame)
	}
	version, err := d.byte("version")
	if err != nil {
		return nil, err
	}
	if version != Version {
		return nil, &VersionError{Got: version}
	}
	f := new(Frame)
	if f.From, err = d.node("sender", d.limits.MaxNode); err != nil {
		return nil, err
	}
	if f.Incarnation, err = d.incarnation(); err != nil {
		return nil, err
	}
	sent, err := d.uint64("time sent")
	if err != nil {
		return nil, err
	}
	f.Sent = int64(sent)
	n, err := d.uint16("items")
	if err != nil {
		return nil, err
	}
	if int(n) > d.rest()/minItem {
		return nil, d.syntaxAt(d.off-2, "items", "%d do not fit into the %d bytes that remain", n,
			d.rest())
	}
	if n > 0 {
		f.Items = make([]Item, n)
	}
	for i := range f.Items {
		d.at = place{item: i, record: -1}
		if err := d.item(&f.Items[i]); err != nil {
			return nil, err
		}
	}
	d.at = place{item: -1, record: -1}
	if d.rest() > 0 {
		return nil, d.syntax("frame", "%d bytes follow its last item", d.rest())
	}
	return f, nil
}

func (d *decoder) item(i *Item) error {
	start := d.off
	partition, err := d.uvarint("partition")
	if err != nil {
		return err
	}
	if partition >= uint64(d.limits.Partitions) {
		return d.syntaxAt(start, "partition", "%d is not within 0 to %d", partition,
			d.limits.Partitions-1)
	}
	i.Partition = int(partition)
	kind, err := d.byte("kind")
	if err != nil {
		return err
	}
	d.at.kind = replica.Kind(kind)
	switch d.at.kind {
	case replica.KindUpdate:
		i.Message, err = d.update()
	case replica.KindSummary:
		i.Message, err = d.summary()
	case replica.KindVector:
		i.Message, err = d.vector()
	case replica.KindPull:
		i.Message, err = d.pull()
	case replica.KindChunk:
		i.Message, err = d.chunk()
	case replica.KindCheck:
		i.Message, err = d.check()
	case replica.KindStanding:
		i.Message, err = d.standing()
	default:
		d.at.kind = 0
		err = d.syntaxAt(d.off-1, "kind", "%d is unknown", kind)
	}
	return err
}

func (d *decoder) update() (*replica.Update, error) {
	m := new(replica.Update)
	var err error
	if m.Origin, m.Incarnation, err = d.origin(); err != nil {
		return nil, err
	}
	if m.After, m.UpTo, err = d.span(); err != nil {
		return nil, err
	}
	m.Records, err = d.records(m.Origin, m.After, m.UpTo)
	return m, err
}

func (d *decoder) summary() (*replica.Summary, error) {
	root, err := d.uint64("root")
	return &replica.Summary{Root: root}, err
}

func (d *decoder) vector() (*replica.Vector, error) {
	m := new(replica.Vector)
	var err error
	if m.Reply, err = d.bool("reply"); err != nil {
		return nil, err
	}
	n, err := d.count("entries", minEntry)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		m.Entries = make([]replica.Entry, n)
	}
	before := ""
	for i := range m.Entries {
		d.at.list, d.at.record = "entry", i
		e := &m.Entries[i]
		start := d.off
		if e.Origin, e.Incarnation, err = d.origin(); err != nil {
			return nil, err
		}
		if e.Origin <= before {
			return nil, d.syntaxAt(start, "origin", "%q does not sort after %q", e.Origin, before)
		}
		before = e.Origin
		if e.Seq, err = d.uvarint("sequence number"); err != nil {
			return nil, err
		}
		if e.Visible, err = d.bool("visible"); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (d *decoder) pull() (*replica.Pull, error) {
	m := new(replica.Pull)
	var err error
	if m.Origin, m.Incarnation, err = d.origin(); err != nil {
		return nil, err
	}
	if m.After, err = d.uvarint("after"); err != nil {
		return nil, err
	}
	m.AtLeast, err = d.uvarint("at least")
	return m, err
}

func (d *decoder) chunk() (*replica.Chunk, error) {
	m := new(replica.Chunk)
	var err error
	if m.Origin, m.Incarnation, err = d.origin(); err != nil {
		return nil, err
	}
	if m.After, m.UpTo, err = d.span(); err != nil {
		return nil, err
	}
	if m.AsOf, err = d.beyond("as of", m.UpTo); err != nil {
		return nil, err
	}
	if m.Floor, err = d.uvarint("floor"); err != nil {
		return nil, err
	}
	m.Records, err = d.records(m.Origin, m.After, m.UpTo)
	return m, err
}

func (d *decoder) check() (*replica.Check, error) {
	m := new(replica.Check)
	var err error
	if m.Origin, m.Incarnation, err = d.origin(); err != nil {
		return nil, err
	}
	if m.After, err = d.uvarint("after"); err != nil {
		return nil, err
	}
	if m.AtLeast, err = d.uvarint("at least"); err != nil {
		return nil, err
	}
	n, err := d.count("blocks", minBlock)
	if err != nil || n == 0 {
		return m, err
	}
	m.Blocks = make([]replica.Block, n)
	before := m.After
	for i := range m.Blocks {
		d.at.list, d.at.record = "block", i
		b := &m.Blocks[i]
		if b.UpTo, err = d.end("end", before, math.MaxUint64); err != nil {
			return nil, err
		}
		if b.Digest, err = d.uint64("digest"); err != nil {
			return nil, err
		}
		before = b.UpTo
	}
	return m, nil
}

func (d *decoder) standing() (*replica.Standing, error) {
	m := new(replica.Standing)
	var err error
	if m.Origin, m.Incarnation, err = d.origin(); err != nil {
		return nil, err
	}
	if m.After, m.UpTo, err = d.span(); err != nil {
		return nil, err
	}
	if m.AsOf, err = d.beyond("as of", m.UpTo); err != nil {
		return nil, err
	}
	n, err := d.count("spans", minSpan)
	if err != nil || n == 0 {
		return m, err
	}
	m.Spans = make([]replica.Span, n)
	before := m.After
	for i := range m.Spans {
		d.at.list, d.at.record = "span", i
		s := &m.Spans[i]
		if s.After, err = d.beyond("start", before); err != nil {
			return nil, err
		}
		if s.UpTo, err = d.end("end", s.After, m.UpTo); err != nil {
			return nil, err
		}
		if s.Seqs, err = d.seqs(s.After, s.UpTo); err != nil {
			return nil, err
		}
		before = s.UpTo
	}
	return m, nil
}

// seqs reads rising numbers above after, up to upTo.
func (d *decoder) seqs(after, upTo uint64) ([]uint64, error) {
	n, err := d.count("sequence numbers", 1)
	if err != nil || n == 0 {
		return nil, err
	}
	seqs := make([]uint64, n)
	for i := range seqs {
		if after, err = d.end("sequence number", after, upTo); err != nil {
			return nil, err
		}
		seqs[i] = after
	}
	return seqs, nil
}

// end reads a number as its difference to before: at least one more, and at most most.
func (d *decoder) end(field string, before, most uint64) (uint64, error) {
	start := d.off
	more, err := d.uvarint(field)
	switch {
	case err != nil:
		return 0, err
	case more == 0 || before > most || more > most-before:
		return 0, d.syntaxAt(start, field, "%d after %d is not within it and %d", more, before, most)
	}
	return before + more, nil
}

// beyond reads a number as its difference to base, which may be 0.
func (d *decoder) beyond(field string, base uint64) (uint64, error) {
	start := d.off
	more, err := d.uvarint(field)
	if err == nil && more > math.MaxUint64-base {
		err = d.syntaxAt(start, field, "%d beyond %d exceed 64 bits", more, base)
	}
	return base + more, err
}

func (d *decoder) origin() (name string, incarnation uint64, err error) {
	if name, err = d.node("origin", d.limits.MaxNode); err != nil {
		return "", 0, err
	}
	incarnation, err = d.incarnation()
	return name, incarnation, err
}

func (d *decoder) incarnation() (uint64, error) {
	v, err := d.uint64("incarnation")
	if err == nil && v > d.limits.MaxIncarnation {
		err = d.syntaxAt(d.off-8, "incarnation", "%d is more than %d", v, d.limits.MaxIncarnation)
	}
	return v, err
}

func (d *decoder) span() (after, upTo uint64, err error) {
	if after, err = d.uvarint("after"); err != nil {
		return 0, 0, err
	}
	start := d.off
	length, err := d.uvarint("range")
	if err != nil {
		return 0, 0, err
	}
	if length > math.MaxUint64-after {
		return 0, 0, d.syntaxAt(start, "range", "%d after %d exceed 64 bits", length, after)
	}
	return after, after + length, nil
}

func (d *decoder) records(origin string, after, upTo uint64) ([]*replica.Record, error) {
	n, err := d.count("records", minRecord)
	if err != nil || n == 0 {
		return nil, err
	}
	records := make([]*replica.Record, n)
	d.at.list = "record"
	before := replica.Record{Seq: after}
	for i := range records {
		d.at.record = i
		r, err := d.record(origin, &before, upTo, i == 0)
		if err != nil {
			return nil, err
		}
		records[i] = r
		before.Seq, before.Time = r.Seq, r.Time
	}
	d.at.record = -1
	return records, nil
}

func (d *decoder) record(
	origin string, before *replica.Record, upTo uint64, first bool,
) (*replica.Record, error) {
	start := d.off
	head, err := d.byte("head")
	if err != nil {
		return nil, err
	}
	r := &replica.Record{Node: origin, Why: replica.Why(head >> headWhy)}
	r.Dead = r.Why != 0
	switch {
	case r.Why > lastWhy:
		return nil, d.syntaxAt(start, "reason", "%d does not travel in a tombstone", r.Why)
	case head&(1<<headWhy-1)&^headFlags != 0:
		return nil, d.syntaxAt(start, "head", "%#x has a flag that is unknown", head)
	case r.Dead && head&headMeta != 0:
		return nil, d.syntaxAt(start, "metadata", "a tombstone has none")
	}
	if r.Seq, err = d.seq(start, head, before.Seq, upTo); err != nil {
		return nil, err
	}
	if r.Time, err = d.time(head, before.Time, first); err != nil {
		return nil, err
	}
	name, err := d.bytes("name", d.limits.MaxName)
	if err != nil {
		return nil, err
	}
	r.Name = string(name)
	if head&headMeta != 0 {
		meta, err := d.bytes("metadata", d.limits.MaxMeta)
		if err != nil {
			return nil, err
		}
		r.Meta = make([]byte, len(meta)) // without the room to grow that bytes.Clone may leave
		copy(r.Meta, meta)
	}
	if r.Why != replica.WhyConflict {
		return r, nil
	}
	r.Verdict, err = d.verdict()
	return r, err
}

func (d *decoder) verdict() (*replica.Verdict, error) {
	v := new(replica.Verdict)
	var err error
	if v.Winner, err = d.node("winner", d.limits.MaxNode); err != nil {
		return nil, err
	}
	if v.WinnerSeq, err = d.uvarint("winner's sequence number"); err != nil {
		return nil, err
	}
	if v.LostSeq, err = d.uvarint("lost sequence number"); err != nil {
		return nil, err
	}
	nanos, err := d.uint64("winner's time")
	if err != nil {
		return nil, err
	}
	start := d.off
	logical, err := d.uvarint("winner's logical time")
	if err != nil {
		return nil, err
	}
	if logical > math.MaxUint32 {
		return nil, d.syntaxAt(start, "winner's logical time", "%d is not within 0 to %d", logical,
			uint32(math.MaxUint32))
	}
	v.Time = hlc.Timestamp{Nanos: int64(nanos), Logical: uint32(logical)}
	return v, nil
}

// seq reads a record's sequence number, which follows before; start is the offset of its head.
func (d *decoder) seq(start int, head byte, before, upTo uint64) (uint64, error) {
	room := upTo - before
	if head&headGap == 0 {
		if room < 1 {
			return 0, d.syntaxAt(start, "sequence number", "it would exceed %d, where the message ends",
				upTo)
		}
		return before + 1, nil
	}
	gap, err := d.uvarint("sequence number")
	if err != nil {
		return 0, err
	}
	if room < 2 || gap > room-2 {
		return 0, d.syntaxAt(start, "sequence number", "it would exceed %d, where the message ends", upTo)
	}
	return before + 2 + gap, nil
}

// time reads a timestamp: in full for the first record, otherwise as the difference to before.
func (d *decoder) time(head byte, before hlc.Timestamp, first bool) (t hlc.Timestamp, err error) {
	if first {
		nanos, err := d.uint64("time")
		if err != nil {
			return t, err
		}
		t.Nanos = int64(nanos)
	} else {
		delta, err := d.varint("time")
		if err != nil {
			return t, err
		}
		t.Nanos = before.Nanos + delta
	}
	if head&headLogical == 0 {
		return t, nil
	}
	start := d.off
	logical, err := d.uvarint("logical time")
	if err != nil {
		return t, err
	}
	if logical == 0 || logical > math.MaxUint32 {
		return t, d.syntaxAt(start, "logical time", "%d is not within 1 to %d", logical,
			uint32(math.MaxUint32))
	}
	t.Logical = uint32(logical)
	return t, nil
}
