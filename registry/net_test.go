package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab/cutnet"
)

// patience bounds the waits of a test. A passing test does not reach it.
const patience = 60 * time.Second

// quick makes membership detect a lost node soon.
func quick(c *Config) {
	c.GossipInterval = 20 * time.Millisecond
	c.ProbeInterval = 200 * time.Millisecond
	c.ProbeTimeout = 100 * time.Millisecond
	c.SuspicionMult = 2
}

// openReal opens a node on loopback sockets.
func openReal(tb testing.TB, name string, seeds []string, change ...func(*Config)) *Registry {
	tb.Helper()
	c := Config{NodeName: name, Seeds: seeds}
	quick(&c)
	for _, f := range change {
		f(&c)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	r, err := Open(ctx, c)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, r.Close()) })
	return r
}

// eventually waits for a condition on the real clock.
func eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	require.Eventually(tb, cond, patience, 5*time.Millisecond, what)
}

func holderOf(r *Registry, name string) string {
	c, _ := r.Lookup(name)
	return c.Node
}

func TestThreeNodes(t *testing.T) {
	a := openReal(t, "a", nil)
	b := openReal(t, "b", []string{a.Addr()})
	c := openReal(t, "c", []string{b.Addr()})
	all := []*Registry{a, b, c}
	for _, r := range all {
		eventually(t, "all nodes see each other",
			func() bool { return len(r.Members()) == 3 && r.Stats().Members == 3 })
	}

	g, err := b.Register(t.Context(), "x", []byte("hello"))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, r := range all {
		claim, err := r.WaitFor(ctx, "x")
		require.NoError(t, err)
		require.Equal(t, g.Claim(), claim)
	}
	_, err = a.Register(t.Context(), "x", nil)
	require.ErrorIs(t, err, ErrTaken)
	require.NoError(t, g.Release())
	eventually(t, "released", func() bool { return holderOf(a, "x") == "" && holderOf(c, "x") == "" })
	_, err = c.Register(t.Context(), "x", nil)
	require.NoError(t, err)
	eventually(t, "taken over", func() bool {
		return holderOf(a, "x") == "c" && holderOf(b, "x") == "c"
	})

	s := b.Stats()
	require.Equal(t, 1, s.Names)
	require.NotZero(t, s.Network.Packets.FramesIn)
	require.NotZero(t, s.Network.Packets.FramesOut)
	require.Zero(t, s.Network.Rejected)
}

// In a small cluster each change is sent once to each other node: no node forwards it.
func TestNothingIsSentTwice(t *testing.T) {
	a := openReal(t, "a", nil)
	b := openReal(t, "b", []string{a.Addr()})
	c := openReal(t, "c", []string{a.Addr()})
	all := []*Registry{a, b, c}
	for i := range 200 {
		_, err := a.Register(t.Context(), strconv.Itoa(i), nil)
		require.NoError(t, err)
	}
	for _, r := range all {
		eventually(t, "all names", func() bool { return r.Len() == 200 })
	}
	updates := func(r *Registry) (in, out uint64) {
		for _, p := range r.Stats().Partitions {
			in += p.Received.Updates
			out += p.Sent.Updates
		}
		return in, out
	}
	in, out := updates(a)
	require.Zero(t, in)
	for _, r := range all[1:] {
		in, _ = updates(r)
		require.LessOrEqual(t, in, out)
	}
}

// A burst that is too large for gossip is sent directly to all nodes.
func TestBurst(t *testing.T) {
	a := openReal(t, "a", nil)
	b := openReal(t, "b", []string{a.Addr()})
	c := openReal(t, "c", []string{a.Addr()})
	names := 20_000
	if raceDetector {
		names = 2_000 // the race detector is ten times slower
	}
	for i := range names {
		_, err := a.Register(t.Context(), fmt.Sprint("name ", i), []byte("some metadata"))
		require.NoError(t, err)
	}
	eventually(t, "all names are everywhere",
		func() bool { return b.Len() == names && c.Len() == names })
	require.NotZero(t, a.Stats().Network.Reliable.FramesOut)
	for _, p := range a.Stats().Partitions {
		require.LessOrEqual(t, p.QueueHigh, DefaultQueueSize)
	}
	d := openReal(t, "d", []string{b.Addr()})
	require.Equal(t, names, d.Len(), "at the moment when Open returns")
}

func TestCrashAndRestart(t *testing.T) {
	a := openReal(t, "a", nil)
	b := openReal(t, "b", []string{a.Addr()})
	_, err := b.Register(t.Context(), "x", nil)
	require.NoError(t, err)
	_, err = b.Register(t.Context(), "y", nil)
	require.NoError(t, err)
	eventually(t, "seen", func() bool { return a.Len() == 2 })
	w := a.Watch(t.Context())

	require.NoError(t, b.Close()) // does not notify the others
	eventually(t, "hidden", func() bool { return a.Len() == 0 })
	require.ElementsMatch(t, []string{
		"node down: b: node down", `unregistered "x" on b: node down`, `unregistered "y" on b: node down`,
	}, taken(t, w, 3))

	again := openReal(t, "b", []string{a.Addr()})
	_, err = again.Register(t.Context(), "x", nil)
	require.NoError(t, err)
	eventually(t, "the new run's name is seen", func() bool { return holderOf(a, "x") == "b" })
	require.Equal(t, 1, a.Len(), "the names of the previous incarnation are gone")
}

func TestLeave(t *testing.T) {
	a := openReal(t, "a", nil)
	b := openReal(t, "b", []string{a.Addr()})
	g, err := b.Register(t.Context(), "x", nil)
	require.NoError(t, err)
	eventually(t, "seen", func() bool { return a.Len() == 1 })
	w := a.Watch(t.Context())
	require.NoError(t, b.Leave(t.Context()))
	require.NoError(t, b.Leave(t.Context()), "again")
	require.ErrorIs(t, context.Cause(g.Context()), ErrClosed)
	require.ErrorIs(t, g.Release(), ErrClosed)
	_, err = b.Register(t.Context(), "y", nil)
	require.ErrorIs(t, err, ErrClosed)
	_, err = b.Join(t.Context(), a.Addr())
	require.ErrorIs(t, err, ErrClosed)
	require.Equal(t, []string{"node down: b: node left", `unregistered "x" on b: node left`},
		taken(t, w, 2))
	_, err = a.Register(t.Context(), "x", nil)
	require.NoError(t, err)
	require.NoError(t, b.Close())
	require.ErrorIs(t, b.Leave(t.Context()), ErrClosed)
}

func TestSplitAndHeal(t *testing.T) {
	for _, resolver := range []Resolver{KeepNewest, KeepOldest} {
		t.Run(resolver.Name(), func(t *testing.T) {
			cut := cutnet.New(1)
			on := func(name string) func(*Config) {
				return func(c *Config) {
					tr, err := cut.Listen(name, "127.0.0.1", 0)
					require.NoError(t, err)
					c.Transport, c.Resolver = tr, resolver
				}
			}
			a := openReal(t, "a", nil, on("a"))
			b := openReal(t, "b", []string{a.Addr()}, on("b"))
			c := openReal(t, "c", []string{a.Addr()}, on("c"))
			all := []*Registry{a, b, c}
			for _, r := range all {
				eventually(t, "together", func() bool { return r.Stats().Members == 3 })
			}
			cut.Split([]string{"a"}, []string{"b", "c"})
			eventually(t, "apart", func() bool {
				return a.Stats().Members == 1 && b.Stats().Members == 2 && c.Stats().Members == 2
			})
			const names = 1000
			var older, newer []*Registration
			for _, side := range []struct {
				r    *Registry
				list *[]*Registration
			}{{a, &older}, {b, &newer}} {
				for i := range names {
					g, err := side.r.Register(t.Context(), fmt.Sprint("name ", i), []byte(side.r.cfg.NodeName))
					require.NoError(t, err, "both sides stay available")
					*side.list = append(*side.list, g)
				}
			}
			eventually(t, "c has its side's view",
				func() bool { return c.Len() == names && holderOf(c, "name 0") == "b" })
			cut.Heal()

			winners, losers, winner := newer, older, "b"
			if resolver == KeepOldest {
				winners, losers, winner = older, newer, "a"
			}
			deadline := time.After(patience)
			for _, g := range losers {
				select {
				case <-g.Context().Done():
				case <-deadline:
					t.Fatal("the context of a loser did not end")
				}
				require.ErrorIs(t, context.Cause(g.Context()), ErrConflict)
				var conflict *ConflictError
				require.ErrorAs(t, context.Cause(g.Context()), &conflict)
				require.Equal(t, winner, conflict.Winner.Node)
			}
			for _, r := range all {
				eventually(t, "one holder each, the same everywhere", func() bool {
					counts := r.CountByNode()
					return len(counts) == 1 && counts[winner] == names
				})
			}
			for _, g := range winners {
				require.NoError(t, g.Context().Err())
			}
			var conflicts, lost uint64
			for _, r := range all {
				for _, p := range r.Stats().Partitions {
					require.Zero(t, p.Disagreements)
					conflicts += p.Conflicts
					lost += p.Lost
				}
			}
			require.GreaterOrEqual(t, conflicts, uint64(names))
			require.Equal(t, uint64(names), lost)
		})
	}
}

func TestLosersAndWinnersUnderLoad(t *testing.T) {
	a := openReal(t, "a", nil)
	b := openReal(t, "b", []string{a.Addr()})
	var wg sync.WaitGroup
	for _, r := range []*Registry{a, b} {
		for range 4 {
			wg.Go(func() {
				for i := range 500 {
					ctx, cancel := context.WithCancel(t.Context())
					g, err := r.Register(ctx, fmt.Sprint("name ", i%50), nil)
					if err != nil {
						if !errors.Is(err, ErrTaken) {
							t.Error(err)
						}
						cancel()
						continue
					}
					r.Lookup(g.Name())
					err = g.Update(ctx, func(m []byte) []byte { return append(slices.Clone(m), 1) })
					if err != nil && !errors.Is(err, ErrConflict) {
						t.Error(err)
					}
					if i%2 == 0 {
						cancel()
						continue
					}
					if err := g.Release(); err != nil && !errors.Is(err, ErrConflict) {
						t.Error(err)
					}
					cancel()
				}
			})
		}
	}
	wg.Wait()
	eventually(t, "no name is left", func() bool {
		return a.Len() == 0 && b.Len() == 0 && len(a.Registrations()) == 0 && len(b.Registrations()) == 0
	})
}

func TestCloseIsCompleteAndMayBeRepeated(t *testing.T) {
	r := openReal(t, "a", nil)
	g, err := r.Register(t.Context(), "x", nil)
	require.NoError(t, err)
	w := r.Watch(t.Context())
	waiting := make(chan error)
	go func() {
		_, err := r.WaitFor(t.Context(), "nobody has it")
		waiting <- err
	}()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.ErrorIs(t, <-waiting, ErrClosed)
	require.ErrorIs(t, context.Cause(g.Context()), ErrClosed)
	require.Equal(t, []string{`unregistered "x" on a: registry closed`}, taken(t, w, 1))
	_, err = w.Next(t.Context())
	require.ErrorIs(t, err, ErrClosed)
	_, err = r.Watch(t.Context()).Next(t.Context())
	require.ErrorIs(t, err, ErrClosed)
	_, err = r.Register(t.Context(), "x", nil)
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, r.Update(t.Context(), "x", nil), ErrClosed)
	require.Zero(t, r.Stats().Registrations)
	require.True(t, strings.HasPrefix(r.Addr(), "127.0.0.1:"))
}

// Over sockets, one of two nodes runs a function; both sides of a split do; and the conflict ends
// one of them, which runs again when the other node dies.
func TestRunOverSockets(t *testing.T) {
	cut := cutnet.New(1)
	on := func(name string) func(*Config) {
		return func(c *Config) {
			tr, err := cut.Listen(name, "127.0.0.1", 0)
			require.NoError(t, err)
			c.Transport = tr
		}
	}
	a := openReal(t, "a", nil, on("a"))
	b := openReal(t, "b", []string{a.Addr()}, on("b"))
	type start struct {
		node string
		ctx  context.Context //nolint:containedctx // that of the function
	}
	begun := make(chan start)
	next := func(node string) context.Context {
		t.Helper()
		select {
		case s := <-begun:
			require.Equal(t, node, s.node)
			return s.ctx
		case <-time.After(patience):
			t.Fatal("no function begins")
			return nil
		}
	}
	results := make(chan error, 2)
	run := func(r *Registry) {
		results <- r.Run(t.Context(), "x", nil, func(ctx context.Context) error {
			select {
			case begun <- start{r.NodeName(), ctx}:
				<-ctx.Done()
			case <-ctx.Done():
			}
			return ctx.Err()
		})
	}
	go run(a)
	first := next("a")
	eventually(t, "b knows", func() bool { return holderOf(b, "x") == "a" })
	go run(b)

	cut.Split([]string{"a"}, []string{"b"})
	second := next("b")
	require.NoError(t, first.Err())
	cut.Heal()
	select {
	case <-first.Done():
	case <-time.After(patience):
		t.Fatal("the conflict ends no function")
	}
	require.ErrorIs(t, context.Cause(first), ErrConflict)
	require.NoError(t, second.Err())

	require.NoError(t, b.Close())
	require.ErrorIs(t, <-results, ErrClosed)
	third := next("a")
	require.NoError(t, third.Err())
	g, _ := RegistrationFromContext(third)
	require.NoError(t, a.Close())
	require.ErrorIs(t, <-results, ErrClosed)
	require.NotEmpty(t, g.Claim().Token())
}

// A node that leaves no longer waits for names, although it still sees their holders.
func TestLeaveEndsRun(t *testing.T) {
	a := openReal(t, "a", nil)
	b := openReal(t, "b", []string{a.Addr()})
	_, err := a.Register(t.Context(), "x", nil)
	require.NoError(t, err)
	eventually(t, "b knows", func() bool { return holderOf(b, "x") == "a" })
	result := make(chan error)
	go func() {
		result <- b.Run(t.Context(), "x", nil, func(context.Context) error { panic("never called") })
	}()
	eventually(t, "b waits", func() bool {
		p := b.part("x")
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.waits) == 1
	})
	require.NoError(t, b.Leave(t.Context()))
	select {
	case err := <-result:
		require.Equal(t, ErrClosed, err)
	case <-time.After(patience):
		t.Fatal("Run goes on after Leave")
	}
}
