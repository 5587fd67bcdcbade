package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/cluster"
)

func TestDeleteReachesAllNodes(t *testing.T) {
	forEachOwnership(t, func(t *testing.T, ownership cluster.Ownership) {
		var from origin
		nodes := start(t, 3, &from, func(_ int, o *cluster.Options[string]) {
			o.Ownership, o.Slots, o.CopyTTL = ownership, 16, time.Hour
		})
		for round := 1; round <= 10; round++ {
			for _, n := range nodes {
				v, err := n.Fetch(t.Context(), "k")
				require.NoError(t, err)
				require.Equal(t, fmt.Sprintf("k#%d", round), v)
			}
			require.NoError(t, nodes[round%3].Delete(t.Context(), "k"))
			for _, n := range nodes {
				_, ok := n.Get("k")
				require.False(t, ok, "round %d, node %s", round, n.name)
			}
		}
	})
}

// tagOf returns the tags of a value, as Options.Cache.Tags.
func tagOf(key, _ string) []string { return []string{"tag of " + key[:1]} }

func TestTagReachesAllNodes(t *testing.T) {
	forEachOwnership(t, func(t *testing.T, ownership cluster.Ownership) {
		var from origin
		nodes := start(t, 3, &from, func(_ int, o *cluster.Options[string]) {
			o.Ownership, o.Slots, o.CopyTTL, o.Cache.Tags = ownership, 16, time.Hour, tagOf
		})
		tagged := []string{"a1", "a2", "a3", "a4", "a5", "a6"} // which have several owners
		before := make(map[string]int)                         // loads of each
		for round := 1; round <= 5; round++ {
			for _, n := range nodes {
				for _, key := range tagged {
					v, err := n.Fetch(t.Context(), key)
					require.NoError(t, err)
					var load int
					_, err = fmt.Sscanf(v[len(key):], "#%d", &load)
					require.NoError(t, err)
					require.Greater(t, load, before[key], "round %d, node %s", round, n.name)
				}
				_, err := n.Fetch(t.Context(), "b")
				require.NoError(t, err)
			}
			for _, key := range tagged {
				before[key] = from.count(key)
			}
			require.NoError(t, nodes[round%3].InvalidateTag(t.Context(), "tag of a"))
			for _, n := range nodes {
				for _, key := range tagged {
					_, ok := n.Get(key)
					require.False(t, ok, "round %d, node %s", round, n.name)
				}
				_, ok := n.Get("b")
				require.True(t, ok, "it bears another tag")
			}
		}
		for _, n := range nodes {
			s := n.Stats()
			require.EqualValues(t, 5, s.Deletes+s.DeletesApplied)
		}
	})
}

func TestTagsThatCannotBe(t *testing.T) {
	var from origin
	nodes := start(t, 2, &from, func(i int, o *cluster.Options[string]) {
		if o.CopyTTL = time.Hour; i == 0 {
			o.Cache.Tags = tagOf
		}
	})
	var key *cluster.KeyError
	err := nodes[0].InvalidateTag(t.Context(), string(make([]byte, cluster.DefaultMaxKey+1)))
	require.ErrorAs(t, err, &key)
	require.EqualError(t, err, "cluster: tag of 4097 bytes: want at most 4096 (Options.MaxKey)")
	var option *cluster.OptionError
	err = nodes[1].InvalidateTag(t.Context(), "t")
	require.ErrorAs(t, err, &option)
	require.EqualError(t, err,
		"cluster: Options.Cache.Tags: nil: want a function, since InvalidateTag is called")

	for _, n := range nodes {
		for _, key := range []string{"a1", "a2", "b1", "b2"} {
			_, err := n.Fetch(t.Context(), key)
			require.NoError(t, err)
		}
	}
	require.NoError(t, nodes[0].InvalidateTag(t.Context(), "tag of a"))
	for _, key := range []string{"a1", "a2", "b1", "b2"} {
		_, ok := nodes[0].Get(key)
		require.Equal(t, key[0] == 'b', ok, key)
		_, ok = nodes[1].Get(key)
		require.False(t, ok, "it knows no tags, and drops all: %s", key)
	}
	nodes[0].stop(t)
	require.ErrorIs(t, nodes[0].InvalidateTag(t.Context(), "tag of a"), cluster.ErrClosed)
}

func TestClearReachesAllNodes(t *testing.T) {
	var from origin
	nodes := start(t, 3, &from, func(_ int, o *cluster.Options[string]) { o.CopyTTL = time.Hour })
	fetchAll := func(want string) {
		for i := range 20 {
			everywhere(nodes, 1, func(n *node) {
				v, err := n.Fetch(t.Context(), fmt.Sprint("k", i))
				assert.NoError(t, err)
				assert.Equal(t, fmt.Sprintf("k%d#%s", i, want), v)
			})
		}
	}
	fetchAll("1")
	require.NoError(t, nodes[2].Clear(t.Context()))
	for _, n := range nodes {
		require.Zero(t, n.Stats().Entries)
		require.Zero(t, n.Stats().Copies)
	}
	fetchAll("2")
}

// A load that was under way when its key was deleted gives its value to its waiters, and the value
// is not stored.
func TestDeleteDuringALoad(t *testing.T) {
	changeDuringALoad(t, false, func(n *node) error { return n.Delete(t.Context(), "k") })
}

// After InvalidateTag later callers wait for the load under way, since its value may not bear the
// tag.
func TestTagDuringALoad(t *testing.T) {
	changeDuringALoad(t, true, func(n *node) error {
		return n.InvalidateTag(t.Context(), "tag of k")
	})
}

func changeDuringALoad(t *testing.T, waits bool, change func(n *node) error) {
	t.Helper()
	var from origin
	nodes := start(t, 3, &from, func(_ int, o *cluster.Options[string]) {
		o.CopyTTL, o.Cache.Tags = time.Hour, tagOf
	})
	began, gate := make(chan struct{}, 9), make(chan struct{})
	from.set(func(_ context.Context, key string, n int) (string, error) {
		if n == 1 {
			began <- struct{}{}
			<-gate
		}
		return fmt.Sprintf("%s#%d", key, n), nil
	})
	early := make(chan string, len(nodes))
	for _, n := range nodes {
		go func() {
			v, err := n.Fetch(t.Context(), "k")
			assert.NoError(t, err)
			early <- v
		}()
	}
	<-began
	waiting := func(want int) {
		t.Helper()
		require.Eventually(t, func() bool {
			sum := 0
			for _, n := range nodes {
				s := n.Stats()
				sum += s.Store.Courier.Waiting
			}
			return sum == want
		}, 20*time.Second, time.Millisecond)
	}
	waiting(5) // three callers, and two nodes that have asked
	require.NoError(t, change(nodes[0]))
	late := make(chan string, len(nodes))
	for _, n := range nodes {
		go func() {
			v, err := n.Fetch(t.Context(), "k")
			assert.NoError(t, err)
			late <- v
		}()
	}
	if waits {
		waiting(8)
		close(gate)
	}
	for range nodes {
		require.Equal(t, "k#2", <-late, "it began after the change")
	}
	if !waits {
		close(gate)
	}
	for range nodes {
		require.Contains(t, []string{"k#1", "k#2"}, <-early)
	}
	for _, n := range nodes {
		v, err := n.Fetch(t.Context(), "k")
		require.NoError(t, err)
		require.Equal(t, "k#2", v)
	}
}

// A load in place of an owner that does not deliver is treated alike.
func TestChangeDuringALocalLoad(t *testing.T) {
	for name, change := range map[string]func(ctx context.Context, n *node) error{
		"delete": func(ctx context.Context, n *node) error { return n.Delete(ctx, "k") },
		"clear":  func(ctx context.Context, n *node) error { return n.Clear(ctx) },
		"tag":    func(ctx context.Context, n *node) error { return n.InvalidateTag(ctx, "tag of k") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var from origin
			nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) {
				o.CopyTTL, o.Cache.Tags = time.Hour, tagOf
			})
			_, err := nodes[0].Fetch(t.Context(), "k")
			require.NoError(t, err)
			own := owner(t, nodes)
			n := others(nodes, own)[0]
			require.NoError(t, n.Delete(t.Context(), "k")) // the name is held still
			own.unplug()
			began, gate := make(chan struct{}, 9), make(chan struct{})
			from.set(func(_ context.Context, key string, count int) (string, error) {
				if count == 2 {
					began <- struct{}{}
					<-gate
				}
				return fmt.Sprintf("%s#%d", key, count), nil
			})
			early := make(chan string, 1)
			go func() {
				v, err := n.Fetch(t.Context(), "k")
				assert.NoError(t, err)
				early <- v
			}()
			<-began
			require.EqualValues(t, 1, n.Stats().LocalLoads)
			var unconfirmed *cluster.UnconfirmedError
			require.ErrorAs(t, change(t.Context(), n), &unconfirmed)
			late := make(chan string, 1)
			go func() {
				v, err := n.Fetch(t.Context(), "k")
				assert.NoError(t, err)
				late <- v
			}()
			if name == "tag" { // it waits for the load under way, whose value may not bear the tag
				require.Eventually(t, func() bool {
					return n.Stats().Store.Courier.Waiting == 2
				}, 20*time.Second, time.Millisecond)
				close(gate)
				require.Equal(t, "k#3", <-late, "it began after the change")
			} else {
				require.Equal(t, "k#3", <-late, "it began after the change")
				close(gate)
			}
			require.Equal(t, "k#2", <-early)
			v, ok := n.Get("k")
			require.True(t, ok)
			require.Equal(t, "k#3", v)
		})
	}
}

var errWall = errors.New("there is a wall")
