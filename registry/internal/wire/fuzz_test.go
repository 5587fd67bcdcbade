package wire_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/wire"
)

// FuzzDecode checks that any bytes are rejected, or decode to a sound frame that encodes to the
// same bytes.
func FuzzDecode(f *testing.F) {
	for _, frame := range samples() {
		b := mustAppend(f, frame)
		f.Add(b)
		f.Add(b[:len(b)/2])
		f.Add(append(b, 0))
	}
	f.Add([]byte(update(1 << 40).zeros(30)))
	f.Add([]byte(update(2).first().bytes(0, 0, 1, 'y')))
	f.Add([]byte(header(2).kind(replica.KindSummary).zeros(8).kind(replica.KindVector).bytes(1, 0)))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		limits := wire.Limits{Partitions: 1000, MaxName: 1000, MaxMeta: 2000, MaxNode: 100,
			MaxFrame: 1 << 16}
		frame, err := wire.Decode(b, limits)
		require.Equal(t, before, b, "the input was written to")
		if err != nil {
			require.Nil(t, frame)
			require.NotEmpty(t, err.Error())
			return
		}
		sound(t, frame, limits)
		require.Equal(t, len(b), frame.Size())
		require.Equal(t, b, mustAppend(t, frame))
	})
}

// sound checks what the package guarantees for a decoded frame.
func sound(tb testing.TB, f *wire.Frame, l wire.Limits) {
	tb.Helper()
	name := func(s string, limit int) {
		tb.Helper()
		require.NotEmpty(tb, s)
		require.LessOrEqual(tb, len(s), limit)
	}
	records := func(origin string, after, upTo uint64, records []*replica.Record) {
		tb.Helper()
		require.LessOrEqual(tb, after, upTo)
		for _, r := range records {
			name(r.Name, l.MaxName)
			require.LessOrEqual(tb, len(r.Meta), l.MaxMeta)
			require.Equal(tb, origin, r.Node)
			require.Greater(tb, r.Seq, after)
			require.LessOrEqual(tb, r.Seq, upTo)
			after = r.Seq
			require.Equal(tb, r.Dead, r.Why != 0)
			require.LessOrEqual(tb, r.Why, replica.WhyClosed)
			require.Equal(tb, r.Why == replica.WhyConflict, r.Verdict != nil)
			if r.Verdict != nil {
				name(r.Verdict.Winner, l.MaxNode)
			}
		}
	}
	name(f.From, l.MaxNode)
	for _, i := range f.Items {
		require.GreaterOrEqual(tb, i.Partition, 0)
		require.Less(tb, i.Partition, l.Partitions)
		switch m := i.Message.(type) {
		case *replica.Update:
			name(m.Origin, l.MaxNode)
			records(m.Origin, m.After, m.UpTo, m.Records)
		case *replica.Chunk:
			name(m.Origin, l.MaxNode)
			records(m.Origin, m.After, m.UpTo, m.Records)
		case *replica.Pull:
			name(m.Origin, l.MaxNode)
		case *replica.Check:
			name(m.Origin, l.MaxNode)
			before := m.After
			for _, b := range m.Blocks {
				require.Greater(tb, b.UpTo, before)
				before = b.UpTo
			}
		case *replica.Standing:
			name(m.Origin, l.MaxNode)
			before := m.After
			for _, s := range m.Spans {
				require.GreaterOrEqual(tb, s.After, before)
				require.Greater(tb, s.UpTo, s.After)
				require.True(tb, slices.IsSorted(s.Seqs))
				before = s.UpTo
			}
			require.LessOrEqual(tb, before, m.UpTo)
			require.LessOrEqual(tb, m.UpTo, m.AsOf)
		case *replica.Vector:
			before := ""
			for _, e := range m.Entries {
				name(e.Origin, l.MaxNode)
				require.Greater(tb, e.Origin, before)
				before = e.Origin
			}
		case *replica.Summary:
		default:
			tb.Fatalf("a message of type %T", m)
		}
	}
}
