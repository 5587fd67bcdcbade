package mesh

import (
	"bytes"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/eventlog"
	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/wire"
)

// TestRubbishFromOutside sends random bytes to both sockets; the node must go on to work.
func TestRubbishFromOutside(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	nodes := cluster(t, 2, nil)
	addr := nodes[0].Addr()
	udp, err := new(net.Dialer).DialContext(t.Context(), "udp", addr)
	require.NoError(t, err)
	frame, err := wire.Append([]byte{8, byGossip}, &wire.Frame{From: "stranger", Incarnation: 1,
		Items: []wire.Item{{Message: &replica.Summary{Root: 1}}}})
	require.NoError(t, err)
	for i := range 2000 {
		var b []byte
		switch i % 4 {
		case 0: // a message of ours, broken
			b = bytes.Clone(frame)
			b[1+r.IntN(len(b)-1)] ^= byte(1 << r.IntN(8))
			b = b[:2+r.IntN(len(b)-1)]
		case 1: // any of memberlist's types
			b = random(r, 1+r.IntN(200))
			b[0] = byte(i % 16)
		case 2: // many in one
			b = append([]byte{7, byte(r.IntN(256))}, random(r, r.IntN(500))...)
		case 3:
			b = random(r, 1+r.IntN(1400))
		}
		_, err = udp.Write(b)
		require.NoError(t, err)
		if i%100 == 0 {
			tcp, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
			require.NoError(t, err)
			_, _ = tcp.Write(b) // the node may close the connection before
			require.NoError(t, tcp.Close())
		}
	}
	require.NoError(t, udp.Close())
	require.True(t, nodes[1].Send("a", 0, update("b", 1, 10)))
	soon(t, "the node still receives", func() bool { return nodes[0].has("b", 0, 1) })
	require.Positive(t, nodes[0].Stats().Rejected+nodes[0].counters.unknown.Load())
	require.Equal(t, []string{"a", "b"}, nodes[0].names())
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestFramesOfOthers checks that frames are counted and dropped if no member has the name and
// incarnation of their sender.
func TestFramesOfOthers(t *testing.T) {
	nodes := cluster(t, 2, func(c *Config) { c.Incarnation = 5 })
	a := nodes[0]
	give := func(from string, incarnation uint64) {
		b, err := wire.Append([]byte{byGossip}, &wire.Frame{From: from, Incarnation: incarnation})
		require.NoError(t, err)
		(&delegate{a.Mesh}).NotifyMsg(b)
	}
	give("a", 5)
	give("stranger", 5)
	give("b", 4)
	require.EqualValues(t, 1, a.counters.own.Load())
	require.EqualValues(t, 1, a.counters.unknown.Load())
	require.EqualValues(t, 1, a.counters.stale.Load())
	require.EqualValues(t, 3, a.Stats().Strangers)
	require.Empty(t, a.received())
	give("b", 5)
	give("b", 6) // a restart of which this node has not been notified
	require.Len(t, a.received(), 2)

	give("b", wire.MaxIncarnation) // forged: no incarnation could be higher
	require.Len(t, a.received(), 2)
	require.EqualValues(t, 1, a.Stats().Rejected)

	for _, bad := range [][]byte{nil, {}, {'?'}, {byProbe}, {byGossip, 99}, {isLeaving},
		{isNoted, 1, 2}} {
		before := a.Stats().Rejected
		(&delegate{a.Mesh}).NotifyMsg(bad)
		require.Equal(t, before+1, a.Stats().Rejected, "%v", bad)
	}
	require.Less(t, strings.Count(a.log.String(), "bytes rejected"), 5, "repeats are not logged")
}

// TestAStrangerIsAskedFor lets a node join another without gossip: a third node detects it only by
// its frames.
func TestAStrangerIsAskedFor(t *testing.T) {
	silent := func(c *Config) { c.GossipInterval, c.ProbeInterval = time.Hour, time.Hour }
	nodes := cluster(t, 2, silent)
	a, b := nodes[0], nodes[1]
	c := open(t, func() Config { x := config("c"); silent(&x); return x }())
	join(t, c, b)
	soon(t, "c sees a", func() bool { return slices.Contains(c.names(), "a") })
	if slices.Contains(a.names(), "c") {
		t.Skip("memberlist's own exchange came first")
	}
	var seq uint64
	soon(t, "a knows c", func() bool {
		seq++
		c.Send("a", 0, update("c", seq, 10))
		return slices.Contains(a.names(), "c")
	})
	require.Positive(t, a.counters.unknown.Load())
	soon(t, "the exchange ends", func() bool { return a.Stats().Rejoined > 0 })
}

func TestAdvertisedAddress(t *testing.T) {
	c := config("a")
	c.AdvertiseAddr = "127.0.0.2"
	a := open(t, c)
	host, _, err := net.SplitHostPort(a.Addr())
	require.NoError(t, err)
	require.Equal(t, "127.0.0.2", host)
	require.NotZero(t, port(t, a.Addr()))
}

func TestLogLines(t *testing.T) {
	now := time.Unix(1000, 0)
	var b bytes.Buffer
	var rejected []string
	w := &logWriter{
		log:     slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})),
		repeats: eventlog.NewLimiter(func() time.Time { return now }),
		rejected: func(from string, err error) {
			require.ErrorIs(t, err, ErrKey)
			rejected = append(rejected, from)
		},
	}
	say := func(line string) string {
		b.Reset()
		n, err := w.Write([]byte(line + "\n"))
		require.NoError(t, err)
		require.Equal(t, len(line)+1, n)
		return b.String()
	}
	require.Contains(t, say("[ERR] memberlist: Push/Pull with b failed: dial tcp: refused"),
		"level=DEBUG")
	require.Contains(t, say("[DEBUG] memberlist: Stream connection from=1.2.3.4:1"), "level=DEBUG")
	require.Contains(t, say("[INFO] memberlist: Suspect b has failed, no acks received"), "level=INFO")
	require.Contains(t, say("[WARN] memberlist: Was able to connect to b over TCP but UDP probes "+
		"failed, network may be misconfigured"), "level=WARN")
	require.Empty(t, say("[DEBUG] memberlist: Stream connection from=1.2.3.4:25"),
		"only a number differs")
	now = now.Add(eventlog.Every)
	require.Contains(t, say("[DEBUG] memberlist: Stream connection from=1.2.3.4:31"), "repeats=1")
	require.Empty(t, say("[ERR] memberlist: Decrypt packet failed: no installed keys could decrypt "+
		"the message from=1.2.3.4:5"))
	require.Equal(t, []string{"1.2.3.4:5"}, rejected)
}

func FuzzDecodeMeta(f *testing.F) {
	f.Add(encodeMeta(identity, 7))
	f.Add(encodeMeta(Identity{}, 0))
	f.Add([]byte{metaVersion, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	// 2^31 partitions
	f.Add([]byte{metaVersion, 0, 0, 0, 0, 0, 0, 0, 1, 0x80, 0x80, 0x80, 0x80, 0x08, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		i, incarnation, err := decodeMeta(b)
		if err != nil {
			require.ErrorIs(t, err, ErrMetadata)
			return
		}
		again, n, err := decodeMeta(append(encodeMeta(i, incarnation), "of a later release"...))
		require.NoError(t, err)
		require.Equal(t, i, again)
		require.Equal(t, incarnation, n)
	})
}

// TestPacketsUnderAnotherKey fails if memberlist changes the lines of its log by which messages
// that no key opens are detected without a hello, in packets and in streams of memberlist's own;
// or the first byte of encrypted streams.
func TestPacketsUnderAnotherKey(t *testing.T) {
	one, two := []byte("0123456789abcdef"), []byte("fedcba9876543210")
	for _, x := range []struct {
		what         string
		sends, hears [][]byte
		// are detected, too: a node without keys can't distinguish a sealed one from garbage
		packets bool
		stream  error // that a stream is rejected with
	}{
		{"other keys", [][]byte{one}, [][]byte{two}, true, ErrKey},
		{"no keys there", nil, [][]byte{two}, true, &KeyError{KeyUnexpected}},
		{"no keys here", [][]byte{one}, nil, false, &KeyError{KeyMissing}},
	} {
		t.Run(x.what, func(t *testing.T) {
			c := config("a")
			c.Keys = x.hears
			a := open(t, c)
			c = config("b")
			c.Keys = x.sends
			b := open(t, c)
			keyErrors := func() (n int) {
				a.mu.Lock()
				defer a.mu.Unlock()
				for _, err := range a.rejected {
					if errors.Is(err, ErrKey) {
						n++
					}
				}
				return n
			}
			_, err := b.list.Join([]string{a.Addr()})
			require.Error(t, err)
			soon(t, "the stream is rejected", func() bool { return keyErrors() > 0 })
			a.mu.Lock()
			require.Equal(t, x.stream, a.rejected[0])
			a.mu.Unlock()
			if !x.packets {
				return
			}
			before := keyErrors()
			tcp, err := net.ResolveTCPAddr("tcp", a.Addr())
			require.NoError(t, err)
			to := &memberlist.Node{Name: "a", Addr: tcp.IP, Port: uint16(tcp.Port)} //nolint:gosec // a port
			soon(t, "a packet is rejected", func() bool {
				require.NoError(t, b.list.SendBestEffort(to, []byte("hello")))
				return keyErrors() > before
			})
		})
	}
}
