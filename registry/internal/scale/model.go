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

// Partitions is how many a registry has unless it is told otherwise.
const Partitions = 16

// Model computes what does not fit into memory to be simulated. Sizes are those that package wire
// gives for names and metadata of 16 bytes; heap is measured on this machine's architecture.
type Model struct {
	Record float64 // bytes of one more name in an update or a chunk
	Update float64 // of an update of one name, with its frame
	Entry  float64 // of one more node in a vector
	Digest float64 // with its frame
	Name   float64 // heap of a name on a node that does not hold it
	Table  float64 // heap of what one partition keeps of one other node
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

// newRecord returns a record that shares nothing with others, as one that came off the wire.
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

// nameHeap fills a core and the map that Lookup reads, with records of their own as they come off
// the wire.
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
	if lookup.Size() != names || p.Len() != names { // a fault of this function
		panic(fmt.Sprintf("scale: %d of %d names", lookup.Size(), names))
	}
	runtime.KeepAlive(p)
	return (after - before) / float64(names)
}

// tableHeap lets a core see nodes.
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

// Transmits is how often a node sends an update on by gossip.
func Transmits(nodes int) float64 { return retransmits * math.Ceil(math.Log10(float64(nodes+1))) }

// Change is the bytes that a node sends for one change of the cluster, on average.
func (m Model) Change(nodes int) float64 {
	if nodes <= gossipAbove {
		return m.Update * float64(nodes-1) / float64(nodes)
	}
	return m.Update * Transmits(nodes)
}

// GossipLimit is how many changes a second gossip carries in all, before updates go over
// connections to every node.
func (m Model) GossipLimit(nodes int) float64 {
	perRound := math.Floor(packetSize / (m.Update + 2))
	return gossipNodes * perRound / gossipEvery.Seconds() / Transmits(nodes)
}

// Memory is the heap of the tables on a node.
func (m Model) Memory(nodes, names, partitions int) float64 {
	return m.Name*float64(names) + m.Table*float64(nodes*partitions)
}

// JoinNames is what a node that joins gets of names, and JoinVectors of vectors: it asks each node
// for its own, which has an entry for each node, and is asked by each with the same, in each
// partition.
func (m Model) JoinNames(names int) float64 { return m.Record * float64(names) }

// JoinVectors see JoinNames.
func (m Model) JoinVectors(nodes, partitions int) float64 {
	return 2 * float64(nodes*nodes*partitions) * m.Entry
}

// Digests is the bytes a second that a node sends while nothing happens.
func (m Model) Digests() float64 { return m.Digest / compareEvery.Seconds() }
