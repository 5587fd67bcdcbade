package feed

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var errEnded = errors.New("ended")

// newHub returns a hub of numbers, in which a negative number counts missed ones.
func newHub() *Hub[int] {
	return &Hub[int]{Ended: errEnded, Missed: func(n uint64) int { return -int(n) }}
}

// taken returns all events that wait.
func taken(s *Subscription[int]) []int {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	all := []int{}
	for {
		e, err := s.Next(ended)
		if err != nil {
			return all
		}
		all = append(all, e)
	}
}

// However publishing and taking alternate, the last limit events come in order, and lost ones are
// counted.
func TestOrderAndCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHub()
		limit := rapid.IntRange(1, 40).Draw(t, "limit")
		s := h.Subscribe(context.Background(), limit, nil)
		defer s.Close()
		next, seen := 1, 0
		for _, n := range rapid.SliceOf(rapid.IntRange(0, 60)).Draw(t, "bursts") {
			for range n {
				h.Publish(next)
				next++
			}
			got := taken(s)
			require.LessOrEqual(t, len(got), limit+1)
			for i, e := range got {
				if e < 0 {
					require.Zero(t, i)
					require.Greater(t, n, limit)
					seen -= e
					continue
				}
				seen++
				require.Equal(t, seen, e)
			}
			require.Equal(t, next-1, seen)
		}
	})
}

func TestWants(t *testing.T) {
	h := newHub()
	require.False(t, h.Watched())
	even := h.Subscribe(t.Context(), 10, func(e int) bool { return e%2 == 0 })
	all := h.Subscribe(t.Context(), 10, nil)
	require.True(t, h.Watched())
	for i := range 5 {
		h.Publish(i)
	}
	require.Equal(t, []int{0, 2, 4}, taken(even))
	require.Equal(t, []int{0, 1, 2, 3, 4}, taken(all))
	even.Close()
	all.Close()
	require.False(t, h.Watched())
}

func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		gaveUp := errors.New("gave up")
		ctx, cancel := context.WithCancelCause(t.Context())
		byContext, byHub := h.Subscribe(ctx, 10, nil), h.Subscribe(t.Context(), 10, nil)
		h.Publish(1)
		cancel(gaveUp)
		synctest.Wait()
		h.Publish(2)
		h.Close()
		for s, want := range map[*Subscription[int]]struct {
			events []int
			err    error
		}{byContext: {[]int{1}, gaveUp}, byHub: {[]int{1, 2}, errEnded}} {
			var got []int
			for e := range s.Events() {
				got = append(got, e)
			}
			require.Equal(t, want.events, got, "what was there can still be taken")
			_, err := s.Next(t.Context())
			require.Equal(t, want.err, err)
			s.Close()
		}
		late := h.Subscribe(t.Context(), 10, nil)
		_, err := late.Next(t.Context())
		require.Equal(t, errEnded, err)
	})
}

// With many publishers and many takers, each event goes to one taker.
func TestMany(t *testing.T) {
	h := newHub()
	s := h.Subscribe(t.Context(), 100_000, nil)
	var publishing, taking sync.WaitGroup
	var mu sync.Mutex
	sum := 0
	for range 4 {
		publishing.Go(func() {
			for i := range 1000 {
				h.Publish(i)
			}
		})
		taking.Go(func() {
			for e := range s.Events() {
				mu.Lock()
				sum += e
				mu.Unlock()
			}
		})
	}
	publishing.Wait()
	s.Close()
	taking.Wait()
	require.Equal(t, 4*999*1000/2, sum)
}
