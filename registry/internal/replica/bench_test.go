package replica

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/snowfence/snowfence/registry/internal/hlc"
)

const many = 100_000

func bench() (*Partition, At) {
	p := New(Config{Self: "a", Incarnation: 1, Clock: hlc.New(time.Second)})
	at := At{Wall: 1e18, Mono: time.Hour}
	p.NodeUp(at, "b", 1)
	p.Receive(at, "b", &Vector{Entries: []Entry{{Origin: "b", Incarnation: 1, Visible: true}}})
	p.Take()
	return p, at
}

func benchNames() []string {
	names := make([]string, many)
	for i := range names {
		names[i] = fmt.Sprintf("service/instance-%06d", i)
	}
	return names
}

// filled returns a partition that holds the names for "b".
func filled(names []string) (*Partition, At) {
	p, at := bench()
	const batch = 20
	for i := 0; i < len(names); i += batch {
		u := &Update{Origin: "b", Incarnation: 1, After: uint64(i), UpTo: uint64(i + batch)}
		for k := range batch {
			u.Records = append(u.Records,
				&Record{Name: names[i+k], Node: "b", Seq: uint64(i + k + 1), Time: hlc.Timestamp{Nanos: 1e18}})
		}
		p.Receive(at, "b", u)
		p.Take()
	}
	return p, at
}

func BenchmarkRegisterAndFlush(b *testing.B) {
	names := benchNames()
	p, at := bench()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		p.Register(at, names[i%many], nil)
		i++
		if i%20 == 0 {
			p.Flush(1200, 0)
			p.Take()
		}
		if i%many == 0 {
			b.StopTimer()
			p, at = bench()
			b.StartTimer()
		}
	}
}

func BenchmarkRegisterUnregister(b *testing.B) {
	p, at := bench()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.Register(at, "name", nil)
		p.Unregister(at, "name", WhyReleased)
		if i%20 == 0 {
			p.Flush(1200, 0)
			p.Take()
		}
	}
}

func BenchmarkReceiveUpdate(b *testing.B) {
	names := benchNames()
	p, at := filled(names)
	seq := p.tables["b"].seq
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.Receive(at, "b", &Update{
			Origin: "b", Incarnation: 1, After: seq, UpTo: seq + 1,
			Records: []*Record{{Name: names[i%many], Node: "b", Seq: seq + 1,
				Time: hlc.Timestamp{Nanos: 1e18}}},
		})
		seq++
		p.Take()
	}
}

func BenchmarkLookup(b *testing.B) {
	names := benchNames()
	p, _ := filled(names)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if p.Lookup(names[i%many]) == nil {
			b.Fatal("not found")
		}
	}
}

func BenchmarkNodeDownAndUp(b *testing.B) {
	p, at := filled(benchNames())
	seq := p.tables["b"].seq
	for b.Loop() {
		p.NodeDown(at, "b", false)
		p.NodeUp(at, "b", 1)
		p.Receive(at, "b", &Vector{Entries: []Entry{{Origin: "b", Incarnation: 1, Seq: seq,
			Visible: true}}})
		p.Take()
	}
	if p.Len() != many {
		b.Fatal("not all came back")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/many, "ns/name")
}

// BenchmarkReleaseAll releases many names, with no flush in between.
func BenchmarkReleaseAll(b *testing.B) {
	names := benchNames()
	for b.Loop() {
		b.StopTimer()
		p, at := bench()
		for _, n := range names {
			p.Register(at, n, nil)
		}
		p.Flush(1200, 0)
		p.Take()
		b.StartTimer()
		for _, n := range names {
			p.Unregister(at, n, WhyClosed)
		}
		p.Flush(1200, 0)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/many, "ns/name")
}

func BenchmarkServeAll(b *testing.B) {
	p, at := filled(benchNames())
	chunks, records := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		q := &Pull{Origin: "b", Incarnation: 1}
		for more := true; more; {
			p.Receive(at, "c", q)
			c := sent[*Chunk](p.Take())[0]
			chunks, records, more = chunks+1, records+len(c.Records), c.More()
			q = &Pull{Origin: "b", Incarnation: 1, After: c.UpTo}
		}
	}
	if records != b.N*many {
		b.Fatalf("%d records", records)
	}
	b.ReportMetric(float64(chunks)/float64(b.N), "chunks")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/many, "ns/name")
}

// BenchmarkHeapPerName measures the memory of a name on each node that does not hold it. The
// strings of names are shared with the test, and not counted.
func BenchmarkHeapPerName(b *testing.B) {
	names := benchNames()
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		p, _ := filled(names)
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(p)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/many, "B/name")
}
