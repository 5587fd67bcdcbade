package cutnet

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const patience = 20 * time.Second

// A node collects what its transport receives.
type node struct {
	*Transport
	packets chan string
	streams chan net.Conn
	stop    chan struct{}
	stopped chan struct{}
}

func start(t *testing.T, n *Network, name string) *node {
	t.Helper()
	tr, err := n.Listen(name, "127.0.0.1", 0)
	require.NoError(t, err)
	x := &node{tr, make(chan string, 1000), make(chan net.Conn, 100), make(chan struct{}),
		make(chan struct{})}
	go func() {
		defer close(x.stopped)
		for {
			select {
			case p := <-tr.PacketCh():
				x.packets <- string(p.Buf)
			case c := <-tr.StreamCh():
				x.streams <- c
			case <-x.stop:
				return
			}
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, tr.Shutdown())
		close(x.stop)
		<-x.stopped
		for len(x.streams) > 0 {
			require.NoError(t, (<-x.streams).Close())
		}
	})
	return x
}

func (x *node) send(t *testing.T, to *node, text string) {
	t.Helper()
	_, err := x.WriteTo([]byte(text), to.Addr())
	require.NoError(t, err)
}

// expect waits for one packet. Loopback loses none while buffers have room.
func (x *node) expect(t *testing.T, text string) {
	t.Helper()
	select {
	case got := <-x.packets:
		require.Equal(t, text, got)
	case <-time.After(patience):
		t.Fatalf("packet %q did not arrive", text)
	}
}

func (x *node) dial(to *node) (net.Conn, error) { return x.DialTimeout(to.Addr(), patience) }

func (x *node) accept(t *testing.T) net.Conn {
	t.Helper()
	select {
	case c := <-x.streams:
		return c
	case <-time.After(patience):
		t.Fatal("no stream arrived")
		return nil
	}
}

func TestPacketsMeetCuts(t *testing.T) {
	n := New(1)
	a, b, c := start(t, n, "a"), start(t, n, "b"), start(t, n, "c")
	steps := []struct {
		what       string
		do         func()
		ab, ba, ac bool
	}{
		{"all up", func() {}, true, true, true},
		{"cut", func() { n.Cut("a", "b") }, false, false, true},
		{"healed link", func() { n.HealLink("b", "a") }, true, true, true},
		{"one way", func() { n.CutOneWay("a", "b") }, false, true, true},
		{"healed", n.Heal, true, true, true},
		{"isolated", func() { n.Isolate("b") }, false, false, true},
		{"link of an isolated node", func() { n.HealLink("a", "b") }, false, false, true},
		{"healed again", n.Heal, true, true, true},
		{"split", func() { n.Split([]string{"a", "b"}, []string{"c"}) }, true, true, false},
		{"split in three", func() { n.Split([]string{"a"}, []string{"b"}, []string{"c"}) }, false, false,
			false},
		{"healed at last", n.Heal, true, true, true},
	}
	for _, s := range steps {
		s.do()
		for _, way := range []struct {
			from, to *node
			up       bool
		}{{a, b, s.ab}, {b, a, s.ba}, {a, c, s.ac}} {
			before := n.LinkTraffic(way.from.name, way.to.name)
			way.from.send(t, way.to, s.what)
			after := n.LinkTraffic(way.from.name, way.to.name)
			if way.up {
				before.Packets, before.PacketBytes = before.Packets+1,
					before.PacketBytes+uint64(len(s.what))
			} else {
				before.Dropped++
			}
			require.Equal(t, before, after, "%s: %s to %s", s.what, way.from.name, way.to.name)
			require.Equal(t, !way.up, n.IsCut(way.from.name, way.to.name), s.what)
			if way.up {
				way.to.expect(t, s.what)
			}
		}
	}
}

// TestPacketUnderWay cuts while a packet sits in the receiving socket.
func TestPacketUnderWay(t *testing.T) {
	n := New(1)
	b, err := n.Listen("b", "127.0.0.1", 0)
	require.NoError(t, err)
	a := start(t, n, "a")
	defer func() { require.NoError(t, b.Shutdown()) }()

	// No goroutine reads b's packets yet: the first is held between socket and reader, the others
	// behind it.
	for range 3 {
		_, err := a.WriteTo([]byte("early"), b.Addr())
		require.NoError(t, err)
	}
	n.Cut("a", "b")
	seen := 0
	timeout := time.After(patience)
	for n.LinkTraffic("a", "b").Dropped < 2 {
		select {
		case <-b.PacketCh():
			seen++
		case <-time.After(time.Millisecond):
		case <-timeout:
			t.Fatal("packets arrived over a cut link")
		}
	}
	require.LessOrEqual(t, seen, 1, "only the packet that was past the check when the cut came")
}

func TestStreamsMeetCuts(t *testing.T) {
	n := New(1)
	a, b := start(t, n, "a"), start(t, n, "b")
	c, err := a.dial(b)
	require.NoError(t, err)
	other := b.accept(t)
	_, err = c.Write([]byte("hello"))
	require.NoError(t, err)
	buf := make([]byte, 5)
	_, err = io.ReadFull(other, buf)
	require.NoError(t, err)
	_, err = other.Write([]byte("you"))
	require.NoError(t, err)
	_, err = io.ReadFull(c, buf[:3])
	require.NoError(t, err)
	require.EqualValues(t, 5, n.LinkTraffic("a", "b").StreamBytes)
	require.EqualValues(t, 3, n.LinkTraffic("b", "a").StreamBytes)

	n.CutOneWay("b", "a") // a stream needs both directions
	require.NoError(t, other.SetReadDeadline(time.Now().Add(patience)))
	_, err = other.Read(buf)
	require.ErrorIs(t, err, syscall.ECONNRESET)
	_, err = c.Write(buf)
	require.ErrorIs(t, err, net.ErrClosed)
	for _, x := range []struct{ from, to *node }{{a, b}, {b, a}} {
		_, err = x.from.dial(x.to)
		require.ErrorIs(t, err, ErrCut)
		var op *net.OpError
		require.ErrorAs(t, err, &op, "memberlist must see a failure of the other end")
	}
	require.NoError(t, c.Close())
	require.NoError(t, other.Close())
	sum := n.Traffic()
	require.EqualValues(t, 1, sum.Streams)
	require.EqualValues(t, 1, sum.Broken)
	require.EqualValues(t, 2, sum.Refused)

	n.Heal()
	c, err = a.dial(b)
	require.NoError(t, err)
	require.NoError(t, b.accept(t).Close())
	require.NoError(t, c.Close())
}

func TestLossIsSeeded(t *testing.T) {
	run := func(seed uint64) (lost []int) {
		n := New(seed)
		n.register("127.0.0.1:1", "b")
		n.Lose(0.3)
		for i := range 1000 {
			if !n.packet("a", "127.0.0.1:1", 1) {
				lost = append(lost, i)
			}
		}
		return lost
	}
	lost, again, other := run(7), run(7), run(8)
	require.Equal(t, lost, again)
	require.NotEqual(t, lost, other)
	require.InDelta(t, 300, len(lost), 100)
}

func TestFlapIsSeeded(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	run := func() (cuts []link) {
		n, r := New(1), rand.New(rand.NewPCG(3, 3))
		for range 10 {
			n.Flap(r, 0.5, names...)
			for _, a := range names {
				for _, b := range names {
					require.Equal(t, n.IsCut(a, b), n.IsCut(b, a))
					if n.IsCut(a, b) {
						cuts = append(cuts, link{a, b})
					}
				}
			}
		}
		return cuts
	}
	cuts := run()
	require.Equal(t, cuts, run())
	require.InDelta(t, 60, len(cuts), 30)
}

// A node that is on another network, as in another process, is known by its address.
func TestStrangers(t *testing.T) {
	n := New(1)
	a := start(t, n, "a")
	other := start(t, New(1), "other")
	for _, both := range [][2]*node{{a, other}, {other, a}} {
		both[0].send(t, both[1], "hi")
		both[1].expect(t, "hi")
	}
	c, err := a.dial(other)
	require.NoError(t, err)
	peer := other.accept(t)
	_, err = c.Write([]byte("abc"))
	require.NoError(t, err)

	// What is sent over a cut link is lost, and its streams are reset.
	n.CutOnly("a", other.Addr(), "127.0.0.1:1")
	a.send(t, other, "lost")
	_, err = a.dial(other)
	require.ErrorIs(t, err, ErrCut)
	_, err = io.Copy(io.Discard, peer)
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.NoError(t, peer.Close())
	require.Equal(t, Traffic{Packets: 1, PacketBytes: 2, Dropped: 1, Streams: 1, StreamBytes: 3,
		Refused: 1, Broken: 1}, n.TrafficFrom("a"))

	n.CutOnly("a", "127.0.0.1:1")
	a.send(t, other, "found")
	other.expect(t, "found")
	n.Isolate("a")
	n.CutOnly("a")
	require.True(t, n.IsCut("a", other.Addr()), "for good")
}

// What is sent over a cut link is lost, what comes is kept back, and none can be opened; then all
// works again.
func TestHTTP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("hello"))
	}))
	defer server.Close()
	addr := server.Listener.Addr().String()
	n := New(1)
	transport := &http.Transport{DialContext: n.DialContext("a")}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	call := func(patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, http.NoBody)
		require.NoError(t, err)
		answer, err := client.Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		_, err = io.ReadAll(answer.Body)
		return err
	}
	require.NoError(t, call(patience))
	n.CutOnly("a", addr)
	require.ErrorIs(t, call(50*time.Millisecond), context.DeadlineExceeded, "over the connection")
	require.ErrorIs(t, call(50*time.Millisecond), context.DeadlineExceeded, "over a new one")
	n.CutOnly("a", "127.0.0.1:1")
	require.Eventually(t, func() bool { return call(time.Second) == nil }, patience,
		time.Millisecond)
}

func TestAddressIsGivenBack(t *testing.T) {
	n := New(1)
	x, err := n.Listen("x", "127.0.0.1", 0)
	require.NoError(t, err)
	_, port, err := x.FinalAdvertiseAddr("", 0)
	require.NoError(t, err)
	_, err = n.Listen("y", "127.0.0.1", port)
	require.ErrorContains(t, err, "in use")
	require.NoError(t, x.Shutdown())
	y, err := n.Listen("y", "127.0.0.1", port)
	require.NoError(t, err)
	a := start(t, n, "a")
	n.Cut("a", "x") // not who listens there now
	_, err = a.WriteTo([]byte("hi"), y.Addr())
	require.NoError(t, err)
	select {
	case p := <-y.PacketCh():
		require.Equal(t, "hi", string(p.Buf))
	case <-time.After(patience):
		t.Fatal("no packet")
	}
	require.NoError(t, y.Shutdown())
	require.NoError(t, y.Shutdown())
}
