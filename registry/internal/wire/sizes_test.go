package wire_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/wire"
)

// TestDocumentedSizes checks the example sizes in the package's doc. The name has 16 bytes, that of
// the node 6, the sequence is about a million, and the registrations are some 100 µs apart.
func TestDocumentedSizes(t *testing.T) {
	const inc, seq = noon, 1_000_000
	claim := func(i int, meta string) *replica.Record {
		r := &replica.Record{
			Name: fmt.Sprintf("session:%08d", i), Node: "node-1", Seq: uint64(seq + 1 + i),
			Time: at(time.Duration(i) * 100 * time.Microsecond),
		}
		if meta != "" {
			r.Meta = []byte(meta)
		}
		return r
	}
	dead := func(r *replica.Record, why replica.Why) *replica.Record {
		r.Dead, r.Why = true, why
		if why == replica.WhyConflict {
			r.Verdict = &replica.Verdict{Winner: "node-2", WinnerSeq: seq, LostSeq: seq,
				Time: at(time.Second)}
		}
		return r
	}
	update := func(records ...*replica.Record) wire.Item {
		u := &replica.Update{Origin: "node-1", Incarnation: inc, After: seq, UpTo: seq, Records: records}
		if n := len(records); n > 0 {
			u.UpTo = records[n-1].Seq
		}
		return wire.Item{Partition: 7, Message: u}
	}
	packet := func(limit int, meta string) int {
		size := wire.HeaderSize("node-1")
		var records []*replica.Record
		for size+update(append(records, claim(len(records), meta))...).Size() <= limit {
			records = append(records, claim(len(records), meta))
		}
		return len(records)
	}
	const address = "10.11.12.13:8080" // 16 bytes
	second := func(r *replica.Record) int {
		return update(claim(0, ""), r).Size() - update(claim(0, "")).Size()
	}
	vector := &replica.Vector{}
	for i := range 16 {
		vector.Entries = append(vector.Entries,
			replica.Entry{Origin: fmt.Sprintf("node-%c", 'a'+i), Incarnation: inc, Seq: seq, Visible: true})
	}

	require.Equal(t, 26, wire.HeaderSize("node-1"))
	require.Equal(t, 48, update(claim(0, "")).Size())
	require.Equal(t, 65, update(claim(0, address)).Size())
	require.Equal(t, 21, second(claim(1, "")))
	require.Equal(t, 38, second(claim(1, address)))
	require.Equal(t, 21, second(dead(claim(1, ""), replica.WhyReleased)))
	require.Equal(t, 43, second(dead(claim(1, ""), replica.WhyConflict)))
	require.Equal(t, 10, wire.Item{Partition: 7, Message: &replica.Summary{}}.Size())
	require.Equal(t, 308, wire.Item{Partition: 7, Message: vector}.Size())
	require.Equal(t, 21, wire.Item{Partition: 7,
		Message: &replica.Pull{Origin: "node-1", Incarnation: inc, After: seq}}.Size())
	require.Equal(t, 64, packet(1400, ""))
	require.Equal(t, 35, packet(1400, address))
}
