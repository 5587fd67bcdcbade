package wire

import (
	"math/bits"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// HeaderSize returns the number of bytes of a frame from the given node before its first item.
func HeaderSize(from string) int {
	return 1 + nodeSize(from) + 8 + 8 + 2
}

// Size returns the number of bytes that [Append] adds for the frame.
func (f *Frame) Size() int {
	n := HeaderSize(f.From)
	for _, i := range f.Items {
		n += i.Size()
	}
	return n
}

// Size returns the number of bytes that the item takes in any frame: a packet is full when
// [HeaderSize] and the sizes of its items add up to its size. The size of an item that [Append]
// refuses is undefined.
func (i Item) Size() int {
	n := uvarintSize(uint64(i.Partition)) + 1
	switch m := i.Message.(type) {
	case *replica.Update:
		n += originSize(m.Origin) + spanSize(m.After, m.UpTo) + recordsSize(m.After, m.Records)
	case *replica.Summary:
		n += 8
	case *replica.Vector:
		n += 1 + uvarintSize(uint64(len(m.Entries)))
		for j := range m.Entries {
			n += originSize(m.Entries[j].Origin) + uvarintSize(m.Entries[j].Seq) + 1
		}
	case *replica.Pull:
		n += originSize(m.Origin) + uvarintSize(m.After) + uvarintSize(m.AtLeast)
	case *replica.Chunk:
		n += originSize(m.Origin) + spanSize(m.After, m.UpTo) + uvarintSize(m.AsOf-m.UpTo) +
			uvarintSize(m.Floor) + recordsSize(m.After, m.Records)
	case *replica.Check:
		n += checkSize(m)
	case *replica.Standing:
		n += standingSize(m)
	}
	return n
}

func checkSize(m *replica.Check) int {
	n := originSize(m.Origin) + uvarintSize(m.After) + uvarintSize(m.AtLeast) +
		uvarintSize(uint64(len(m.Blocks)))
	before := m.After
	for _, b := range m.Blocks {
		n += uvarintSize(b.UpTo-before) + 8
		before = b.UpTo
	}
	return n
}

func standingSize(m *replica.Standing) int {
	n := originSize(m.Origin) + spanSize(m.After, m.UpTo) + uvarintSize(m.AsOf-m.UpTo) +
		uvarintSize(uint64(len(m.Spans)))
	before := m.After
	for _, s := range m.Spans {
		n += uvarintSize(s.After-before) + uvarintSize(s.UpTo-s.After) +
			uvarintSize(uint64(len(s.Seqs)))
		seq := s.After
		for _, q := range s.Seqs {
			n += uvarintSize(q - seq)
			seq = q
		}
		before = s.UpTo
	}
	return n
}

func recordsSize(after uint64, records []*replica.Record) int {
	n := uvarintSize(uint64(len(records)))
	seq, nanos := after, int64(0)
	for i, r := range records {
		if r == nil {
			continue // Append refuses it
		}
		n += 1 + stringSize(len(r.Name))
		if r.Seq-seq > 1 {
			n += uvarintSize(r.Seq - seq - 2)
		}
		if i == 0 {
			n += 8
		} else {
			n += varintSize(r.Time.Nanos - nanos)
		}
		if r.Time.Logical != 0 {
			n += uvarintSize(uint64(r.Time.Logical))
		}
		if len(r.Meta) > 0 {
			n += stringSize(len(r.Meta))
		}
		if r.Verdict != nil {
			n += nodeSize(r.Verdict.Winner) + uvarintSize(r.Verdict.WinnerSeq) +
				uvarintSize(r.Verdict.LostSeq) + 8 + uvarintSize(uint64(r.Verdict.Time.Logical))
		}
		seq, nanos = r.Seq, r.Time.Nanos
	}
	return n
}

func nodeSize(name string) int { return 1 + len(name) }

func originSize(name string) int { return nodeSize(name) + 8 }

func spanSize(after, upTo uint64) int { return uvarintSize(after) + uvarintSize(upTo-after) }

func stringSize(n int) int { return uvarintSize(uint64(n)) + n }

func uvarintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func varintSize(v int64) int { return uvarintSize(uint64(v)<<1 ^ uint64(v>>63)) }
