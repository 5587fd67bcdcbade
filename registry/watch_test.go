package registry

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a")
		_, err := a.Register(t.Context(), "before", nil)
		require.NoError(t, err)
		w := a.Watch(t.Context())
		only := a.Watch(t.Context(), WatchNames("x"), WatchNames("y"))
		b, _ := lan.open(t, "b")
		g, err := b.Register(t.Context(), "x", []byte("1"))
		require.NoError(t, err)
		synctestWait()
		require.NoError(t, g.Update(t.Context(), func([]byte) []byte { return []byte("2") }))
		synctestWait()
		require.NoError(t, g.Release())
		synctestWait()
		_, err = a.Register(t.Context(), "other", nil)
		require.NoError(t, err)
		require.NoError(t, b.Leave(t.Context()))
		require.Equal(t, []string{`registered "x" on b`, `updated "x" on b`,
			`unregistered "x" on b: released`}, takenAll(only))

		var all []Event
		for e := range w.Events() {
			all = append(all, e)
			if len(all) == 6 {
				break
			}
		}
		var words []string
		for _, e := range all {
			words = append(words, e.String())
		}
		require.Equal(t, []string{
			"node up: b at b:1", `registered "x" on b`, `updated "x" on b`,
			`unregistered "x" on b: released`,
			`registered "other" on a`, "node down: b: node left",
		}, words)
		require.Equal(t, "2", string(all[2].Claim.Meta))
		require.Equal(t, "1", string(all[2].Other.Meta))
		require.Equal(t, ReasonReleased, all[3].Reason)
		require.Empty(t, takenAll(w))
	})
}

// A watcher that is not read delays no other, and gets the number of events that it missed.
func TestSlowWatcher(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, _ := newLAN().open(t, "a")
		w := r.Watch(t.Context(), WatchBuffer(10))
		before := time.Now()
		for i := range 1000 {
			_, err := r.Register(t.Context(), strconv.Itoa(i), nil)
			require.NoError(t, err)
		}
		require.Equal(t, before, time.Now(), "no caller waited for the watcher")
		e, err := w.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, Event{Kind: Missed, Missed: 990}, e)
		require.Equal(t, "missed 990 events", e.String())
		for i := range 10 {
			e, err := w.Next(t.Context())
			require.NoError(t, err)
			require.Equal(t, strconv.Itoa(990+i), e.Name)
		}
	})
}

func TestWatcherEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, _ := newLAN().open(t, "a")
		gaveUp := errors.New("gave up")
		ctx, cancel := context.WithCancelCause(t.Context())
		byContext, byClose := r.Watch(ctx), r.Watch(t.Context(), WatchBuffer(0))
		_, err := r.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		cancel(gaveUp)
		byClose.Close()
		byClose.Close()
		synctest.Wait()
		_, err = r.Register(t.Context(), "y", nil)
		require.NoError(t, err)
		for _, w := range []*Watcher{byContext, byClose} {
			require.Equal(t, []string{`registered "x" on a`}, taken(t, w, 1),
				"what was there can still be taken")
		}
		_, err = byContext.Next(t.Context())
		require.Equal(t, gaveUp, err)
		_, err = byClose.Next(t.Context())
		require.Equal(t, ErrClosed, err)
		for range byClose.Events() {
			t.Error("an event after the end")
		}

		open := r.Watch(t.Context())
		impatient, cancel2 := context.WithTimeout(t.Context(), time.Second)
		defer cancel2()
		_, err = open.Next(impatient)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		ended := r.Watch(ctx)
		_, err = ended.Next(t.Context())
		require.Equal(t, gaveUp, err)
	})
}

// Several callers of Next share the events.
func TestNextByMany(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, _ := newLAN().open(t, "a")
		w := r.Watch(t.Context())
		got := make(chan string, 100)
		for range 10 {
			go func() {
				for e := range w.Events() {
					got <- e.Name
				}
			}()
		}
		synctest.Wait()
		want := make(map[string]bool)
		for i := range 100 {
			name := strconv.Itoa(i)
			want[name] = true
			_, err := r.Register(t.Context(), name, nil)
			require.NoError(t, err)
		}
		for range 100 {
			delete(want, <-got)
		}
		require.Empty(t, want)
		w.Close()
	})
}

func TestWaitFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a")
		b, _ := lan.open(t, "b")
		got := make(chan Claim, 10)
		for range 10 {
			go func() {
				c, err := b.WaitFor(t.Context(), "x")
				if err != nil {
					t.Error(err)
				}
				got <- c
			}()
		}
		gaveUp := errors.New("gave up")
		ctx, cancel := context.WithCancelCause(t.Context())
		failed := make(chan error)
		for _, name := range []string{"x", "y"} {
			go func() {
				_, err := b.WaitFor(ctx, name)
				failed <- err
			}()
		}
		synctest.Wait()
		cancel(gaveUp)
		require.Equal(t, gaveUp, <-failed)
		require.Equal(t, gaveUp, <-failed)
		require.Empty(t, got)
		require.Empty(t, b.part("y").waits, "no state is kept for callers that gave up")

		g, err := a.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		for range 10 {
			require.Equal(t, g.Claim(), <-got)
		}
		synctest.Wait() // until the partition has handled it
		require.Empty(t, b.part("x").waits)
		c, err := b.WaitFor(ctx, "x")
		require.NoError(t, err, "an existing holder is returned even if ctx has ended")
		require.Equal(t, g.Claim(), c)
	})
}
