package registry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// mute makes a and b members of each other, and drops all messages from a to b: so b can't know yet
// what a holds.
func (l *fakeLAN) mute(a, b *Registry, quiet bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	na, nb := l.nodes[a.cfg.NodeName], l.nodes[b.cfg.NodeName]
	delete(l.cut, [2]string{nb.name, na.name})
	l.cut[[2]string{na.name, nb.name}] = quiet
	l.see(na, nb, true, false)
}

// A node does not register a name that another holds, although it does not know that yet.
func TestRegisterWaitsUntilTheNodeHasCaughtUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := newLAN()
		a, _ := l.open(t, "a")
		b, _ := l.open(t, "b")
		l.split(a, b)
		held, err := a.Register(t.Context(), "held", nil)
		require.NoError(t, err)
		synctest.Wait()
		l.mute(a, b, true)
		synctest.Wait()

		type result struct {
			g   *Registration
			err error
		}
		register := func(name string) <-chan result {
			done := make(chan result, 1)
			go func() {
				g, err := b.Register(t.Context(), name, nil)
				done <- result{g, err}
			}()
			return done
		}
		taken, free := register("held"), register("free")
		time.Sleep(time.Second)
		synctest.Wait()
		require.Empty(t, taken)
		require.Empty(t, free)
		require.Equal(t, 1, b.Stats().Partitions[0].Syncing)

		l.mute(a, b, false)
		require.ErrorIs(t, (<-taken).err, ErrTaken)
		require.NoError(t, (<-free).err)
		require.NoError(t, held.Context().Err())
		time.Sleep(time.Minute) // each partition asks separately, less and less often
		synctest.Wait()
		require.Zero(t, b.Stats().Partitions[0].Syncing)
		require.Zero(t, b.Stats().Partitions[0].Conflicts)
	})
}

func TestTheWaitToCatchUpIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := newLAN()
		a, _ := l.open(t, "a")
		b, _ := l.open(t, "b")
		own, err := b.Register(t.Context(), "own", nil)
		require.NoError(t, err)
		l.split(a, b)
		synctest.Wait()
		l.mute(a, b, true)
		synctest.Wait()

		start := time.Now()
		_, err = b.Register(t.Context(), "x", nil)
		var syncing *SyncingError
		require.ErrorAs(t, err, &syncing)
		require.ErrorIs(t, err, ErrSyncing)
		require.NoError(t, syncing.Err)
		require.Equal(t, "x", syncing.Name)
		require.Equal(t, "a", syncing.Node)
		require.Equal(t, b.part("x").n, syncing.Partition)
		require.EqualError(t, err, `registry: name "x" may be taken: partition 0 has not caught up with node a yet`)
		require.Equal(t, DefaultSyncTimeout, time.Since(start))

		cause := errors.New("no time")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		_, err = b.RegisterFor(ctx, t.Context(), "x", nil)
		require.ErrorIs(t, err, ErrSyncing)
		require.ErrorIs(t, err, cause)
		require.Empty(t, b.part("x").asked, "no caller waits any more")

		// Own claims, and those of nodes that are down, are known without a wait.
		start = time.Now()
		again, err := b.Register(t.Context(), "own", nil)
		require.NoError(t, err)
		require.Same(t, own, again)
		require.NoError(t, own.Release())
		l.split(a, b)
		synctest.Wait()
		_, err = b.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		require.Zero(t, time.Since(start))
	})
}

func TestClosingEndsTheWaitToCatchUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := newLAN()
		a, _ := l.open(t, "a")
		b, _ := l.open(t, "b")
		l.split(a, b)
		synctest.Wait()
		l.mute(a, b, true)
		synctest.Wait()
		done := make(chan error, 1)
		go func() {
			_, err := b.Register(t.Context(), "x", nil)
			done <- err
		}()
		synctest.Wait()
		require.NoError(t, b.Close())
		require.ErrorIs(t, <-done, ErrClosed)
	})
}

// If its context ends while the node catches up, Run returns the cause, as whenever the function
// does not run.
func TestRunEndsWhileItCatchesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := newLAN()
		a, _ := l.open(t, "a")
		b, _ := l.open(t, "b")
		l.split(a, b)
		synctest.Wait()
		l.mute(a, b, true)
		synctest.Wait()
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx, "x", nil, nil) }()
		time.Sleep(DefaultSyncTimeout + time.Second)
		synctest.Wait()
		require.Empty(t, done, "Run goes on")
		tired := errors.New("tired")
		cancel(tired)
		require.Equal(t, tired, <-done)
	})
}

// A Join that is under way when the node closes or leaves fails like a later one.
func TestClosingEndsJoin(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*Registry) error
	}{
		{"Close", (*Registry).Close},
		{"Leave", func(r *Registry) error { return r.Leave(context.Background()) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := newLAN()
				a, _ := l.open(t, "a")
				b, _ := l.open(t, "b")
				l.split(a, b)
				synctest.Wait()
				l.mute(a, b, true)
				synctest.Wait()
				done := make(chan error, 1)
				go func() {
					_, err := b.Join(t.Context(), a.Addr())
					done <- err
				}()
				synctest.Wait()
				require.Empty(t, done, "Run waits until b has caught up with a")
				require.NoError(t, c.end(b))
				require.ErrorIs(t, <-done, ErrClosed)
			})
			bubble(t, func(t *testing.T) {
				network := newMemNet()
				silent := network.listen()
				go func() { <-silent.streams }()
				r, err := Open(t.Context(), Config{NodeName: "a", Transport: network.listen()})
				require.NoError(t, err)
				done := make(chan error, 1)
				go func() {
					_, err := r.Join(t.Context(), silent.addr.String())
					done <- err
				}()
				time.Sleep(time.Second)
				require.NoError(t, c.end(r))
				require.ErrorIs(t, <-done, ErrClosed)
				require.NoError(t, r.Close())
			})
		})
	}
}
