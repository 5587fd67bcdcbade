package replica

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry/internal/hlc"
)

// An observer is node "a"; the test plays all other nodes.
type observer struct {
	*Partition
	t  *testing.T
	at At
}

// observe starts "a". The others are up, and hold nothing.
func observe(t *testing.T, cfg Config, others ...string) *observer {
	cfg.Self, cfg.Incarnation, cfg.Clock = "a", 1, hlc.New(time.Second)
	o := &observer{Partition: New(cfg), t: t, at: At{Wall: 1e18, Mono: time.Hour}}
	for _, n := range others {
		o.NodeUp(o.at, n, 1)
		o.Receive(o.at, n, &Vector{Entries: []Entry{{Origin: n, Incarnation: 1, Visible: true}}})
	}
	o.Tick(o.at) // sets the time of the first probe
	o.Take()
	return o
}

func (o *observer) pass(d time.Duration) Output {
	o.at.Mono += d
	o.at.Wall += int64(d)
	o.Tick(o.at)
	return o.Take()
}

func (o *observer) hear(from string, m Message) Output {
	o.Receive(o.at, from, m)
	return o.Take()
}

// mark returns the watermark of "b".
func (o *observer) mark() uint64 { return o.tables["b"].seq }

// claim returns a claim of "b".
func claim(name string, seq uint64) *Record { return claimOf("b", name, seq) }

func claimOf(node, name string, seq uint64) *Record {
	return &Record{Name: name, Node: node, Seq: seq,
		Time: hlc.Timestamp{Nanos: int64(1e18 - 1000 + seq)}}
}

func tombstone(name string, seq uint64) *Record {
	r := claim(name, seq)
	r.Dead, r.Why = true, WhyReleased
	return r
}

// update returns an update of "b".
func update(after, upTo uint64, records ...*Record) *Update {
	return &Update{Origin: "b", Incarnation: 1, After: after, UpTo: upTo, Records: records}
}

// chunk returns a chunk of the claims of "b".
func chunk(after, upTo, asOf, floor uint64, records ...*Record) *Chunk {
	return &Chunk{
		Origin: "b", Incarnation: 1, After: after, UpTo: upTo, AsOf: asOf, Floor: floor, Records: records,
	}
}

// stands returns the vector of a node whose watermark of "b" is seq.
func stands(seq uint64) *Vector {
	return &Vector{Entries: []Entry{{Origin: "b", Incarnation: 1, Seq: seq, Visible: true}}}
}

// pulls returns the pulls in out, by the nodes to which they are sent.
func pulls(out Output) map[string]*Pull {
	found := map[string]*Pull{}
	for _, e := range out.Send {
		if q, ok := e.Message.(*Pull); ok {
			found[e.To] = q
		}
	}
	return found
}

func sent[M Message](out Output) (found []M) {
	for _, e := range out.Send {
		if m, ok := e.Message.(M); ok {
			found = append(found, m)
		}
	}
	return found
}

func types(events []Event) (all []EventType) {
	for _, e := range events {
		all = append(all, e.Type)
	}
	return all
}

func fill(p *Partition, at At, n int) {
	for i := range n {
		p.Register(at, "n"+strconv.Itoa(i), nil)
	}
}

func TestTheObserverSeesTheOthers(t *testing.T) {
	o := observe(t, Config{}, "b", "c")
	require.True(t, o.Synced())
	o.hear("b", update(0, 1, claim("x", 1)))
	require.Equal(t, "b", o.Lookup("x").Node)
}
