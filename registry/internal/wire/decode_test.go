package wire_test

import (
	"encoding/binary"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/wire"
)

// TestTruncated checks that a truncated frame does not pass for another one, and that the error has
// the position of its end.
func TestTruncated(t *testing.T) {
	for name, f := range samples() {
		b := mustAppend(t, f)
		for n := range b {
			_, err := wire.Decode(slices.Clip(b[:n]), wire.Limits{})
			var syntax *wire.SyntaxError
			require.ErrorAs(t, err, &syntax, "%s cut to %d bytes", name, n)
			require.LessOrEqual(t, syntax.Offset, n)
			require.NotEmpty(t, syntax.Field)
		}
	}
}

// TestFlippedBits checks that a frame with a flipped bit is rejected, or decodes to another one
// that encodes to the same bytes: each message has one encoding.
func TestFlippedBits(t *testing.T) {
	for name, f := range samples() {
		b := mustAppend(t, f)
		for bit := range 8 * len(b) {
			b[bit/8] ^= 1 << (bit % 8)
			if got, err := wire.Decode(b, wire.Limits{}); err == nil {
				require.Equal(t, b, mustAppend(t, got), "%s, bit %d", name, bit)
				require.NotEqual(t, f, got, "%s, bit %d", name, bit)
			}
			b[bit/8] ^= 1 << (bit % 8)
		}
	}
}

func TestTrailingBytes(t *testing.T) {
	for name, f := range samples() {
		b := append(mustAppend(t, f), 0)
		_, err := wire.Decode(b, wire.Limits{})
		require.ErrorContains(t, err, "1 bytes follow its last item", name)
	}
}

func TestUnknownVersion(t *testing.T) {
	for _, got := range []byte{0, wire.Version + 1, 255} {
		_, err := wire.Decode([]byte{got, 1, 2, 3}, wire.Limits{})
		var version *wire.VersionError
		require.ErrorAs(t, err, &version)
		require.Equal(t, got, version.Got)
	}
	require.EqualError(t, &wire.VersionError{Got: 1},
		"wire: frame is of format version 1, this node reads version 2")
}

// A raw frame is assembled byte by byte, to have content that Append never writes.
type raw []byte

func header(items int) raw {
	b := raw{wire.Version, 1, 'n'}
	b = append(b, make([]byte, 16)...)
	return binary.BigEndian.AppendUint16(b, uint16(items))
}

func (r raw) bytes(b ...byte) raw  { return append(r, b...) }
func (r raw) uvarint(v uint64) raw { return binary.AppendUvarint(r, v) }
func (r raw) zeros(n int) raw      { return append(r, make([]byte, n)...) }
func (r raw) origin(name string) raw {
	return append(append(r, byte(len(name))), name...).zeros(8)
}
func (r raw) kind(k replica.Kind) raw { return r.bytes(0, byte(k)) } // of partition 0

// update begins an update of one item with n records after 10 up to 20.
func update(n uint64) raw {
	return header(1).kind(replica.KindUpdate).origin("n").uvarint(10).uvarint(10).uvarint(n)
}

// first appends a whole record, as the first of a list.
func (r raw) first() raw { return r.bytes(0).zeros(8).bytes(1, 'x') }

func TestRefused(t *testing.T) {
	long := strings.Repeat("x", wire.MaxName+1)
	tests := []struct {
		name   string
		frame  raw
		offset int // of the fault; -1: at the end of the frame
		want   string
	}{
		{"no sender", raw{wire.Version, 0}, 1, "sender: it is empty"},
		{"sender cut off", raw{wire.Version, 9, 'n'}, 1,
			"sender: 9 bytes do not fit into the 1 that remain"},
		{"more items than bytes", header(2).zeros(7), 19,
			"items: 2 do not fit into the 7 bytes that remain"},
		{"partition too high", header(1).uvarint(wire.MaxPartitions).zeros(4), 21,
			"item 0: partition: 65536 is not within 0 to 65535"},
		{"partition beyond 64 bits",
			header(1).bytes(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2), 21,
			"item 0: partition: the number exceeds 64 bits"},
		{"number in a long form", header(1).bytes(0x80, 0, 0, 0), 21,
			"item 0: partition: the number is not in its shortest form"},
		{"kind 0", header(1).kind(0).zeros(8), 22, "item 0: kind: 0 is unknown"},
		{"kind 8", header(1).kind(8).zeros(8), 22, "item 0: kind: 8 is unknown"},
		{"no origin", header(1).kind(replica.KindPull).zeros(20), 23,
			"item 0: pull: origin: it is empty"},
		{"incarnation beyond time", header(1).kind(replica.KindPull).bytes(1, 'n', 0x80).zeros(20), 25,
			"item 0: pull: incarnation: 9223372036854775808 is more than 9223372036854775807"},
		{"second item", header(2).kind(replica.KindSummary).zeros(8).kind(replica.KindPull).zeros(20), 33,
			"item 1: pull: origin: it is empty"},
		{"range beyond 64 bits", header(1).kind(replica.KindUpdate).origin("n").uvarint(2).uvarint(
			math.MaxUint64 - 1).zeros(9), 34,
			"item 0: update: range: 18446744073709551614 after 2 exceed 64 bits"},
		{"more records than bytes", update(3).zeros(11), 35,
			"item 0: update: records: 3 do not fit into the 11 bytes that remain"},
		{"records beyond an int", update(math.MaxUint64).zeros(100), 35,
			"item 0: update: records: 18446744073709551615 do not fit"},
		{"unknown flag", update(1).bytes(8).zeros(20), 36,
			"item 0: update: record 0: head: 0x8 has a flag that is unknown"},
		{"reason that does not travel", update(1).bytes(5 << 4).zeros(20), 36,
			"item 0: update: record 0: reason: 5 does not travel in a tombstone"},
		{"tombstone with metadata", update(1).bytes(1<<4 | 4).zeros(20), 36,
			"item 0: update: record 0: metadata: a tombstone has none"},
		{"gap beyond the range", update(1).bytes(1).uvarint(9).zeros(20), 36,
			"item 0: update: record 0: sequence number: it would exceed 20"},
		{"gap beyond 64 bits", update(1).bytes(1).uvarint(math.MaxUint64).zeros(20), 36,
			"item 0: update: record 0: sequence number: it would exceed 20"},
		{"more records than numbers",
			header(1).kind(replica.KindUpdate).origin("n").uvarint(10).uvarint(1).uvarint(2).first().bytes(0,
				0, 1, 'y'), 47, "item 0: update: record 1: sequence number: it would exceed 11"},
		{"logical flag without need", update(1).bytes(2).zeros(20), 45,
			"item 0: update: record 0: logical time: 0 is not within 1 to 4294967295"},
		{"logical beyond 32 bits", update(1).bytes(2).zeros(8).uvarint(1 << 32).zeros(9), 45,
			"item 0: update: record 0: logical time: 4294967296 is not within 1 to 4294967295"},
		{"empty name", update(1).bytes(0).zeros(20), 45, "item 0: update: record 0: name: it is empty"},
		{"name too long", update(1).bytes(0).zeros(8).uvarint(wire.MaxName + 1).bytes([]byte(long)...),
			45, "item 0: update: record 0: name: 65536 bytes are more than 65535"},
		{"name cut off", update(1).bytes(0).zeros(8).bytes(3, 'x', 'y'), 45,
			"item 0: update: record 0: name: 3 bytes do not fit into the 2 that remain"},
		{"empty metadata", update(1).bytes(4).zeros(8).bytes(1, 'x', 0), 47,
			"item 0: update: record 0: metadata: it is empty"},
		{"no winner", update(1).bytes(3<<4).zeros(8).bytes(1, 'x', 0, 0, 0), 47,
			"item 0: update: record 0: winner: it is empty"},
		{"no winner's number", update(1).bytes(3<<4).zeros(8).bytes(1, 'x', 1, 'w'), -1,
			"item 0: update: record 0: winner's sequence number: the frame ends in it"},
		{"second record cut off", update(2).first().bytes(0, 0, 2, 'y'), 49,
			"item 0: update: record 1: name: 2 bytes do not fit into the 1 that remain"},
		{"more entries than bytes", header(1).kind(replica.KindVector).bytes(0, 2).zeros(23), 24,
			"item 0: vector: entries: 2 do not fit into the 23 bytes that remain"},
		{"entries out of order", header(1).kind(replica.KindVector).bytes(0, 2).origin("b").bytes(0,
			0).origin("a").bytes(0, 0), 37, `item 0: vector: entry 1: origin: "a" does not sort after "b"`},
		{"entry twice", header(1).kind(replica.KindVector).bytes(0, 2).origin("b").bytes(0,
			0).origin("b").bytes(0, 0), 37, `item 0: vector: entry 1: origin: "b" does not sort after "b"`},
		{"reply neither yes nor no", header(1).kind(replica.KindVector).bytes(2, 0), 23,
			"item 0: vector: reply: 2 is neither 0 nor 1"},
		{"as of beyond 64 bits", header(1).kind(replica.KindChunk).origin("n").uvarint(1).bytes(
			0).uvarint(math.MaxUint64).bytes(0, 0), 35,
			"item 0: chunk: as of: 18446744073709551615 beyond 1 exceed 64 bits"},
		{"an empty block", header(1).kind(replica.KindCheck).origin("n").bytes(5, 0, 1, 0).zeros(8), 36,
			"item 0: check: block 0: end: 0 after 5 is not within it and 18446744073709551615"},
		{"more blocks than bytes", header(1).kind(replica.KindCheck).origin("n").bytes(5, 0, 2,
			1).zeros(8), 35, "item 0: check: blocks: 2 do not fit into the 9 bytes that remain"},
		{"a span beyond the range", header(1).kind(replica.KindStanding).origin("n").bytes(5, 4, 0, 1, 2,
			3, 0), 38, "item 0: standing: span 0: end: 3 after 7 is not within it and 9"},
		{"a span that begins beyond the range",
			header(1).kind(replica.KindStanding).origin("n").bytes(5, 4, 0, 1, 5, 3, 0), 38,
			"item 0: standing: span 0: end: 3 after 10 is not within it and 9"},
		{"a number twice", header(1).kind(replica.KindStanding).origin("n").bytes(5, 4, 0, 1, 1, 3, 2, 1,
			0), 41, "item 0: standing: span 0: sequence number: 0 after 7 is not within it and 9"},
		{"more numbers than bytes", header(1).kind(replica.KindStanding).origin("n").bytes(5, 4, 0, 1, 1,
			3, 2, 1), 39, "item 0: standing: span 0: sequence numbers: 2 do not fit into the 1 bytes that " +
			"remain"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := wire.Decode(tt.frame, wire.Limits{})
			require.Nil(t, f)
			var syntax *wire.SyntaxError
			require.ErrorAs(t, err, &syntax)
			require.ErrorContains(t, err, tt.want)
			if tt.offset < 0 {
				tt.offset = len(tt.frame)
			}
			require.Equal(t, tt.offset, syntax.Offset)
		})
	}
	// The pieces above make a valid frame if none of them is invalid.
	_, err := wire.Decode(update(2).first().bytes(0, 0, 1, 'y'), wire.Limits{})
	require.NoError(t, err)
}

func TestLimits(t *testing.T) {
	record := &replica.Record{Name: "name", Node: "node", Seq: 1, Meta: []byte("meta")}
	frame := &wire.Frame{From: "node", Incarnation: 7,
		Items: []wire.Item{{Partition: 15,
			Message: &replica.Update{Origin: "node", UpTo: 1, Records: []*replica.Record{record}}}}}
	b := mustAppend(t, frame)
	fits := wire.Limits{Partitions: 16, MaxName: 4, MaxMeta: 4, MaxNode: 4, MaxIncarnation: 7,
		MaxFrame: len(b)}
	_, err := wire.Decode(b, fits)
	require.NoError(t, err)

	for _, tt := range []struct {
		want string
		tell func(*wire.Limits)
	}{
		{"partition: 15 is not within 0 to 14", func(l *wire.Limits) { l.Partitions-- }},
		{"name: 4 bytes are more than 3", func(l *wire.Limits) { l.MaxName-- }},
		{"metadata: 4 bytes are more than 3", func(l *wire.Limits) { l.MaxMeta-- }},
		{"sender: 4 bytes are more than 3", func(l *wire.Limits) { l.MaxNode-- }},
		{"incarnation: 7 is more than 6", func(l *wire.Limits) { l.MaxIncarnation-- }},
		{"frame: 61 bytes are more than 60", func(l *wire.Limits) { l.MaxFrame-- }},
	} {
		l := fits
		tt.tell(&l)
		_, err := wire.Decode(b, l)
		require.ErrorContains(t, err, tt.want)
	}

	_, err = wire.Decode(make([]byte, wire.DefaultMaxFrame+1), wire.Limits{})
	require.ErrorContains(t, err, "frame: 1048577 bytes are more than 1048576")
}

// TestLargest checks that values just within the format's bounds are accepted.
func TestLargest(t *testing.T) {
	name, meta := strings.Repeat("n", wire.MaxName), slices.Repeat([]byte{7}, wire.MaxMeta)
	node := strings.Repeat("o", wire.MaxNode)
	f := &wire.Frame{From: node, Items: []wire.Item{{Partition: wire.MaxPartitions - 1,
		Message: &replica.Update{
			Origin: node, After: math.MaxUint64 - 1, UpTo: math.MaxUint64,
			Records: []*replica.Record{{Name: name, Node: node, Seq: math.MaxUint64, Meta: meta}},
		}}}}
	got, err := wire.Decode(mustAppend(t, f), wire.Limits{})
	require.NoError(t, err)
	require.Equal(t, f, got)

	f.Items = slices.Repeat([]wire.Item{{Message: &replica.Summary{}}}, wire.MaxItems)
	got, err = wire.Decode(mustAppend(t, f), wire.Limits{})
	require.NoError(t, err)
	require.Equal(t, f, got)
}

// TestInvalid checks that Append rejects what Decode would not accept, and leaves dst unchanged.
func TestInvalid(t *testing.T) {
	valid := func() *replica.Record { return &replica.Record{Name: "x", Node: "n", Seq: 11} }
	with := func(change func(*replica.Record)) replica.Message {
		r := valid()
		change(r)
		return &replica.Update{Origin: "n", After: 10, UpTo: 20, Records: []*replica.Record{r}}
	}
	tests := []struct {
		want    string
		message replica.Message
	}{
		{"message: <nil> is none", nil},
		{"pull: origin: it is empty", &replica.Pull{}},
		{"pull: origin: 256 bytes are more than 255", &replica.Pull{Origin: strings.Repeat("n", 256)}},
		{"chunk: range: it ends at 1, before its start at 2",
			&replica.Chunk{Origin: "n", After: 2, UpTo: 1}},
		{"chunk: as of: 3 is before the range ends, at 4", &replica.Chunk{Origin: "n", UpTo: 4, AsOf: 3}},
		{"check: block 1: end: 4 is not after 4",
			&replica.Check{Origin: "n", Blocks: []replica.Block{{UpTo: 4}, {UpTo: 4}}}},
		{"standing: as of: 3 is before the range ends, at 4",
			&replica.Standing{Origin: "n", UpTo: 4, AsOf: 3}},
		{"standing: span 1: start: 3 is before 4",
			&replica.Standing{Origin: "n", UpTo: 9, AsOf: 9,
				Spans: []replica.Span{{UpTo: 4}, {After: 3, UpTo: 9}}}},
		{"standing: span 0: end: 10 is not after 2 and up to 9",
			&replica.Standing{Origin: "n", UpTo: 9, AsOf: 9, Spans: []replica.Span{{After: 2, UpTo: 10}}}},
		{"standing: span 0: sequence number: 5 is not after 5 and up to 8",
			&replica.Standing{Origin: "n", UpTo: 9, AsOf: 9,
				Spans: []replica.Span{{After: 2, UpTo: 8, Seqs: []uint64{5, 5}}}}},
		{"vector: entry 0: origin: it is empty", &replica.Vector{Entries: []replica.Entry{{}}}},
		{`vector: entry 1: origin: "a" does not sort after "a"`,
			&replica.Vector{Entries: []replica.Entry{{Origin: "a"}, {Origin: "a"}}}},
		{"update: record 0: record: it is nil",
			&replica.Update{Origin: "n", Records: []*replica.Record{nil}}},
		{`update: record 0: node: "m" is not the message's origin "n"`,
			with(func(r *replica.Record) { r.Node = "m" })},
		{"update: record 0: sequence number: 10 is not after 10 and up to 20",
			with(func(r *replica.Record) { r.Seq = 10 })},
		{"update: record 0: sequence number: 21 is not after 10 and up to 20",
			with(func(r *replica.Record) { r.Seq = 21 })},
		{"update: record 1: sequence number: 11 is not after 11 and up to 20",
			&replica.Update{Origin: "n", After: 10, UpTo: 20, Records: []*replica.Record{valid(), valid()}}},
		{"update: record 0: name: it is empty", with(func(r *replica.Record) { r.Name = "" })},
		{"update: record 0: name: 65536 bytes are more than 65535",
			with(func(r *replica.Record) { r.Name = strings.Repeat("x", 65536) })},
		{"update: record 0: metadata: 65536 bytes are more than 65535",
			with(func(r *replica.Record) { r.Meta = make([]byte, 65536) })},
		{"update: record 0: reason: 0 (unknown reason) does not travel in a tombstone",
			with(func(r *replica.Record) { r.Dead = true })},
		{"update: record 0: reason: 5 (node down) does not travel in a tombstone",
			with(func(r *replica.Record) { r.Dead, r.Why = true, replica.WhyNodeDown })},
		{"update: record 0: metadata: a tombstone has none",
			with(func(r *replica.Record) { r.Dead, r.Why, r.Meta = true, replica.WhyEnded, []byte{1} })},
		{"update: record 0: reason: the record is alive",
			with(func(r *replica.Record) { r.Why = replica.WhyEnded })},
		{"update: record 0: verdict: the record lost no conflict",
			with(func(r *replica.Record) { r.Verdict = new(replica.Verdict) })},
		{"update: record 0: verdict: it is missing",
			with(func(r *replica.Record) { r.Dead, r.Why = true, replica.WhyConflict })},
		{"update: record 0: winner: it is empty", with(func(r *replica.Record) {
			r.Dead, r.Why, r.Verdict = true, replica.WhyConflict, new(replica.Verdict)
		})},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			b, err := wire.Append([]byte("before"),
				&wire.Frame{From: "n", Items: []wire.Item{{Message: tt.message}}})
			require.Equal(t, "before", string(b))
			var invalid *wire.InvalidError
			require.ErrorAs(t, err, &invalid)
			require.EqualError(t, err, "wire: can't encode item 0: "+tt.want)
		})
	}

	_, err := wire.Append(nil, &wire.Frame{})
	require.EqualError(t, err, "wire: can't encode sender: it is empty")
	_, err = wire.Append(nil, &wire.Frame{From: "n", Items: make([]wire.Item, wire.MaxItems+1)})
	require.EqualError(t, err, "wire: can't encode items: 65536 are more than 65535")
	_, err = wire.Append(nil, &wire.Frame{From: "n", Incarnation: wire.MaxIncarnation + 1})
	require.EqualError(t, err, "wire: can't encode incarnation: 9223372036854775808 is more than "+
		"9223372036854775807")
	for _, partition := range []int{-1, wire.MaxPartitions} {
		_, err = wire.Append(nil, &wire.Frame{From: "n",
			Items: []wire.Item{{Partition: partition, Message: &replica.Summary{}}}})
		require.ErrorContains(t, err, "item 0: partition: ")
	}
}

// TestAllocations checks that a length or a count costs no memory before it is checked, and that
// the memory that Decode allocates is at most proportional to the size of the frame.
func TestAllocations(t *testing.T) {
	lies := map[string]raw{
		"items":    header(wire.MaxItems).zeros(100),
		"records":  update(1 << 40).zeros(100),
		"entries":  header(1).kind(replica.KindVector).bytes(0).uvarint(1 << 40).zeros(100),
		"name":     update(1).bytes(0).zeros(8).uvarint(1 << 60).zeros(100),
		"metadata": update(1).bytes(4).zeros(8).bytes(1, 'x').uvarint(wire.MaxMeta).zeros(100),
	}
	for name, b := range lies {
		size := cost(b)
		require.Less(t, size, uint64(2048), name)
	}

	// The most expensive frames have as many of the smallest elements as fit.
	const n = 50_000
	records := header(1).kind(replica.KindUpdate).origin("n").uvarint(0).uvarint(n).uvarint(n).first()
	for range n - 1 {
		records = records.bytes(0, 0, 1, 'x')
	}
	items := header(n)
	for range n {
		items = items.kind(replica.KindVector).bytes(0, 0)
	}
	half := update(n).first() // fails late: the list is there, but not the records
	half = half.bytes(0xff).zeros(4 * n)
	for _, b := range []raw{records, items} {
		_, err := wire.Decode(b, wire.Limits{})
		require.NoError(t, err, "the smallest elements are accepted")
	}
	for name, b := range map[string]raw{"records": records, "items": items, "half": half} {
		size := cost(b)
		t.Logf("%s: %d bytes of frame, %d allocated: %.1f for one", name, len(b), size,
			float64(size)/float64(len(b)))
		require.Less(t, size, uint64(40*len(b)), name)
	}

	b := mustAppend(t, bigChunk(4000))
	allocs := testing.AllocsPerRun(10, func() {
		if _, err := wire.Decode(b, wire.Limits{}); err != nil {
			t.Error(err)
		}
	})
	require.LessOrEqual(t, allocs, 3*4000+10.0, "record, name and metadata")

	f, dst := bigChunk(4000), make([]byte, 0, len(b))
	require.Zero(t, testing.AllocsPerRun(10, func() {
		if _, err := wire.Append(dst, f); err != nil {
			t.Error(err)
		}
	}))
}

// cost returns the number of bytes that decoding b allocates, whether it succeeds or not.
func cost(b []byte) uint64 {
	least := uint64(math.MaxUint64)
	for range 5 { // allocations elsewhere in the process count, too
		least = min(least, costOnce(b))
	}
	return least
}

func costOnce(b []byte) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := wire.Decode(b, wire.Limits{})
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(f)
	runtime.KeepAlive(err)
	return after.TotalAlloc - before.TotalAlloc
}

// TestNoPinning checks that a record keeps neither the frame nor its neighbours in memory.
func TestNoPinning(t *testing.T) {
	const frames, records = 50, 4000
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	b := mustAppend(t, bigChunk(records))
	before := heap()
	kept := make([]*replica.Record, 0, frames)
	for range frames {
		f, err := wire.Decode(b, wire.Limits{})
		require.NoError(t, err)
		chunk, ok := f.Items[0].Message.(*replica.Chunk)
		require.True(t, ok)
		kept = append(kept, chunk.Records[records/2])
	}
	grown := int64(heap()) - int64(before)
	require.Less(t, grown, int64(frames*len(b)/4), "%d records of %d frames of %d bytes", len(kept),
		frames, len(b))
	runtime.KeepAlive(kept)
	runtime.KeepAlive(b)
}

// TestErrorsAs finds each error by its type.
func TestErrorsAs(t *testing.T) {
	_, err := wire.Decode(nil, wire.Limits{})
	require.EqualError(t, err, "wire: at byte 0: version: the frame ends in it")
	var version *wire.VersionError
	require.NotErrorAs(t, err, &version)
}
