package clustertest

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/partition"
	"github.com/snowfence/snowfence/registry"
	"github.com/snowfence/snowfence/registry/internal/hlc"
	"github.com/snowfence/snowfence/registry/internal/mesh"
	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/wire"
)

const forged = "forged"

// A forger knows everything about a cluster except its key, and sends messages in the name of one
// of its nodes.
type forger struct {
	victim      string
	incarnation uint64
	partitions  int
}

// knows returns a forger with the knowledge of a node that has the key. That node has left when
// knows returns.
func knows(tb testing.TB, c *cluster, victim string) *forger {
	tb.Helper()
	partitions := 4
	m, err := mesh.Open(mesh.Config{
		Node: "observer", BindAddr: "127.0.0.1", Incarnation: 1, Keys: c.base.Keys,
		Logger: slog.New(slog.DiscardHandler), Handler: deaf{},
		GossipInterval: 50 * time.Millisecond, ProbeInterval: time.Second,
		ProbeTimeout: 500 * time.Millisecond, SuspicionMult: 4, RejoinInterval: 5 * time.Second,
		Identity: mesh.Identity{Cluster: registry.DefaultCluster, Partitions: partitions,
			Resolver: registry.KeepNewest.Name(), Protocol: 2},
	})
	require.NoError(tb, err)
	_, err = m.Join(tb.Context(), c.nodes[0].addr)
	require.NoError(tb, err)
	f := &forger{victim: victim, partitions: partitions}
	for _, x := range m.Members() {
		if x.Name == victim {
			f.incarnation = x.Incarnation
		}
	}
	require.NotZero(tb, f.incarnation)
	require.NoError(tb, m.Leave(tb.Context()))
	require.NoError(tb, m.Close())
	c.whole("the observer is gone")
	c.told("the observer is gone", func(n *node) string {
		tally := n.tally()
		if ups, downs := tally["node up observer"],
			tally["node down observer: node left"]+tally["node down observer: node down"]; ups != downs {
			return fmt.Sprintf("it came up %d times and went %d times", ups, downs)
		}
		return ""
	})
	return f
}

// packet returns a packet in the victim's name with a claim on a name.
func (f *forger) packet(tb testing.TB) []byte {
	tb.Helper()
	places, err := partition.New(f.partitions)
	require.NoError(tb, err)
	r := &replica.Record{Name: forged, Node: f.victim, Seq: 1,
		Time: hlc.Timestamp{Nanos: time.Now().UnixNano()}}
	// These are memberlist's byte for a user message, and the mesh's for a frame of gossip.
	const byUser, gossip = 8, 'G'
	b, err := wire.Append([]byte{byUser, gossip}, &wire.Frame{
		From: f.victim, Incarnation: f.incarnation, Sent: time.Now().UnixNano(),
		Items: []wire.Item{{Partition: places.Of(forged), Message: &replica.Update{
			Origin: f.victim, Incarnation: f.incarnation, UpTo: 1, Records: []*replica.Record{r},
		}}},
	})
	require.NoError(tb, err)
	return b
}

// stream returns the packet as a message over a connection, where memberlist puts its length before
// it, as MessagePack.
func stream(packet []byte) []byte {
	n := len(packet) - 1
	head := append([]byte{8, 0x81, 0xaa}, "UserMsgLen"...)
	return append(append(head, 0xd1, byte(n>>8), byte(n)), packet[1:]...)
}

type deaf struct{}

func (deaf) Frame(*wire.Frame, int)        {}
func (deaf) Rejected(string, error)        {}
func (deaf) NodeUp(string, uint64, string) {}
func (deaf) NodeDown(string, bool)         {}
func (deaf) Refused(_, _ string, _ error)  {}

// throw sends bytes to a node, as a packet and over a connection.
func throw(tb testing.TB, addr string, packet, stream []byte) {
	tb.Helper()
	var d net.Dialer
	udp, err := d.DialContext(tb.Context(), "udp", addr)
	require.NoError(tb, err)
	_, err = udp.Write(packet)
	require.NoError(tb, err)
	require.NoError(tb, udp.Close())
	tcp, err := d.DialContext(tb.Context(), "tcp", addr)
	require.NoError(tb, err)
	_, _ = tcp.Write(stream) // the node may close the connection before
	half, ok := tcp.(*net.TCPConn)
	require.True(tb, ok)
	_ = half.CloseWrite() // the node may have closed the connection
	require.NoError(tb, tcp.SetReadDeadline(time.Now().Add(patience)))
	_, _ = io.Copy(io.Discard, tcp) // until the node closes the connection
	require.NoError(tb, tcp.Close())
}

// junk returns random bytes; each kind resembles a valid message a little.
func junk(r *rand.Rand, i int) []byte {
	b := make([]byte, 1+r.IntN(1400))
	for j := range b {
		b[j] = byte(r.Uint32())
	}
	switch i % 3 {
	case 0:
		b[0] = byte(r.IntN(16)) // one of memberlist's messages
	case 1:
		b = append([]byte{8, "GRPLN"[r.IntN(5)]}, b...) // one of ours
	}
	return b
}

// TestForger checks that forged packets work without keys, as documented, and are rejected with
// keys.
func TestForger(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name string
		keys [][]byte
	}{{"without keys", nil}, {"with keys", [][]byte{[]byte("0123456789abcdef")}}} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, startLocal, spec{Keys: x.keys})
			c.add("a", "b")
			c.whole("before")
			f := knows(t, c, "b")
			a := c.node("a")
			before, rejected := a.tally(), a.stats().Network.Rejected
			p := f.packet(t)
			if x.keys == nil {
				throw(t, a.addr, p, nil)
				waitUntil(t, "the forgery in a packet is believed", func() string {
					if a.tally()["registered b"] == 0 {
						return "not yet"
					}
					return ""
				})
				c2 := newCluster(t, startLocal, spec{})
				c2.add("a", "b")
				f = knows(t, c2, "b")
				throw(t, c2.node("a").addr, []byte{99}, stream(f.packet(t)))
				waitUntil(t, "the forgery over a connection is believed", func() string {
					if c2.node("a").tally()["registered b"] == 0 {
						return "not yet"
					}
					return ""
				})
				return
			}
			seed := seeded(t)
			r := rand.New(rand.NewPCG(seed, 0))
			const times = 100
			for i := range times {
				throw(t, a.addr, p, stream(p))
				throw(t, a.addr, junk(r, i), junk(r, i))
			}
			waitUntil(t, "what the forger sent is counted", func() string {
				if a.stats().Network.Rejected-rejected < 2*times {
					return "not yet"
				}
				return ""
			})
			require.Equal(t, before, a.tally(), "a has no new events")
			require.Equal(t, []string{"a", "b"}, a.members())
			c.register("b", "honest")
			c.whole("they go on")
			require.NotContains(t, a.holders(), forged)
			t.Logf("%d messages of the forger were rejected", a.stats().Network.Rejected-rejected)
		})
	}
}

// TestJunk sends random bytes to nodes without keys.
func TestJunk(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	r := rand.New(rand.NewPCG(seed, 0))
	c := newCluster(t, startProcess, spec{})
	c.add("a", "b", "c")
	c.register("a", series("before", 20)...)
	c.whole("before")
	times := 300
	if testing.Short() {
		times = 100
	}
	for i := range times {
		throw(t, c.nodes[i%2].addr, junk(r, i), junk(r, i/2))
	}
	c.register("b", series("after", 20)...)
	c.whole("after")
	for _, n := range c.nodes[:2] {
		require.NotZero(t, n.stats().Network.Rejected, n.spec.Name)
		t.Logf("%s rejected %d messages", n.spec.Name, n.stats().Network.Rejected)
	}
	for _, n := range slices.Clone(c.nodes) {
		require.Zero(t, n.tally()["node down "+n.spec.Name+": node down"])
	}
	c.agreed()
}
