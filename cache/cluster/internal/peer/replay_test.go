package peer

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWindow(t *testing.T) {
	w := new(window)
	for _, c := range []struct {
		n    uint64
		want verdict
	}{
		{1, fresh}, {1, replayed}, {3, fresh}, {2, fresh}, {2, replayed}, {3, replayed},
		{windowSize, fresh}, {1, replayed}, {4, fresh},
		{windowSize + 1, fresh}, {1, stale}, {2, replayed}, {5, fresh},
		{windowSize + 5, fresh}, {5, stale}, {6, fresh}, {6, replayed},
		{10 * windowSize, fresh}, {windowSize + 6, stale}, {9*windowSize + 1, fresh}, {9 * windowSize, stale},
		{10*windowSize - 1, fresh}, {10*windowSize - 1, replayed}, {10 * windowSize, replayed},
		{1<<64 - 1, fresh}, {1<<64 - 1, replayed}, {1<<64 - windowSize, fresh}, {1<<64 - windowSize - 1, stale}, {0, stale},
	} {
		require.Equal(t, c.want, w.take(c.n), c.n)
	}
}

// When the window jumps nothing of what was there before may be left in it.
func TestWindowJumps(t *testing.T) {
	for _, jump := range []uint64{1, 63, 64, 65, windowSize - 64, windowSize, windowSize + 1, windowSize + 64, 3 * windowSize} {
		w := new(window)
		top := uint64(2*windowSize + 7)
		for n := range top + 1 {
			require.Equal(t, fresh, w.take(n))
		}
		require.Equal(t, fresh, w.take(top+jump))
		for n := top + jump - windowSize + 1; n < top+jump; n++ {
			want := fresh
			if n <= top {
				want = replayed
			}
			require.Equal(t, want, w.take(n), "%d after %d and %d", n, top, top+jump)
		}
	}
}

// A window never says fresh twice, and never anything else of a counter that is new and not overtaken by too many.
func TestWindowAgainstASet(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 10 {
		w, used, top := new(window), make(map[uint64]bool), uint64(0)
		for range 20000 {
			n := top + 1
			switch r.IntN(10) {
			case 0:
				n = top + r.Uint64N(2*windowSize)
			case 1:
				n = top + windowSize - 2 + r.Uint64N(4)
			case 2, 3, 4:
				n = top - min(top, r.Uint64N(windowSize+100))
			}
			want := fresh
			switch {
			case top >= windowSize && n <= top-windowSize:
				want = stale
			case used[n]:
				want = replayed
			}
			if got := w.take(n); got != want {
				require.Equal(t, want, got, "%d after %d", n, top)
			}
			if want == fresh {
				used[n] = true
				top = max(top, n)
			}
		}
	}
}

// However many runs there were, memory is bounded, and nothing that was sent before they were forgotten is accepted
// again.
func TestEpochs(t *testing.T) {
	r := newReplays(runB)
	r.max = 3
	type sent struct {
		run uint64
		stamp
	}
	var all []sent
	epoch := uint64(runB)
	epochs := map[uint64]bool{epoch: true}
	for run := range uint64(100) {
		for n := uint64(1); n <= 3; n++ {
			s := sent{run, stamp{epoch, n}}
			v, now := r.take(run, s.stamp)
			if v == stale {
				require.False(t, epochs[now], "an epoch must be new")
				epochs[now] = true
				epoch = now
				s.epoch = now
				v, _ = r.take(run, s.stamp)
			}
			require.Equal(t, fresh, v)
			all = append(all, s)
			require.LessOrEqual(t, len(r.windows), 3)
		}
	}
	assert.Greater(t, len(epochs), 30)
	for _, s := range all {
		v, _ := r.take(s.run, s.stamp)
		require.NotEqual(t, fresh, v, fmt.Sprint(s))
	}
}

// A Client is told of a new epoch, signs again, and notices nothing.
func TestClientFollowsTheEpoch(t *testing.T) {
	a, b := configA(), configB()
	a.Keys = [][]byte{make([]byte, 32)}
	b.Keys = a.Keys
	n := connect(t, h2c, a, b, backend{fetch: echo})
	n.server.replays.max = 2
	for i := range 10 {
		a.Run = uint64(1000 + i)
		c := NewClient(a, n.client.rt)
		for range 3 {
			v, err := c.Fetch(t.Context(), n.to, "k", nil)
			require.NoError(t, err)
			require.Equal(t, "k", string(v.Data))
		}
	}
	assert.NotEqual(t, uint64(runB), n.server.replays.epoch)
	assert.Equal(t, Refused{}, n.server.Refused(), "to be told of an epoch is no refusal")
}

// One request that was overtaken by a whole window, as it waited for a connection, is signed again and served.
func TestRequestThatWasOvertaken(t *testing.T) {
	a, b := configA(), configB()
	a.Keys = [][]byte{make([]byte, 32)}
	b.Keys = a.Keys
	n := connect(t, h2c, a, b, backend{fetch: echo})
	for range 2 {
		_, err := n.fetch(t.Context(), "k")
		require.NoError(t, err)
	}
	once := false
	n.client.rt = altered{n.client.rt, func(*http.Request) {
		if !once {
			once = true
			n.server.replays.take(runA, stamp{runB, 3 + windowSize})
			n.client.counter.Store(3 + windowSize)
		}
	}}
	v, err := n.fetch(t.Context(), "k")
	require.NoError(t, err)
	assert.Equal(t, "k", string(v.Data))
}
