package replica

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTombstonesAreBounded(t *testing.T) {
	o := observe(t, Config{Limits: Limits{Tombstones: 100}}, "b")
	seq := uint64(0)
	for i := range 1000 {
		name := "n" + strconv.Itoa(i)
		o.Register(o.at, name, nil)
		o.Unregister(o.at, name, WhyReleased)
		o.Flush(1200, 0)
		o.hear("b", update(seq, seq+2, tombstone("m"+strconv.Itoa(i), seq+2)))
		seq += 2
		require.LessOrEqual(t, len(o.own.tombs), 100)
		require.LessOrEqual(t, len(o.tables["b"].tombs), 100)
	}
	require.GreaterOrEqual(t, o.Stats().Tombstones, 100, "half of those allowed stay, of each")
	require.Less(t, o.Stats().Log, 600)
	require.Greater(t, o.own.floor, uint64(1800))
}

func TestATombstoneStaysUntilItWasHandedOut(t *testing.T) {
	o := observe(t, Config{Limits: Limits{Tombstones: 4}}, "b")
	fill(o.Partition, o.at, 50)
	for i := range 50 {
		o.Unregister(o.at, "n"+strconv.Itoa(i), WhyReleased)
	}
	require.Equal(t, 50, o.Stats().Tombstones)
	names, _ := o.Pending()
	require.Equal(t, 50, names)
	dead := map[string]bool{}
	for {
		updates := o.Flush(100, 2)
		if len(updates) == 0 {
			break
		}
		for _, u := range updates {
			for _, r := range u.Records {
				require.True(t, r.Dead)
				dead[r.Name] = true
			}
		}
	}
	require.Len(t, dead, 50, "nobody was left in the dark")
	require.LessOrEqual(t, o.Stats().Tombstones, 4)
}

// Names come and go for a long time; the memory depends on the standing claims, not on the past
// ones.
func TestTheLogGivesMemoryBack(t *testing.T) {
	o := observe(t, Config{}, "b")
	const n = 20_000
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	for i := range n {
		o.Register(o.at, fmt.Sprintf("name-%06d", i), make([]byte, 64))
	}
	o.Flush(1200, 0)
	o.Take()
	full := live() - before
	for i := range n {
		o.Unregister(o.at, fmt.Sprintf("name-%06d", i), WhyReleased)
	}
	o.Flush(1200, 0)
	o.Take()
	require.LessOrEqual(t, o.Stats().Log, 2*1024+130)
	require.LessOrEqual(t, cap(o.own.log), 4*1024)
	after := live() - before
	require.Less(t, after, full/2, "of %d bytes", full)
	runtime.KeepAlive(o)
}

// Repeated updates of a name keep one record, not all.
func TestOutdatedRecordsAreDropped(t *testing.T) {
	o := observe(t, Config{}, "b")
	o.Register(o.at, "x", nil)
	for i := range uint64(5000) {
		require.NotNil(t, o.Update(o.at, "x", []byte{byte(i)}))
		o.hear("b", update(i, i+1, claim("y", i+1)))
	}
	require.LessOrEqual(t, o.Stats().Log, 2*66)
	names, _ := o.Pending()
	require.Equal(t, 1, names)
	updates := o.Flush(1200, 0)
	require.Len(t, updates, 1)
	require.Len(t, updates[0].Records, 1)
	require.EqualValues(t, 5001, updates[0].UpTo)
	var seqs []uint64
	for _, r := range o.tables["b"].log {
		seqs = append(seqs, r.Seq)
	}
	require.IsIncreasing(t, seqs)
}
