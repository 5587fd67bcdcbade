package scale

import (
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/puzpuzpuz/xsync/v4"

	"github.com/snowfence/snowfence/registry/internal/hlc"
	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/wire"
)

// Partitions is the default number of partitions of a registry.
const Partitions = 16

// Model computes the costs of registries that do not fit into memory. Sizes are those of package
// wire for names and metadata of 16 bytes; heap is measured on this machine's architecture.
type Model struct {
	Record float64 // bytes of one more name in an update or a chunk
	Update float64 // of an update of one name, with its frame
	Entry  float64 // of one more node in a vector
	Digest float64 // with its frame
	Name   float64 // heap of a name on a node that does not hold it
	Table  float64 // heap of one partition's table of another node
}

// Measure fills in the model.
func Measure() Model {
	const seq = 100_000
	inc := uint64(epoch)
	records := func(n int) []*replica.Record {
		all := make([]*replica.Record, n)
		for i := range all {
			all[i] = newRecord(nodeName(1), i, seq)
			all[i].Time.Nanos += int64(i) * int64(time.Millisecond)
		}
		return all
	}
	chunk := func(n int) int {
		c := &replica.Chunk{Origin: nodeName(1), Incarnation: inc, UpTo: 2 * seq, Records: records(n)}
		return wire.Item{Message: c}.Size()
	}
	vector := func(n int) int {
		v := &replica.Vector{Entries: make([]replica.Entry, n)}
		for i := range v.Entries {
			v.Entries[i] = replica.Entry{Origin: nodeName(i), Incarnation: inc, Seq: seq, Visible: true}
		}
		return wire.Item{Message: v}.Size()
	}
	update := &replica.Update{
		Origin: nodeName(1), Incarnation: inc, After: seq - 1, UpTo: seq, Records: records(1),
	}
	digest := wire.Item{Partition: 2 * Partitions, Message: &replica.Summary{}}
	head := 1 + wire.HeaderSize(nodeName(1))
	return Model{
		Record: float64(chunk(200)-chunk(100)) / 100,
		Update: float64(head + wire.Item{Message: update}.Size()),
		Entry:  float64(vector(200)-vector(100)) / 100,
		Digest: float64(head + digest.Size()),
		Name:   nameHeap(100_000),
		Table:  tableHeap(2000),
	}
}

// newRecord returns a record that shares no memory with others, as a decoded one.
func newRecord(node string, i int, after uint64) *replica.Record {
	return &replica.Record{
		Name: nameOf(i), Node: node, Meta: metaOf(), Time: hlc.Timestamp{Nanos: epoch},
		Seq: after + uint64(i) + 1, //nolint:gosec // not negative
	}
}

func heapNow() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// nameHeap measures the heap of a name in a core and in the map that Lookup reads, with records
// that share no memory, as decoded ones.
func nameHeap(names int) float64 {
	lookup := xsync.NewMap[string, *replica.Record]()
	p := replica.New(replica.Config{
		Self: "self", Incarnation: 1, Clock: hlc.New(time.Hour), Compared: true,
		Publish: func(name string, r *replica.Record) { lookup.Store(name, r) },
	})
	at := replica.At{Wall: epoch, Mono: time.Hour}
	p.NodeUp(at, "other", 1)
	p.Receive(at, "other", &replica.Vector{
		Entries: []replica.Entry{{Origin: "other", Incarnation: 1, Visible: true}},
	})
	p.Take()
	before := heapNow()
	const piece = 500
	for i := 0; i < names; i += piece {
		u := &replica.Update{Origin: "other", Incarnation: 1}
		for k := range piece {
			u.Records = append(u.Records, newRecord("other", i+k, 0))
		}
		u.After, u.UpTo = u.Records[0].Seq-1, u.Records[piece-1].Seq
		p.Receive(at, "other", u)
		p.Take()
	}
	after := heapNow()
	if lookup.Size() != names || p.Len() != names { // a bug in this function
		panic(fmt.Sprintf("scale: %d of %d names", lookup.Size(), names))
	}
	runtime.KeepAlive(p)
	return (after - before) / float64(names)
}

// tableHeap measures the heap of a core's table of another node.
func tableHeap(nodes int) float64 {
	p := replica.New(replica.Config{Self: "self", Incarnation: 1, Clock: hlc.New(time.Hour),
		Compared: true})
	at := replica.At{Wall: epoch, Mono: time.Hour}
	names := make([]string, nodes)
	for i := range names {
		names[i] = nodeName(i)
	}
	before := heapNow()
	for _, name := range names {
		p.NodeUp(at, name, 1)
		p.Take()
	}
	after := heapNow()
	runtime.KeepAlive(p)
	return (after - before) / float64(nodes)
}

// Transmits returns how often a node sends an update by gossip.
func Transmits(nodes int) float64 { return retransmits * math.Ceil(math.Log10(float64(nodes+1))) }

// Change returns the bytes that a node sends for one change of the cluster, on average.
func (m Model) Change(nodes int) float64 {
	if nodes <= gossipAbove {
		return m.Update * float64(nodes-1) / float64(nodes)
	}
	return m.Update * Transmits(nodes)
}

// GossipLimit returns the changes a second that gossip carries in all, before updates go over
// connections to every node.
func (m Model) GossipLimit(nodes int) float64 {
	perRound := math.Floor(packetSize / (m.Update + 2))
	return gossipNodes * perRound / gossipEvery.Seconds() / Transmits(nodes)
}

// Memory returns the heap of the tables on a node.
func (m Model) Memory(nodes, names, partitions int) float64 {
	return m.Name*float64(names) + m.Table*float64(nodes*partitions)
}

// JoinNames returns the bytes of names that a node gets when it joins.
func (m Model) JoinNames(names int) float64 { return m.Record * float64(names) }

// JoinVectors returns the bytes of vectors that a node gets when it joins: in each partition it
// asks each node for its vector, which has an entry for each node, and each node asks with the
// same.
func (m Model) JoinVectors(nodes, partitions int) float64 {
	return 2 * float64(nodes*nodes*partitions) * m.Entry
}

// Digests returns the bytes a second that an idle node sends.
func (m Model) Digests() float64 { return m.Digest / compareEvery.Seconds() }
