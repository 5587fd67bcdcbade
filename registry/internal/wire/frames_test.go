package wire_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/snowfence/snowfence/registry/internal/hlc"
	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/wire"
)

// drawFrame draws any frame that the format can express.
func drawFrame(t *rapid.T) *wire.Frame {
	f := &wire.Frame{
		From:        node().Draw(t, "from"),
		Incarnation: rapid.Uint64Max(wire.MaxIncarnation).Draw(t, "incarnation"),
		Sent:        rapid.Int64().Draw(t, "sent"),
	}
	for range rapid.IntRange(0, 6).Draw(t, "items") {
		f.Items = append(f.Items, wire.Item{
			Partition: rapid.IntRange(0, wire.MaxPartitions-1).Draw(t, "partition"),
			Message:   drawMessage(t),
		})
	}
	return f
}

func drawMessage(t *rapid.T) replica.Message {
	origin := node().Draw(t, "origin")
	incarnation := rapid.Uint64Max(wire.MaxIncarnation).Draw(t, "incarnation")
	switch kind := replica.Kind(rapid.IntRange(1, 7).Draw(t, "kind")); kind {
	case replica.KindUpdate:
		m := &replica.Update{Origin: origin, Incarnation: incarnation}
		m.After, m.UpTo, m.Records = drawRecords(t, origin)
		return m
	case replica.KindSummary:
		return &replica.Summary{Root: rapid.Uint64().Draw(t, "root")}
	case replica.KindVector:
		m := &replica.Vector{Reply: rapid.Bool().Draw(t, "reply")}
		for _, origin := range rapid.SliceOfDistinct(node(), rapid.ID[string]).Draw(t, "origins") {
			m.Entries = append(m.Entries, replica.Entry{
				Origin:      origin,
				Incarnation: rapid.Uint64Max(wire.MaxIncarnation).Draw(t, "incarnation"),
				Seq:         rapid.Uint64().Draw(t, "seq"),
				Visible:     rapid.Bool().Draw(t, "visible"),
			})
		}
		slices.SortFunc(m.Entries, func(a, b replica.Entry) int {
			return cmp.Compare(a.Origin, b.Origin)
		})
		return m
	case replica.KindPull:
		return &replica.Pull{
			Origin: origin, Incarnation: incarnation,
			After:   rapid.Uint64().Draw(t, "after"),
			AtLeast: rapid.Uint64().Draw(t, "at least"),
		}
	case replica.KindChunk:
		m := &replica.Chunk{
			Origin: origin, Incarnation: incarnation,
			Floor: rapid.Uint64().Draw(t, "floor"),
		}
		m.After, m.UpTo, m.Records = drawRecords(t, origin)
		m.AsOf = rapid.Uint64Range(m.UpTo, math.MaxUint64).Draw(t, "as of")
		return m
	case replica.KindCheck:
		m := &replica.Check{Origin: origin, Incarnation: incarnation}
		m.AtLeast = rapid.Uint64().Draw(t, "at least")
		ends := drawNumbers(t)
		m.After = ends[0]
		for _, end := range ends[1:] {
			b := replica.Block{UpTo: end, Digest: rapid.Uint64().Draw(t, "digest")}
			m.Blocks = append(m.Blocks, b)
		}
		return m
	case replica.KindStanding:
		m := &replica.Standing{Origin: origin, Incarnation: incarnation}
		numbers := drawNumbers(t)
		m.After = numbers[0]
		for rest := numbers; len(rest) > 1; {
			n := rapid.IntRange(2, len(rest)).Draw(t, "span")
			span := replica.Span{After: rest[0], UpTo: rest[n-1]}
			if rapid.Bool().Draw(t, "any stands") {
				span.Seqs = rest[1:n:n]
			}
			m.Spans = append(m.Spans, span)
			rest = rest[n-1+rapid.IntRange(0, min(1, len(rest)-n)).Draw(t, "skip"):]
		}
		m.UpTo = rapid.Uint64Range(numbers[len(numbers)-1], math.MaxUint64).Draw(t, "up to")
		m.AsOf = rapid.Uint64Range(m.UpTo, math.MaxUint64).Draw(t, "as of")
		return m
	default:
		panic(kind)
	}
}

// drawNumbers draws one or more increasing numbers.
func drawNumbers(t *rapid.T) []uint64 {
	n := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 300))
	numbers := rapid.SliceOfNDistinct(n, 1, 12, rapid.ID[uint64]).Draw(t, "numbers")
	slices.Sort(numbers)
	return numbers
}

// drawRecords draws a range and records within it, up to the limits of 64 bits.
func drawRecords(t *rapid.T, origin string) (after, upTo uint64, records []*replica.Record) {
	after = rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 300)).Draw(t, "after")
	seq := after
	for range rapid.IntRange(0, 8).Draw(t, "records") {
		step := rapid.OneOf(rapid.Uint64Range(1, 3), rapid.Uint64Range(1, math.MaxUint64)).Draw(t, "step")
		if step > math.MaxUint64-seq {
			break
		}
		seq += step
		name := rapid.StringN(1, 40, 200).Draw(t, "name")
		records = append(records, drawRecord(t, origin, name, seq))
	}
	upTo = seq
	if rapid.Bool().Draw(t, "beyond the last record") {
		upTo = rapid.Uint64Range(seq, math.MaxUint64).Draw(t, "up to")
	}
	return after, upTo, records
}

func drawRecord(t *rapid.T, origin, name string, seq uint64) *replica.Record {
	r := &replica.Record{
		Name: name,
		Node: origin,
		Seq:  seq,
		Time: hlc.Timestamp{
			Nanos:   rapid.OneOf(rapid.Int64(), rapid.Int64Range(1e18, 1e18+100)).Draw(t, "nanos"),
			Logical: rapid.OneOf(rapid.Just(uint32(0)), rapid.Uint32()).Draw(t, "logical"),
		},
	}
	if rapid.Bool().Draw(t, "alive") {
		if meta := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "meta"); len(meta) > 0 {
			r.Meta = meta
		}
		return r
	}
	r.Dead = true
	r.Why = replica.Why(rapid.IntRange(int(replica.WhyReleased), int(replica.WhyClosed)).Draw(t,
		"why"))
	if r.Why == replica.WhyConflict {
		r.Verdict = &replica.Verdict{
			Winner:    node().Draw(t, "winner"),
			WinnerSeq: rapid.Uint64().Draw(t, "winner's seq"),
			LostSeq:   rapid.Uint64().Draw(t, "lost seq"),
			Time: hlc.Timestamp{Nanos: rapid.Int64().Draw(t, "winner's time"),
				Logical: rapid.Uint32().Draw(t, "winner's logical time")},
		}
	}
	return r
}

func node() *rapid.Generator[string] {
	return rapid.OneOf(rapid.SampledFrom([]string{"a", "b", "node-1", "node-2"}),
		rapid.StringN(1, 60, wire.MaxNode))
}

// noon is the time of the samples: 2026-03-01 12:00:00 UTC.
const noon = 1772366400_000000000

func at(d time.Duration) hlc.Timestamp { return hlc.Timestamp{Nanos: noon + int64(d)} }

// samples returns one frame of each kind and one of all, as a cluster would send them.
func samples() map[string]*wire.Frame {
	const inc = noon - int64(time.Hour)
	frame := func(m ...replica.Message) *wire.Frame {
		f := &wire.Frame{From: "node-1", Incarnation: uint64(inc), Sent: noon + int64(time.Second)}
		for i, m := range m {
			f.Items = append(f.Items, wire.Item{Partition: 100 * i, Message: m})
		}
		return f
	}
	update := &replica.Update{Origin: "node-1", Incarnation: uint64(inc), After: 41, UpTo: 50,
		Records: []*replica.Record{
			{Name: "user:1001", Node: "node-1", Seq: 42, Time: at(0)},
			{Name: "user:1002", Node: "node-1", Seq: 43, Time: at(1500 * time.Nanosecond),
				Meta: []byte("10.0.0.1:8080")},
			{Name: "user:1003", Node: "node-1", Seq: 46,
				Time: hlc.Timestamp{Nanos: noon + 1500, Logical: 7}},
			{Name: "user:1004", Node: "node-1", Seq: 48, Time: at(-time.Minute), Dead: true,
				Why: replica.WhyReleased},
			{Name: "user:1005", Node: "node-1", Seq: 50, Time: at(-time.Hour), Dead: true,
				Why: replica.WhyConflict, Verdict: &replica.Verdict{Winner: "node-2", WinnerSeq: 9000,
					LostSeq: 12, Time: at(time.Second)}},
		}}
	summary := &replica.Summary{Root: 0x0123456789abcdef}
	vector := &replica.Vector{Reply: true, Entries: []replica.Entry{
		{Origin: "node-1", Incarnation: uint64(inc), Seq: 50, Visible: true},
		{Origin: "node-2", Incarnation: uint64(inc) + 1, Seq: 9000},
	}}
	pull := &replica.Pull{Origin: "node-2", Incarnation: uint64(inc) + 1, After: 300, AtLeast: 9000}
	chunk := &replica.Chunk{Origin: "node-2", Incarnation: uint64(inc) + 1, After: 300, UpTo: 700,
		AsOf: 9000, Floor: 650, Records: []*replica.Record{
			{Name: "α", Node: "node-2", Seq: 500, Time: at(0), Meta: []byte{0, 0xff}},
			{Name: "user:1002", Node: "node-2", Seq: 699, Time: at(time.Millisecond), Dead: true,
				Why: replica.WhyEnded},
			{Name: "user:1005", Node: "node-2", Seq: 700, Time: at(time.Millisecond), Dead: true,
				Why: replica.WhyClosed},
		}}
	check := &replica.Check{Origin: "node-2", Incarnation: uint64(inc) + 1, After: 300, AtLeast: 650,
		Blocks: []replica.Block{
			{UpTo: 500, Digest: 0x0123456789abcdef}, {UpTo: 650, Digest: 7},
		}}
	standing := &replica.Standing{Origin: "node-2", Incarnation: uint64(inc) + 1, After: 300,
		UpTo: 650, AsOf: 9000, Spans: []replica.Span{
			{After: 300, UpTo: 500, Seqs: []uint64{301, 499}}, {After: 600, UpTo: 650},
		}}
	return map[string]*wire.Frame{
		"empty":    frame(),
		"update":   frame(update),
		"summary":  frame(summary),
		"vector":   frame(vector),
		"pull":     frame(pull),
		"chunk":    frame(chunk),
		"check":    frame(check),
		"standing": frame(standing),
		"all": frame(update, summary, vector, pull, chunk, check, standing,
			&replica.Vector{}, &replica.Update{Origin: "x"}),
	}
}

// bigChunk returns a frame with a chunk of n records as a busy node would send it.
func bigChunk(n int) *wire.Frame {
	chunk := &replica.Chunk{Origin: "node-1", Incarnation: noon, UpTo: 3 * uint64(n),
		AsOf: 3 * uint64(n)}
	for i := range n {
		r := &replica.Record{
			Name: fmt.Sprintf("session:%08d", i),
			Node: "node-1",
			Seq:  uint64(i + 1),
			Time: at(time.Duration(i) * 137 * time.Microsecond),
			Meta: []byte("10.11.12.13:8080"),
		}
		chunk.Records = append(chunk.Records, r)
	}
	return &wire.Frame{From: "node-1", Incarnation: noon, Sent: noon,
		Items: []wire.Item{{Partition: 7, Message: chunk}}}
}

func mustAppend(tb rapid.TB, f *wire.Frame) []byte {
	tb.Helper()
	b, err := wire.Append(nil, f)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
