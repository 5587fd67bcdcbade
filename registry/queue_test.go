package registry

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// one configures a single partition with a short queue.
func one(c *Config) { c.Partitions, c.QueueSize = 1, 4 }

// stall blocks the sender of a node with one partition: its goroutine waits to send a name until
// letGo is called. Changes stay in the queue meanwhile.
func stall(t *testing.T, r *Registry, node *fakeNode) (letGo func()) {
	t.Helper()
	letGo = node.hold()
	_, err := r.Register(t.Context(), "under way", nil)
	require.NoError(t, err)
	synctestWait()
	require.Equal(t, 1, node.waiting)
	require.Zero(t, r.Stats().Partitions[0].Queue)
	return letGo
}

// fill fills the queue of a stalled node.
func fill(t *testing.T, r *Registry) {
	t.Helper()
	for i := r.Stats().Partitions[0].Queue; i < r.cfg.QueueSize; i++ {
		_, err := r.Register(t.Context(), fmt.Sprint("filler ", i), nil)
		require.NoError(t, err)
	}
	synctestWait()
	require.Equal(t, r.cfg.QueueSize, r.Stats().Partitions[0].Queue, "the queue stays full")
}

func TestFullQueuePushesBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, node := lan.open(t, "a", one)
		b, _ := lan.open(t, "b", one)
		letGo := stall(t, a, node)
		fill(t, a)

		// A caller whose context ends gets an error with the partition and the length of its queue.
		gaveUp := errors.New("gave up")
		ctx, cancel := context.WithCancelCause(t.Context())
		result := make(chan error)
		go func() {
			_, err := a.Register(ctx, "impatient", nil)
			result <- err
		}()
		synctest.Wait()
		require.Equal(t, 1, a.Stats().Partitions[0].Waiting)
		cancel(gaveUp)
		err := <-result
		require.ErrorIs(t, err, ErrOverloaded)
		require.ErrorIs(t, err, gaveUp)
		var over *OverloadedError
		require.ErrorAs(t, err, &over)
		require.Equal(t, OverloadedError{Name: "impatient", Partition: 0, Depth: 4, Err: gaveUp}, *over)
		_, ok := a.Lookup("impatient")
		require.False(t, ok)

		// Others wait, and the queue does not grow meanwhile. No message gets through yet, but the
		// sender drops some.
		letGo()
		const waiting = 50
		for i := range waiting {
			go func() {
				_, err := a.Register(t.Context(), fmt.Sprint("patient ", i), nil)
				result <- err
			}()
		}
		for range waiting {
			require.NoError(t, <-result)
			require.LessOrEqual(t, a.Stats().Partitions[0].Queue, 4)
		}
		s := a.Stats().Partitions[0]
		require.Equal(t, 4, s.QueueHigh)
		require.Zero(t, s.Waiting)
		require.Zero(t, a.parts[0].gate.granted, "callers that gave up hold no room")

		node.jam(false)
		time.Sleep(30 * time.Second) // lost changes are pulled
		require.Equal(t, a.Len(), b.Len())
		require.Zero(t, a.Stats().Partitions[0].Queue)
	})
}

// A queued name can change any number of times: the queue has one entry for each name.
func TestQueueCoalesces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, node := lan.open(t, "a", one)
		b, _ := lan.open(t, "b", one)
		letGo := stall(t, a, node)
		g, err := a.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		fill(t, a)
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 1000 {
			require.NoError(t, g.Update(ctx, func([]byte) []byte { return fmt.Append(nil, i) }),
				"without waiting")
		}
		cancel()
		s := a.Stats().Partitions[0]
		require.Equal(t, 4, s.Queue)
		require.Equal(t, 4, s.QueueHigh)
		node.jam(false)
		letGo()
		synctestWait()
		claim, _ := b.Lookup("x")
		require.Equal(t, "999", string(claim.Meta))
		sent := node.gossiped + node.direct
		require.LessOrEqual(t, sent, 3, "a thousand changes left as one")
	})
}

// Release never waits.
func TestReleaseNeedsNoRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, node := lan.open(t, "a", one)
		lan.open(t, "b", one)
		g, err := a.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		synctestWait()
		stall(t, a, node)
		fill(t, a)
		before := time.Now()
		require.NoError(t, g.Release())
		require.Equal(t, before, time.Now())
		require.Equal(t, 5, a.Stats().Partitions[0].Queue)
	})
}

func TestCloseWakesThoseWhoWaitForRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, node := lan.open(t, "a", one)
		lan.open(t, "b", one)
		stall(t, a, node)
		fill(t, a)
		result := make(chan error)
		go func() {
			_, err := a.Register(t.Context(), "x", nil)
			result <- err
		}()
		synctest.Wait()
		require.Equal(t, 1, a.Stats().Partitions[0].Waiting)
		require.NoError(t, a.Close())
		require.ErrorIs(t, <-result, ErrClosed)
	})
}

func TestManyChangesGoStraightToAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, node := lan.open(t, "a")
		b, _ := lan.open(t, "b")
		_, err := a.Register(t.Context(), "few", nil)
		require.NoError(t, err)
		synctestWait()
		require.Equal(t, 1, node.gossiped)
		require.Zero(t, node.direct)

		node.mu.Lock()
		node.backlog = gossipDepth
		node.mu.Unlock()
		_, err = a.Register(t.Context(), "while gossip is busy", nil)
		require.NoError(t, err)
		synctestWait()
		require.Equal(t, 1, node.gossiped)
		require.Equal(t, 1, node.direct)
		node.mu.Lock()
		node.backlog, node.direct = 0, 0
		node.mu.Unlock()
		for i := range 4 * (bulkNames + 100) {
			_, err := a.Register(t.Context(), strconv.Itoa(i), nil)
			require.NoError(t, err)
		}
		synctestWait()
		require.NotZero(t, node.direct)
		require.Equal(t, a.Len(), b.Len())
	})
}

// A caller that gives up when its turn comes must pass the turn on.
func TestGate(t *testing.T) {
	var g gate
	require.False(t, g.full(1))
	require.True(t, g.full(0))
	first, second, third := g.enter(), g.enter(), g.enter()
	require.True(t, g.full(1), "no caller overtakes those that wait")
	g.open(1)
	require.True(t, isClosed(first.turn))
	require.False(t, isClosed(second.turn))
	g.open(1)
	require.False(t, isClosed(second.turn), "the room is reserved")
	g.leave(second)
	g.leave(first)
	g.open(1)
	require.True(t, isClosed(third.turn))
	require.True(t, g.full(1))
	g.leave(third)
	require.False(t, g.full(1))
	require.Zero(t, g.waiting.Len())
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestInboxIsBounded(t *testing.T) {
	b := newInbox()
	for range 3 * inboxMessages {
		b.message("n", nil, 1)
	}
	n, s := b.len()
	require.Equal(t, inboxMessages, n)
	require.Equal(t, inboxMessages, s.high)
	require.Equal(t, uint64(3*inboxMessages), s.received)
	require.Equal(t, uint64(2*inboxMessages), s.dropped)
	require.Len(t, b.take(), inboxMessages)

	b.message("n", nil, inboxBytes)
	b.message("n", nil, 1)
	n, s = b.len()
	require.Equal(t, 1, n)
	require.Equal(t, uint64(2*inboxMessages+1), s.dropped)

	// Messages about membership are kept nevertheless, the last of each node.
	for i := range uint64(1000) {
		b.node("x", nodeUp, i)
		b.node("x", nodeDown, 0)
		b.node("y", nodeUp, i)
	}
	items := b.take()
	require.Len(t, items, 3)
	require.Equal(t, item{node: "x", news: nodeDown}, items[1])
	require.Equal(t, item{node: "y", news: nodeUp, incarnation: 999}, items[2])
	require.Empty(t, b.take())
}
