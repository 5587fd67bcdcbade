package wire_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/snowfence/snowfence/registry/internal/hlc"
	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/wire"
)

// A victim is a partition with claims of its own that receives arbitrary messages from a peer that
// has the cluster's key.
type victim struct {
	tb          rapid.TB
	p           *replica.Partition
	now         replica.At
	favoured    bool // the resolver keeps own claims
	lost        map[string]bool
	incarnation uint64
}

const (
	ownClaims     = 5
	maxTombstones = 3
	maxBuffered   = 2
	tables        = 3 // its own, and those of the two peers that are up

	maxIncarnation = uint64(noon + 365*24*time.Hour)
)

func newVictim(tb rapid.TB, favoured bool) *victim {
	tb.Helper()
	v := &victim{tb: tb, now: replica.At{Wall: noon, Mono: time.Second}, favoured: favoured,
		lost: make(map[string]bool)}
	c := replica.Config{
		Self: "self", Incarnation: 1000, Clock: hlc.New(time.Second), Seed: 1,
		Limits: replica.Limits{ChunkBytes: 512, Tombstones: maxTombstones, Buffered: maxBuffered,
			Pulls: 2},
	}
	if favoured {
		c.Compare = func(a, b *replica.Record) int {
			switch {
			case a.Node == "self":
				return 1
			case b.Node == "self":
				return -1
			}
			return 0
		}
	}
	v.p = replica.New(c)
	for i := range ownClaims {
		own, _ := v.p.Register(v.now, fmt.Sprintf("own-%d", i), []byte{byte(i)})
		require.NotNil(tb, own)
	}
	v.p.NodeUp(v.now, "peer", 1000)
	v.p.NodeUp(v.now, "other", 1000)
	v.check()
	return v
}

// receive passes a frame on as the shell does, and reports whether it was valid.
func (v *victim) receive(b []byte) bool {
	v.tb.Helper()
	f, err := wire.Decode(b, wire.Limits{Partitions: 1000, MaxIncarnation: maxIncarnation})
	if err != nil {
		return false
	}
	for _, i := range f.Items {
		v.now.Wall += int64(time.Millisecond)
		v.now.Mono += time.Millisecond
		v.p.Receive(v.now, "peer", i.Message)
		v.check()
	}
	v.now.Wall += int64(300 * time.Millisecond)
	v.now.Mono += 300 * time.Millisecond
	v.p.Tick(v.now)
	v.check()
	return true
}

func (v *victim) check() {
	tb := v.tb
	tb.Helper()
	out := v.p.Take()
	for _, l := range out.Lost {
		require.False(tb, v.favoured, "lost %q against the resolver", l.Own.Name)
		require.Contains(tb, []string{"peer", "other"}, l.Winner.Node)
		require.Equal(tb, "self", l.Own.Node)
		v.lost[l.Own.Name] = true
	}
	for i := range ownClaims {
		name := fmt.Sprintf("own-%d", i)
		own := v.p.Own(name)
		require.Equal(tb, v.lost[name], own == nil, name)
		if own != nil {
			require.Equal(tb, []byte{byte(i)}, own.Meta)
			require.Equal(tb, own, v.p.Lookup(name), "a claim that stands is the one that is shown")
		}
	}

	stats := v.p.Stats()
	require.LessOrEqual(tb, stats.Tombstones, tables*maxTombstones)
	require.LessOrEqual(tb, stats.Buffered, (tables-1)*maxBuffered)

	// One message must not lead to many, and all messages sent can be encoded and decoded.
	require.LessOrEqual(tb, len(out.Send), 16)
	for _, e := range out.Send {
		v.leaves(e.Message)
	}
	for _, u := range out.Relay {
		require.NotEqual(tb, "self", u.Origin)
		v.leaves(u)
	}
	for _, u := range v.p.Flush(1000, 0) {
		v.leaves(u)
	}
}

func (v *victim) leaves(m replica.Message) {
	v.tb.Helper()
	f := &wire.Frame{From: "self", Items: []wire.Item{{Message: m}}}
	b, err := wire.Append(nil, f)
	require.NoError(v.tb, err)
	require.Len(v.tb, b, f.Size())
	_, err = wire.Decode(b, wire.Limits{})
	require.NoError(v.tb, err)
	if vector, ok := m.(*replica.Vector); ok {
		for _, e := range vector.Entries {
			if e.Origin == "self" {
				require.GreaterOrEqual(v.tb, e.Incarnation, v.incarnation, "the own incarnation went down")
				v.incarnation = e.Incarnation
			}
		}
	}
}

// FuzzReceive checks that with any bytes from the network nothing panics, own claims stand unless
// the resolver decides otherwise, and memory stays bounded. The input is split into frames by
// lengths of two bytes.
func FuzzReceive(f *testing.F) {
	join := func(frames ...*wire.Frame) []byte {
		var b []byte
		for _, frame := range frames {
			one := mustAppend(f, frame)
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(one))), one...)
		}
		return b
	}
	of := func(m ...replica.Message) *wire.Frame {
		frame := &wire.Frame{From: "peer", Incarnation: 1000, Sent: noon}
		for _, m := range m {
			frame.Items = append(frame.Items, wire.Item{Message: m})
		}
		return frame
	}
	rival := &replica.Record{Name: "own-1", Node: "peer", Seq: 1, Time: at(time.Second)}
	release := &replica.Record{Name: "own-1", Node: "peer", Seq: 2, Time: at(time.Second), Dead: true,
		Why: replica.WhyReleased}
	conflict := &replica.Record{
		Name: "own-2", Node: "peer", Seq: 3, Time: at(time.Second), Dead: true,
		Why: replica.WhyConflict, Verdict: &replica.Verdict{Winner: "self", WinnerSeq: 3, LostSeq: 1},
	}
	visible := &replica.Vector{Reply: true, Entries: []replica.Entry{
		{Origin: "other", Incarnation: 1000, Visible: true},
		{Origin: "peer", Incarnation: 1000, Visible: true},
	}}
	ahead := &replica.Vector{Entries: []replica.Entry{
		{Origin: "other", Incarnation: maxIncarnation, Seq: math.MaxUint64, Visible: true},
		{Origin: "self", Incarnation: maxIncarnation, Seq: math.MaxUint64, Visible: true},
	}}
	news := &replica.Update{Origin: "peer", Incarnation: 1000, UpTo: 1,
		Records: []*replica.Record{rival}}
	later := &replica.Update{Origin: "peer", Incarnation: 1000, After: 1, UpTo: 3,
		Records: []*replica.Record{release, conflict}}
	snapshot := &replica.Chunk{Origin: "peer", Incarnation: 1000, UpTo: 1, AsOf: 3, Floor: 3,
		Records: []*replica.Record{rival}}
	rest := &replica.Chunk{Origin: "peer", Incarnation: 1000, After: 1, UpTo: 3, AsOf: 3, Floor: 1,
		Records: []*replica.Record{release}}
	forged := &replica.Update{Origin: "self", Incarnation: 1001, UpTo: 1,
		Records: []*replica.Record{{Name: "own-0", Node: "self", Seq: 1, Dead: true,
			Why: replica.WhyReleased}}}
	for _, favoured := range []bool{false, true} {
		f.Add(favoured, join(of(visible, news, later)))
		f.Add(favoured, join(of(later), of(visible), of(snapshot), of(rest)))
		f.Add(favoured, join(of(&replica.Summary{Root: 1},
			&replica.Pull{Origin: "self", Incarnation: 1000}), of(ahead)))
		f.Add(favoured, join(of(forged),
			of(&replica.Pull{Origin: "self", Incarnation: 1001, After: 2, AtLeast: 9})))
	}
	f.Fuzz(func(t *testing.T, favoured bool, b []byte) {
		v := newVictim(t, favoured)
		for len(b) >= 2 {
			n := min(int(binary.BigEndian.Uint16(b)), len(b)-2)
			v.receive(b[2 : 2+n])
			b = b[2+n:]
		}
	})
}

// TestReceiveFlood checks that the memory that a peer can make a node use is bounded, however much
// it sends.
func TestReceiveFlood(t *testing.T) {
	v := newVictim(t, true)
	send := func(m replica.Message) {
		require.True(t, v.receive(mustAppend(t,
			&wire.Frame{From: "peer", Items: []wire.Item{{Message: m}}})))
	}
	var seq uint64
	for i := range 200 { // tombstones of names that never had a holder
		r := &replica.Record{Name: fmt.Sprint("name-", i), Node: "other", Seq: seq + 1, Dead: true,
			Why: replica.WhyReleased}
		send(&replica.Update{Origin: "other", Incarnation: 1000, After: seq, UpTo: seq + 1,
			Records: []*replica.Record{r}})
		seq++
	}
	held := v.p.Stats()
	require.Positive(t, held.Tombstones)
	require.Less(t, held.Log, 150)
	for range 200 { // updates with gaps that never close
		seq += 2
		send(&replica.Update{Origin: "other", Incarnation: 1000, After: seq, UpTo: seq + 1})
	}
	held = v.p.Stats()
	require.Equal(t, maxBuffered, held.Buffered)
	require.Positive(t, held.DroppedBuffered)
	require.Less(t, held.Pulls, uint64(200), "nor does each gap lead to a pull")
	for i := range uint64(200) { // vectors with new states of all nodes each time
		send(&replica.Vector{Reply: true, Entries: []replica.Entry{
			{Origin: "other", Incarnation: 1001 + i, Seq: 10 * i, Visible: true},
			{Origin: "self", Incarnation: 1001 + i, Seq: 10 * i, Visible: true},
			{Origin: fmt.Sprint("stranger-", i), Incarnation: 1, Seq: 1, Visible: true},
		}})
	}
	require.Less(t, v.p.Stats().Refutations, uint64(20), "each takes longer than the one before")
}

// TestReceiveForged does the same with well-formed frames, which get further.
func TestReceiveForged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := newVictim(t, rapid.Bool().Draw(t, "favoured"))
		for range rapid.IntRange(1, 40).Draw(t, "frames") {
			f := &wire.Frame{From: "peer", Items: []wire.Item{{Message: drawForged(t)}}}
			require.True(t, v.receive(mustAppend(t, f)))
		}
	})
}

// drawForged draws a message with names and numbers of the victim.
func drawForged(t *rapid.T) replica.Message {
	origin := rapid.SampledFrom([]string{"peer", "peer", "other", "self", "stranger"}).Draw(t,
		"origin")
	incarnation := rapid.SampledFrom([]uint64{1000, 1000, 1000, 1000, 999, 1001, maxIncarnation}).Draw(
		t, "incarnation")
	number := rapid.OneOf(rapid.Uint64Range(0, 12), rapid.Uint64Range(0, 12),
		rapid.Just(uint64(math.MaxUint64)))
	var records []*replica.Record
	after := rapid.Uint64Range(0, 12).Draw(t, "after")
	seq := after
	for range rapid.IntRange(0, 6).Draw(t, "records") {
		seq += rapid.Uint64Range(1, 3).Draw(t, "step")
		name := fmt.Sprintf("own-%d", rapid.IntRange(0, 12).Draw(t, "name"))
		records = append(records, drawRecord(t, origin, name, seq))
	}
	upTo := seq
	if rapid.IntRange(0, 9).Draw(t, "far") == 0 {
		upTo = max(seq, number.Draw(t, "up to"))
	}
	switch rapid.SampledFrom([]replica.Kind{1, 1, 1, 2, 3, 4, 5, 5, 6, 7}).Draw(t, "kind") {
	case replica.KindUpdate:
		return &replica.Update{Origin: origin, Incarnation: incarnation, After: after, UpTo: upTo,
			Records: records}
	case replica.KindChunk:
		return &replica.Chunk{
			Origin: origin, Incarnation: incarnation, After: after, UpTo: upTo, Records: records,
			AsOf:  max(upTo, number.Draw(t, "as of")),
			Floor: number.Draw(t, "floor"),
		}
	case replica.KindPull:
		return &replica.Pull{Origin: origin, Incarnation: incarnation, After: number.Draw(t, "after"),
			AtLeast: number.Draw(t, "at least")}
	case replica.KindCheck:
		m := &replica.Check{Origin: origin, Incarnation: incarnation, After: after,
			AtLeast: number.Draw(t, "at least")}
		for end := range rapid.Uint64Range(0, 4).Draw(t, "blocks") {
			m.Blocks = append(m.Blocks, replica.Block{UpTo: after + 3*end + 1, Digest: end})
		}
		return m
	case replica.KindStanding:
		m := &replica.Standing{Origin: origin, Incarnation: incarnation, After: after, UpTo: upTo}
		m.AsOf = max(upTo, number.Draw(t, "as of"))
		if upTo > after {
			m.Spans = []replica.Span{{After: after, UpTo: upTo}}
		}
		return m
	case replica.KindVector:
		m := &replica.Vector{Reply: rapid.Bool().Draw(t, "reply")}
		for _, origin := range []string{"other", "peer", "self", "stranger"} {
			if rapid.Bool().Draw(t, origin) {
				m.Entries = append(m.Entries, replica.Entry{
					Origin: origin, Incarnation: incarnation,
					Seq: number.Draw(t, "seq"), Visible: rapid.Bool().Draw(t, "visible"),
				})
			}
		}
		return m
	default:
		return &replica.Summary{Root: rapid.Uint64().Draw(t, "root")}
	}
}
