package registry

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

func TestSilentHolderLosesItsName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a")
		b, _ := lan.open(t, "b")
		w := b.Watch(t.Context(), WatchNames("x"))
		g, err := a.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		require.NoError(t, g.Alive(), "without RequireAlive no signs of life are needed")

		g.RequireAlive(time.Second)
		for range 10 {
			time.Sleep(time.Second - time.Nanosecond)
			require.NoError(t, g.Alive())
		}
		time.Sleep(time.Second - time.Nanosecond)
		require.NoError(t, g.Context().Err())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		want := &SilentError{Name: "x", Within: time.Second, Silent: time.Second}
		require.Equal(t, want, context.Cause(g.Context()))
		require.ErrorIs(t, want, ErrSilent)
		require.EqualError(t, want,
			`registry: released name "x": its holder has not called Alive for 1s, and must within 1s`)
		require.Equal(t, want, g.Alive())
		require.Equal(t, want, g.Release())
		require.Equal(t, want, g.Update(t.Context(), func(m []byte) []byte { return m }))
		g.RequireAlive(time.Second) // too late
		synctestWait()
		require.Zero(t, b.Len())
		require.Equal(t, []string{`registered "x" on a`, `unregistered "x" on a: released`},
			taken(t, w, 2))
		silent := uint64(0)
		for _, p := range a.Stats().Partitions {
			silent += p.Silent
		}
		require.EqualValues(t, 1, silent)
	})
}

func TestBoundOnSilenceIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, _ := newLAN().open(t, "a")
		g, err := a.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		g.RequireAlive(time.Second)
		time.Sleep(500 * time.Millisecond)
		g.RequireAlive(10 * time.Second) // counts as a sign of life
		time.Sleep(9 * time.Second)
		require.NoError(t, g.Context().Err())
		g.RequireAlive(0)
		time.Sleep(10 * time.Second)
		require.NoError(t, g.Context().Err())

		// The bound of one registration does not apply to the next one.
		g.RequireAlive(time.Second)
		require.NoError(t, g.Release())
		again, err := a.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		g.RequireAlive(time.Second)
		time.Sleep(10 * time.Second)
		require.NoError(t, again.Context().Err())
		again.RequireAlive(time.Second)
		require.NoError(t, a.Close())
		require.ErrorIs(t, context.Cause(again.Context()), ErrClosed)
	})
}

// A function that hangs loses its name to a function on another node. Once it has returned, Run
// waits for its turn again.
func TestRunPastAHang(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a")
		b, _ := lan.open(t, "b")
		causes, unblock := make(chan error), make(chan struct{})
		result := make(chan error)
		runs := 0
		go func() {
			result <- a.Run(t.Context(), "x", nil, func(ctx context.Context) error {
				runs++
				if runs == 2 {
					return nil
				}
				g, _ := RegistrationFromContext(ctx)
				g.RequireAlive(10 * time.Second)
				<-unblock
				causes <- context.Cause(ctx)
				return g.Alive()
			})
		}()
		time.Sleep(time.Second)
		next := run(t, b, "x")
		since := time.Now()
		<-next.begun
		require.Less(t, time.Since(since), 11*time.Second)
		synctestWait()
		close(unblock)
		require.ErrorIs(t, <-causes, ErrSilent)
		next.waits(t)
		require.Equal(t, 1, runs)
		next.end <- nil
		require.NoError(t, <-next.result)
		require.NoError(t, <-result)
		require.Equal(t, 2, runs)
	})
}

// Signs of life, new bounds, ends of all kinds and their timers may come at the same time.
func TestAliveAmidEverything(t *testing.T) {
	r := openReal(t, "a", nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				life, end := context.WithCancel(t.Context())
				g, err := r.Register(life, strconv.Itoa(i), nil)
				if err != nil {
					end()
					continue // the previous one has ended, and its name is about to be free
				}
				var both sync.WaitGroup
				both.Go(func() {
					for range 20 {
						g.RequireAlive(time.Duration(j%4) * 10 * time.Microsecond)
					}
				})
				both.Go(func() {
					for range 20 {
						_ = g.Alive()
						time.Sleep(time.Microsecond)
					}
					switch j % 3 {
					case 0:
						end()
					case 1:
						_ = g.Release()
					}
				})
				both.Wait()
				end()
				<-g.Context().Done()
			}
		})
	}
	wg.Wait()
	require.NoError(t, r.Close(), "Close has nothing to wait for")
	require.Zero(t, r.Len())
}

// A node that lost a name waits its turn like all others: if its function hangs, and returns when
// its context ends, it does not get the name back before another node has had a chance.
func TestLoserWaitsItsTurn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a")
		b, _ := lan.open(t, "b")
		synctestWait()
		name := ""
		for i := 0; name == ""; i++ { // a name for which b has the first turn
			if rank, _ := b.peers.rank("b", strconv.Itoa(i)); rank == 0 {
				name = strconv.Itoa(i)
			}
		}
		begun := 0
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error)
		go func() {
			result <- a.Run(ctx, name, nil, func(ctx context.Context) error {
				begun++
				g, _ := RegistrationFromContext(ctx)
				g.RequireAlive(time.Second)
				<-ctx.Done()
				return nil
			})
		}()
		time.Sleep(500 * time.Millisecond)
		other := run(t, b, name)
		select {
		case <-other.begun:
		case <-time.After(10 * time.Second):
			t.Error("the loser has the name again and again")
		}
		require.Equal(t, 1, begun)
		cancel()
		require.Equal(t, context.Canceled, <-result)
	})
}

// A timer that has already fired when its registration ends does not affect the next registration
// of the name.
func TestLateTimerMeansOldRegistration(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, _ := newLAN().open(t, "a")
		g, err := r.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		p := r.part("x")
		g.RequireAlive(time.Nanosecond)
		p.mu.Lock()
		time.Sleep(time.Nanosecond) // its function waits for the lock
		at := r.now()
		end := p.withdraw(at, g, replica.WhyReleased, ErrReleased)
		p.core.Register(at, "x", nil)
		next := p.newRegistration(t.Context(), "x")
		e := p.takeEffects()
		e.ended = append(e.ended, end)
		p.mu.Unlock()
		p.act(e)
		synctestWait()
		require.NoError(t, next.Context().Err())
		require.Equal(t, "a", holderOf(r, "x"))
		require.Equal(t, ErrReleased, context.Cause(g.Context()))
	})
}
