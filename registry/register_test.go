package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRegisterIsSeenEverywhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a")
		b, _ := lan.open(t, "b")
		c, _ := lan.open(t, "c")
		meta := []byte("v1")
		g, err := a.Register(t.Context(), "x", meta)
		require.NoError(t, err)
		meta[0] = 'w' // Register has copied it

		for _, r := range []*Registry{a, b, c} {
			claim, err := r.WaitFor(t.Context(), "x")
			require.NoError(t, err)
			require.Equal(t, g.Claim(), claim)
			require.Equal(t, "a", claim.Node)
			require.Equal(t, "v1", string(claim.Meta))
			require.Equal(t, 1, r.Len())
			require.Equal(t, map[string]int{"a": 1}, r.CountByNode())
		}
		require.NoError(t, g.Release())
		synctestWait()
		for _, r := range []*Registry{a, b, c} {
			_, ok := r.Lookup("x")
			require.False(t, ok)
			require.Zero(t, r.Len())
		}
	})
}

func TestOpenBringsWhatTheOthersHave(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a")
		for i := range 1000 {
			_, err := a.Register(t.Context(), fmt.Sprint("name ", i), nil)
			require.NoError(t, err)
		}
		before := time.Now()
		b, _ := lan.open(t, "b")
		require.Equal(t, 1000, b.Len(), "at the moment when Open returns")
		require.Less(t, time.Since(before), time.Second, "Open detected that all names were there")
	})
}

// If the node does not catch up, Open returns after SyncTimeout; the registry works, and the rest
// of the names comes later.
func TestOpenDoesNotWaitForEver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, node := lan.open(t, "a")
		_, err := a.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		node.jam(true)
		before := time.Now()
		b, other := lan.open(t, "b")
		require.Equal(t, DefaultSyncTimeout, time.Since(before))
		require.Zero(t, b.Len())
		node.jam(false)
		c, err := b.WaitFor(t.Context(), "x")
		require.NoError(t, err)
		require.Equal(t, "a", c.Node)

		node.jam(true)
		other.jam(true) // it could answer for a
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = open(impatient, Config{NodeName: "c", Partitions: 4, Seeds: []string{"a:1"}},
			lan.connect)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestTaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a")
		b, _ := lan.open(t, "b")
		g, err := a.Register(t.Context(), "x", []byte("m"))
		require.NoError(t, err)
		synctestWait()

		other, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, r := range []*Registry{a, b} {
			_, err = r.Register(other, "x", nil)
			require.ErrorIs(t, err, ErrTaken)
			var taken *TakenError
			require.ErrorAs(t, err, &taken)
			require.Equal(t, "x", taken.Name)
			require.Equal(t, g.Claim(), taken.Holder)
			require.Contains(t, err.Error(), `name "x" is taken by node a since 2000-01-01T00:00:0`)
		}
		require.NoError(t, g.Release())
		synctestWait()
		h, err := b.Register(other, "x", nil)
		require.NoError(t, err, "a released name can be taken by another node")
		require.Equal(t, "b", h.Claim().Node)
	})
}

func TestBadInput(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, _ := newLAN().open(t, "a", func(c *Config) { c.MaxMeta = 10 })
		ended, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("gave up"))
		for _, test := range []struct {
			ctx  context.Context //nolint:containedctx // an argument of the test's subject
			name string
			meta []byte
			want string
		}{
			{t.Context(), "", nil, "registry: name of 0 bytes: want 1 to 65535"},
			{t.Context(), strings.Repeat("x", 65536), nil, "registry: name of 65536 bytes: want 1 to 65535"},
			{t.Context(), "n", make([]byte, 11),
				`registry: metadata of 11 bytes for name "n": want at most 10 (Config.MaxMeta)`},
			{ended, "n", nil, "gave up"},
		} {
			_, err := r.Register(test.ctx, test.name, test.meta)
			require.EqualError(t, err, test.want)
			require.Zero(t, r.Len())
		}
		_, err := r.Register(t.Context(), strings.Repeat("x", 65535), make([]byte, 10))
		require.NoError(t, err)
		_, err = r.WaitFor(t.Context(), "")
		require.EqualError(t, err, "registry: name of 0 bytes: want 1 to 65535")
		err = r.Update(t.Context(), "", nil)
		require.EqualError(t, err, "registry: name of 0 bytes: want 1 to 65535")
	})
}

func TestRegisterAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a")
		b, _ := lan.open(t, "b")
		holder, end := context.WithCancel(t.Context())
		defer end()
		g, err := a.Register(holder, "x", []byte("1"))
		require.NoError(t, err)
		first := g.Claim().Time

		type key struct{}
		derived, cancel := context.WithTimeout(g.Context(), time.Hour)
		defer cancel()
		for i, ctx := range []context.Context{holder, context.WithValue(holder, key{}, 1), g.Context(),
			derived} {
			again, err := a.Register(ctx, "x", fmt.Append(nil, "again ", i))
			require.NoError(t, err)
			require.Same(t, g, again)
			synctestWait()
			claim, _ := b.Lookup("x")
			require.Equal(t, fmt.Sprint("again ", i), string(claim.Meta))
			require.Equal(t, first, claim.Time, "the age of a claim does not change with its metadata")
		}
		child, cancelChild := context.WithCancel(holder)
		defer cancelChild()
		for _, ctx := range []context.Context{context.Background(), t.Context(), child} {
			_, err := a.Register(ctx, "x", nil)
			require.ErrorIs(t, err, ErrTaken, "another holder")
		}
		cancel() // ends only the context derived for one call
		synctestWait()
		require.NoError(t, g.Context().Err())

		_, err = a.Register(context.Background(), "y", nil)
		require.NoError(t, err)
		_, err = a.Register(context.Background(), "y", nil)
		require.ErrorIs(t, err, ErrTaken, "contexts that never end do not identify a holder")
	})
}

func TestHolderEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a")
		b, _ := lan.open(t, "b")
		w := b.Watch(t.Context(), WatchNames("x"))
		holder, end := context.WithCancelCause(t.Context())
		g, err := a.Register(holder, "x", nil)
		require.NoError(t, err)
		synctestWait()
		died := errors.New("holder died")
		end(died)
		synctestWait()
		require.Equal(t, died, context.Cause(g.Context()))
		require.Equal(t, died, g.Release(), "the registration had ended before")
		require.Equal(t, died, g.Update(t.Context(), func(m []byte) []byte { return m }))
		require.Equal(t, "x", g.Claim().Name, "the last claim stays readable")
		for _, r := range []*Registry{a, b} {
			_, ok := r.Lookup("x")
			require.False(t, ok)
		}
		require.Empty(t, a.Registrations())
		require.Equal(t, []string{`registered "x" on a`, `unregistered "x" on a: holder ended`},
			taken(t, w, 2))
	})
}

// Once a holder's context has ended its name is free on its own node, even if the registry's
// callback has not run yet.
func TestEndedHolderDoesNotBlockTheNext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, _ := newLAN().open(t, "a")
		for range 100 {
			holder, end := context.WithCancel(t.Context())
			_, err := r.Register(holder, "x", nil)
			require.NoError(t, err)
			end()
		}
		synctestWait()
		require.Zero(t, r.Len())
	})
}

func TestRelease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, _ := newLAN().open(t, "a")
		g, err := r.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		require.Equal(t, []*Registration{g}, r.Registrations())
		require.Equal(t, "x", g.Name())
		require.NoError(t, g.Release())
		require.ErrorIs(t, context.Cause(g.Context()), ErrReleased)
		require.NoError(t, g.Release(), "again")
		require.Empty(t, r.Registrations())

		h, err := r.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		require.NotSame(t, g, h)
		require.NoError(t, g.Release())
		require.NoError(t, h.Context().Err(), "an old registration can't release the next one")
		require.ErrorIs(t, g.Update(t.Context(), func([]byte) []byte { return nil }), ErrReleased)
	})
}

func TestUpdate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a", func(c *Config) { c.MaxMeta = 100 })
		b, _ := lan.open(t, "b")
		g, err := a.Register(t.Context(), "x", []byte("1"))
		require.NoError(t, err)
		plus := func(s string) func([]byte) []byte {
			return func(m []byte) []byte { return append(append([]byte(nil), m...), s...) }
		}
		require.NoError(t, g.Update(t.Context(), plus("2")))
		require.NoError(t, a.Update(t.Context(), "x", func(c Claim) []byte {
			require.Equal(t, "a", c.Node)
			return plus("3")(c.Meta)
		}))
		// If the metadata have changed meanwhile, f is called again with the current ones.
		calls := 0
		require.NoError(t, g.Update(t.Context(), func(m []byte) []byte {
			calls++
			if calls == 1 {
				require.NoError(t, g.Update(t.Context(), plus("4")))
			}
			return plus("5")(m)
		}))
		require.Equal(t, 2, calls)
		synctestWait()
		claim, _ := b.Lookup("x")
		require.Equal(t, "12345", string(claim.Meta))

		err = b.Update(t.Context(), "x", func(Claim) []byte { return nil })
		require.ErrorIs(t, err, ErrNotHolder)
		require.EqualError(t, err, `registry: name "x" is held on node a, and only there can it be updated`)
		err = b.Update(t.Context(), "y", func(Claim) []byte { return nil })
		require.EqualError(t, err, `registry: name "y" is not held`)
		var tooLong *MetaError
		require.ErrorAs(t, g.Update(t.Context(), func([]byte) []byte { return make([]byte, 101) }),
			&tooLong)
	})
}

func TestConflict(t *testing.T) {
	for _, test := range []struct {
		resolver Resolver
		winner   int
	}{
		{KeepNewest, 1}, {KeepOldest, 0},
		{NewResolver("larger meta", func(a, b Claim) int { return len(a.Meta) - len(b.Meta) }), 0},
	} {
		t.Run(test.resolver.Name(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				lan := newLAN()
				set := func(c *Config) { c.Resolver = test.resolver }
				a, _ := lan.open(t, "a", set)
				b, _ := lan.open(t, "b", set)
				lan.split(a, b)
				synctestWait()
				ga, err := a.Register(t.Context(), "x", []byte("from a"))
				require.NoError(t, err)
				time.Sleep(time.Second)
				gb, err := b.Register(t.Context(), "x", []byte("b"))
				require.NoError(t, err, "both sides of a split stay available")
				w := a.Watch(t.Context(), WatchNames("x"))
				lan.heal(a, b)

				both := []*Registration{ga, gb}
				winner, loser := both[test.winner], both[1-test.winner]
				<-loser.Context().Done()
				cause := context.Cause(loser.Context())
				require.ErrorIs(t, cause, ErrConflict)
				var conflict *ConflictError
				require.ErrorAs(t, cause, &conflict)
				require.Equal(t, winner.Claim(), conflict.Winner)
				require.Equal(t, cause, loser.Release())
				synctestWait()
				require.NoError(t, winner.Context().Err())
				for _, r := range []*Registry{a, b} {
					claim, ok := r.Lookup("x")
					require.True(t, ok)
					require.Equal(t, winner.Claim(), claim)
				}
				time.Sleep(5 * time.Second)
				events := takenAll(w)
				require.Contains(t, events,
					fmt.Sprintf("conflict over %q: %s won over %s", "x", winner.Claim().Node, loser.Claim().Node))
				for _, r := range []*Registry{a, b} {
					for _, p := range r.Stats().Partitions {
						require.Zero(t, p.Disagreements)
					}
				}
				require.Equal(t, 1, len(a.Registrations())+len(b.Registrations()))
			})
		})
	}
}

func TestResolverThatPanicsIsReported(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		bad := func(c *Config) {
			c.Resolver = NewResolver("bad", func(Claim, Claim) int { panic("boom") })
		}
		a, _ := lan.open(t, "a", bad)
		b, _ := lan.open(t, "b", bad)
		lan.split(a, b)
		synctestWait()
		ga, err := a.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		time.Sleep(time.Second)
		_, err = b.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		w := a.Watch(t.Context())
		lan.heal(a, b)
		<-ga.Context().Done() // the newer is kept, by default
		require.Contains(t, takenAll(w), `resolver panic over "x": registry: resolver panicked: boom`)
	})
}

func TestDisagreementIsReported(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		selfish := func(self string) func(*Config) { // each side prefers its own claims
			return func(c *Config) {
				c.Resolver = NewResolver("selfish", func(a, _ Claim) int {
					if a.Node == self {
						return 1
					}
					return -1
				})
			}
		}
		a, _ := lan.open(t, "a", selfish("a"))
		b, _ := lan.open(t, "b", selfish("b"))
		lan.split(a, b)
		synctestWait()
		for _, r := range []*Registry{a, b} {
			_, err := r.Register(t.Context(), "x", nil)
			require.NoError(t, err)
		}
		w := a.Watch(t.Context())
		lan.heal(a, b)
		time.Sleep(30 * time.Second)
		require.Contains(t, takenAll(w), `disagreement over "x": a is kept here, b elsewhere`)
	})
}

// taken returns the next n events as text.
func taken(t *testing.T, w *Watcher, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all []string
	for range n {
		e, err := w.Next(ctx)
		require.NoError(t, err)
		all = append(all, e.String())
	}
	return all
}

// takenAll returns all events that are ready.
func takenAll(w *Watcher) []string {
	synctestWait()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var all []string
	for {
		e, err := w.Next(ended) // takes events before it checks the context
		if err != nil {
			return all
		}
		all = append(all, e.String())
	}
}

// synctestWait lets 20 ms pass, so that changes which wait for others to share their packet are
// sent.
func synctestWait() {
	time.Sleep(20 * time.Millisecond)
	synctest.Wait()
}
