package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A worker is the function of one Run, and its results.
type worker struct {
	node   *Registry
	cancel context.CancelFunc
	begun  chan context.Context // each time that the function begins
	end    chan error           // the function returns it; it also returns when its context ends
	result chan error           // what Run returned
}

var errStopped = errors.New("stopped as told")

// run starts a Run of name on a node.
func run(t *testing.T, r *Registry, name string) *worker {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &worker{
		node: r, cancel: cancel,
		begun: make(chan context.Context, 1), end: make(chan error), result: make(chan error, 1),
	}
	go func() {
		w.result <- r.Run(ctx, name, []byte(r.NodeName()), func(ctx context.Context) error {
			w.begun <- ctx
			select {
			case err := <-w.end:
				return err
			case <-ctx.Done():
				return errStopped
			}
		})
	}()
	t.Cleanup(cancel)
	return w
}

// waits requires that the function does not run.
func (w *worker) waits(t *testing.T) {
	t.Helper()
	time.Sleep(time.Second) // longer than any turn of a small cluster
	synctest.Wait()
	require.Empty(t, w.begun)
	require.Empty(t, w.result)
}

func TestRunTakesOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a")
		b, _ := lan.open(t, "b")
		first := run(t, a, "x")
		ctx := <-first.begun
		g, ok := RegistrationFromContext(ctx)
		require.True(t, ok)
		require.Equal(t, "x", g.Name())
		require.Equal(t, "a", string(g.Claim().Meta))
		second := run(t, b, "x")
		second.waits(t)

		failed := errors.New("failed")
		first.end <- failed
		require.Equal(t, failed, <-first.result, "Run returns the function's error")
		require.Error(t, ctx.Err())
		<-second.begun
		synctestWait()
		require.Equal(t, "b", holderOf(a, "x"))
		second.end <- nil
		require.NoError(t, <-second.result, "Run ends when the function returns nil")
		synctestWait()
		require.Zero(t, a.Len())

		third := run(t, a, "x")
		<-third.begun
		fourth := run(t, b, "x")
		fourth.waits(t)
		require.NoError(t, a.Close()) // without notifying b
		require.ErrorIs(t, <-third.result, ErrClosed)
		<-fourth.begun
	})
}

// No function begins before the one whose context ended has returned.
func TestRunEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a")
		b, _ := lan.open(t, "b")
		ctx, cancel := context.WithCancelCause(t.Context())
		result, winding := make(chan error), make(chan struct{})
		go func() {
			result <- a.Run(ctx, "x", nil, func(ctx context.Context) error {
				<-ctx.Done()
				close(winding)
				time.Sleep(time.Minute)
				return context.Cause(ctx)
			})
		}()
		time.Sleep(time.Second)
		other := run(t, b, "x")
		idle, cancelIdle := context.WithCancelCause(t.Context())
		waiting := make(chan error)
		go func() { waiting <- b.Run(idle, "x", nil, nil) }()
		other.waits(t)

		tired := errors.New("tired")
		cancelIdle(tired)
		require.Equal(t, tired, <-waiting, "at once, as the function does not run")
		enough := errors.New("enough")
		cancel(enough)
		<-winding
		since := time.Now()
		other.waits(t)
		require.Equal(t, "a", holderOf(b, "x"))
		require.Equal(t, enough, <-result)
		require.Equal(t, time.Minute, time.Since(since))
		<-other.begun

		ended, cancel2 := context.WithCancelCause(t.Context())
		cancel2(enough)
		require.Equal(t, enough, a.Run(ended, "y", nil, nil))
		require.Equal(t, enough, a.Run(ended, "x", nil, nil))
	})
}

func TestRunAgainAfterAConflict(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a")
		b, _ := lan.open(t, "b")
		older := run(t, a, "x")
		first := <-older.begun
		newer := run(t, b, "x")
		newer.waits(t)
		lan.split(a, b)
		second := <-newer.begun
		require.NoError(t, first.Err(), "both sides of a split run it")

		lan.heal(a, b)
		<-first.Done()
		var conflict *ConflictError
		require.ErrorAs(t, context.Cause(first), &conflict)
		require.Equal(t, "b", conflict.Winner.Node)
		older.waits(t)
		require.NoError(t, second.Err())

		newer.cancel()
		require.Equal(t, errStopped, <-newer.result)
		again := <-older.begun
		require.NoError(t, again.Err())
		g, _ := RegistrationFromContext(again)
		synctestWait()
		require.Equal(t, "a", holderOf(b, "x"))
		require.Greater(t, g.Claim().Token(), conflict.Winner.Token(), "greater than earlier ones")
	})
}

// However the function ends, the name is free.
func TestRunLeavesNoNameBehind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a")
		require.PanicsWithValue(t, "boom", func() {
			_ = a.Run(t.Context(), "x", nil, func(context.Context) error { panic("boom") })
		})
		require.Zero(t, a.Len())
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = a.Run(t.Context(), "x", nil, func(context.Context) error { runtime.Goexit(); return nil })
		})
		wg.Wait()
		require.Zero(t, a.Len())

		var left context.Context
		err := a.Run(t.Context(), "x", nil, func(ctx context.Context) error {
			left = ctx //nolint:fatcontext // read once it has ended
			g, _ := RegistrationFromContext(ctx)
			require.NoError(t, g.Release())
			<-ctx.Done()
			return errStopped
		})
		require.Equal(t, errStopped, err, "a function that releases the name ends Run")
		require.ErrorIs(t, context.Cause(left), ErrReleased)

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.NoError(t, a.Run(ctx, "x", nil, func(ctx context.Context) error {
			_, ok := ctx.Deadline()
			require.True(t, ok, "Run may have a deadline, and the function sees it")
			left = ctx //nolint:fatcontext // read once it has ended
			return nil
		}))
		require.ErrorIs(t, context.Cause(left), ErrReleased, "the function's context ends")
	})
}

func TestRunFailsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a", func(c *Config) { c.MaxMeta = 10 })
		b, _ := lan.open(t, "b")
		_, err := b.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		synctestWait()
		never := func(context.Context) error { panic("never called") }
		require.EqualError(t, a.Run(t.Context(), "", nil, never),
			"registry: name of 0 bytes: want 1 to 65535")
		err = a.Run(t.Context(), "x", make([]byte, 11), never)
		require.ErrorContains(t, err, "metadata of 11 bytes", "although the name is taken")

		err = a.Run(t.Context(), "y", nil, func(ctx context.Context) error {
			within, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			err := a.Run(within, "y", nil, never)
			require.ErrorIs(t, err, ErrTaken, "otherwise it would wait for itself")
			return a.Run(ctx, "z", nil, func(ctx context.Context) error {
				g, _ := RegistrationFromContext(ctx)
				require.Equal(t, "z", g.Name(), "the last one")
				require.ErrorIs(t, a.Run(ctx, "y", nil, never), ErrTaken)
				_, err := a.Register(ctx, "y", []byte("m"))
				require.NoError(t, err, "the same holder")
				return nil
			})
		})
		require.NoError(t, err)

		left := run(t, a, "x")
		left.waits(t)
		held := run(t, a, "w")
		ctx := <-held.begun
		caused, began := make(chan error, 1), make(chan struct{})
		go func() {
			caused <- a.Run(t.Context(), "u", nil, func(ctx context.Context) error {
				close(began)
				<-ctx.Done()
				return context.Cause(ctx)
			})
		}()
		<-began
		require.NoError(t, a.Leave(t.Context()))
		require.Equal(t, ErrClosed, <-caused, "the cause is not wrapped twice")
		require.ErrorIs(t, <-left.result, ErrClosed)
		err = <-held.result
		require.ErrorIs(t, context.Cause(ctx), ErrClosed)
		require.ErrorIs(t, err, ErrClosed)
		require.ErrorIs(t, err, errStopped)
		require.EqualError(t, err, "registry: closed: stopped as told")
		require.Equal(t, ErrClosed, a.Run(t.Context(), "v", nil, never))
		_, ok := RegistrationFromContext(t.Context())
		require.False(t, ok)
	})
}

// When a name becomes free, one of the nodes that wait for it registers it, and not all: no
// conflict follows.
func TestRunIsNoHerd(t *testing.T) {
	for _, cause := range []string{"released", "crashed", "all start at once"} {
		t.Run(cause, func(t *testing.T) { bubble(t, func(t *testing.T) { herd(t, cause) }) })
	}
}

func herd(t *testing.T, cause string) {
	t.Helper()
	nodes := 50
	if testing.Short() {
		nodes = 20
	}
	lan := newLAN()
	single := func(c *Config) { c.Partitions = 1 }
	holder, _ := lan.open(t, "holder", single)
	var others []*Registry
	for i := range nodes {
		r, _ := lan.open(t, fmt.Sprint("node", i), single)
		others = append(others, r)
	}
	g, err := holder.Register(t.Context(), "x", nil)
	require.NoError(t, err)
	synctestWait()
	if cause == "all start at once" {
		require.NoError(t, g.Release())
		synctestWait()
	}
	w := others[0].Watch(t.Context(), WatchNames("x"))
	var begun atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, r := range others {
		wg.Go(func() {
			_ = r.Run(ctx, "x", nil, func(ctx context.Context) error {
				begun.Add(1)
				<-ctx.Done()
				return nil
			})
		})
	}
	synctest.Wait()
	since := time.Now()
	switch cause {
	case "released":
		require.NoError(t, g.Release())
	case "crashed":
		require.NoError(t, holder.Close())
	}
	for holderOf(others[0], "x") == "" || holderOf(others[0], "x") == "holder" {
		_, err := w.Next(t.Context())
		require.NoError(t, err)
	}
	t.Logf("%s took over after %v", holderOf(others[0], "x"), time.Since(since))
	require.Less(t, time.Since(since), 500*time.Millisecond, "the first turn comes soon")
	time.Sleep(6 * time.Second) // longer than the last turn
	require.EqualValues(t, 1, begun.Load())
	conflicts := uint64(0)
	for _, r := range others {
		conflicts += r.Stats().Partitions[0].Conflicts
	}
	require.Zero(t, conflicts)
	cancel()
	wg.Wait()
}

// The times between the turns of nodes exceed the latency of changes, and the turns differ from
// name to name.
func TestTurns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, nodes := range []int{1, 2, 32, 33, 200, 20_000} {
			r := &Registry{cfg: Config{NodeName: "node0"}.withDefaults()}
			for i := 1; i < nodes; i++ {
				r.peers.add(fmt.Sprint("node", i), 1)
			}
			ranks := make(map[int]int)
			for i := range 20 {
				name := fmt.Sprint("name", i)
				rank, n := r.peers.rank("node0", name)
				require.Equal(t, nodes, n)
				require.Less(t, rank, nodes)
				ranks[rank]++
				turn, most := r.turn(name), 10*time.Second
				switch {
				case nodes == 1:
					require.Zero(t, turn)
				case nodes <= 32:
					require.GreaterOrEqual(t, turn, time.Duration(rank)*50*time.Millisecond)
					most = time.Duration(rank)*50*time.Millisecond + 12500*time.Microsecond
				case nodes == 33:
					require.GreaterOrEqual(t, turn, time.Duration(rank)*100*time.Millisecond)
				}
				require.LessOrEqual(t, turn, most)
			}
			if nodes > 1 {
				require.Greater(t, len(ranks), 1, "no node is always the last")
			}
		}
		// All nodes agree on the order.
		names := []string{"a", "b", "c", "d"}
		seen := make(map[int]bool)
		for _, self := range names {
			var p peers
			for _, other := range names {
				if other != self {
					p.add(other, 1)
				}
			}
			rank, _ := p.rank(self, "x")
			require.False(t, seen[rank])
			seen[rank] = true
		}
	})
}

// In a network that is never split, one function runs at a time, however functions and nodes end,
// except for the duration of a conflict. None begins before the one whose Run was cancelled has
// returned, and one runs again soon.
func TestRunOneAtATime(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 25).Draw(rt, "steps")
		who := rapid.SliceOfN(rapid.IntRange(0, 3), len(steps), len(steps)).Draw(rt, "nodes")
		wrong := ""
		bubble(t, func(t *testing.T) { wrong = oneAtATime(t, steps, who) })
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

// A chronicle records all functions that ran.
type chronicle struct {
	mu   sync.Mutex // guards what follows, but for the contexts
	runs []*chapter
}

type chapter struct {
	ctx               context.Context //nolint:containedctx // that of the function
	begun, told, left time.Time
}

func (c *chronicle) work(ctx context.Context) error {
	r := &chapter{ctx: ctx, begun: time.Now()}
	c.mu.Lock()
	c.runs = append(c.runs, r)
	c.mu.Unlock()
	<-ctx.Done()
	told := time.Now()
	time.Sleep(3 * time.Second)
	c.mu.Lock()
	defer c.mu.Unlock()
	r.told, r.left = told, time.Now()
	return ctx.Err()
}

func (c *chronicle) running() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.runs {
		if r.left.IsZero() {
			n++
		}
	}
	return n
}

// wrong returns an error in a chronicle whose functions have all returned, or "".
func (c *chronicle) wrong() string {
	const conflict = 25 * time.Millisecond // two batches of changes, and a turn
	for i, r := range c.runs {
		for _, next := range c.runs[i+1:] {
			lost := errors.Is(context.Cause(r.ctx), ErrConflict)
			switch {
			case next.begun.Before(r.left) && !lost && !errors.Is(context.Cause(next.ctx), ErrConflict):
				return fmt.Sprintf("a function begins %v before the one before has returned",
					r.left.Sub(next.begun))
			case r.told.Sub(next.begun) > conflict && next.told.Sub(next.begun) > conflict:
				return fmt.Sprintf("two functions hold the name for %v", r.told.Sub(next.begun))
			}
		}
	}
	return ""
}

func oneAtATime(t *testing.T, steps, who []int) (wrong string) {
	t.Helper()
	lan := newLAN()
	var all chronicle
	type runner struct {
		r      *Registry
		cancel context.CancelFunc
		done   chan struct{}
	}
	runners := make([]*runner, 4)
	start := func(x *runner) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		x.cancel, x.done = cancel, done
		go func() { defer close(done); _ = x.r.Run(ctx, "x", nil, all.work) }()
	}
	stop := func(x *runner) {
		x.cancel()
		<-x.done
	}
	for i := range runners {
		r, _ := lan.open(t, fmt.Sprint("n", i))
		runners[i] = &runner{r: r}
	}
	for _, x := range runners {
		start(x)
	}
	for i, step := range steps {
		x := runners[who[i]]
		switch step {
		case 0: // its Run ends, and begins again
			stop(x)
			start(x)
		case 1: // the same, at the same time on another node
			y := runners[(who[i]+1)%len(runners)]
			x.cancel()
			stop(y)
			stop(x)
			start(x)
			start(y)
		case 2: // the node leaves, and another takes its place
			stop(x)
			require.NoError(t, x.r.Leave(t.Context()))
			require.NoError(t, x.r.Close())
			x.r, _ = lan.open(t, fmt.Sprint("n", who[i], "-", i))
			start(x)
		case 3:
			time.Sleep(time.Duration(i) * 7 * time.Millisecond)
		}
	}
	time.Sleep(10 * time.Second)
	if n := all.running(); n != 1 {
		wrong = fmt.Sprintf("%d functions run in the end", n)
	}
	for _, x := range runners {
		stop(x)
	}
	return cmp.Or(all.wrong(), wrong)
}
