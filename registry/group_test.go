package registry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/snowfence/snowfence/registry"
	"github.com/snowfence/snowfence/registry/group"
	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/shared"
)

// These are tests of package group over the network in memory, in synctest bubbles.

func groupsOf(tb testing.TB, r *registry.Registry) *group.Groups {
	tb.Helper()
	g, err := group.Open(tb.Context(), r)
	require.NoError(tb, err)
	return g
}

func joined(tb testing.TB, g *group.Groups, name, meta string) *group.Membership {
	tb.Helper()
	m, err := g.Join(tb.Context(), name, []byte(meta))
	require.NoError(tb, err)
	return m
}

// list returns node and metadata of each member.
func list(g *group.Groups, name string) string {
	var words []string
	for _, m := range g.Members(name) {
		words = append(words, m.Node+":"+string(m.Meta))
	}
	return strings.Join(words, " ")
}

// words returns the events that wait in a watcher.
func words(w *group.Watcher) []string {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	all := []string{}
	for {
		e, err := w.Next(ended)
		if err != nil {
			return all
		}
		word := fmt.Sprint(e.Kind, " ", e.Group, " ", e.Member.Node, ":", string(e.Member.Meta))
		switch e.Kind {
		case group.Left:
			word += " " + e.Reason.String()
		case group.Updated:
			word += " was " + string(e.Before.Meta)
		case group.Missed:
			word = e.String()
		}
		all = append(all, word)
	}
}

func TestGroupsSleepUntilOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := registry.NewLAN()
		a, b := registry.OpenOn(t, lan, "a", 0), registry.OpenOn(t, lan, "b", 0)
		time.Sleep(time.Minute)
		require.True(t, registry.Asleep(a))
		require.True(t, registry.Asleep(b))
		groupsOf(t, a)
		synctest.Wait()
		require.False(t, registry.Asleep(b))
		c := registry.OpenOn(t, lan, "c", 0)
		synctest.Wait()
		require.False(t, registry.Asleep(c), "a node that joins later is woken as well")
		require.Len(t, a.Stats().Partitions, 4, "they are not among those of the names")
	})
}

func TestGroupEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := registry.NewLAN()
		a, b := registry.OpenOn(t, lan, "a", 0), registry.OpenOn(t, lan, "b", 0)
		ga, gb := groupsOf(t, a), groupsOf(t, b)
		w, other := ga.Watch(t.Context(), "g"), ga.Watch(t.Context(), "other")
		life, end := context.WithCancelCause(t.Context())
		gaveUp := errors.New("gave up")

		one := joined(t, gb, "g", "1")
		joined(t, gb, "other", "x")
		two, err := gb.Join(life, "g", []byte("2"))
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.NoError(t, one.Update(t.Context(),
			func(m []byte) []byte { return append([]byte("not "), m...) }))
		time.Sleep(time.Second)
		require.Equal(t, "b:not 1 b:2", list(ga, "g"))
		end(gaveUp)
		time.Sleep(time.Second)
		require.NoError(t, one.Leave())
		time.Sleep(time.Second)
		require.Empty(t, ga.Members("g"))
		require.Equal(t, []string{
			"joined g b:1", "joined g b:2", "updated g b:not 1 was 1", "left g b:2 released",
			"left g b:not 1 released",
		}, words(w))
		require.Equal(t, []string{"other"}, slices.Collect(ga.Names()))

		require.Equal(t, gaveUp, context.Cause(two.Context()))
		require.Equal(t, gaveUp, two.Leave())
		require.Equal(t, gaveUp, two.Update(t.Context(), func([]byte) []byte { return nil }))
		require.ErrorIs(t, context.Cause(one.Context()), registry.ErrReleased)
		require.NoError(t, one.Leave(), "again")
		_, ok := one.Member()
		require.False(t, ok)

		require.Equal(t, []string{"joined other b:x"}, words(other))
		registry.SplitOn(lan, a, b)
		synctest.Wait()
		require.Empty(t, ga.Members("other"))
		joined(t, gb, "other", "y")
		time.Sleep(time.Second)
		registry.HealOn(lan, a, b)
		time.Sleep(10 * time.Second)
		require.NoError(t, b.Leave(t.Context()))
		synctest.Wait()
		require.Equal(t, []string{
			"left other b:x node down", "joined other b:x", "joined other b:y",
			"left other b:x node left", "left other b:y node left",
		}, words(other))
	})
}

func TestSlowGroupWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := groupsOf(t, registry.OpenOn(t, registry.NewLAN(), "a", 0))
		w := g.Watch(t.Context())
		before := time.Now()
		for i := range registry.DefaultWatchBuffer + 7 {
			joined(t, g, strconv.Itoa(i), "")
		}
		require.Equal(t, before, time.Now(), "no caller waited for the watcher")
		all := words(w)
		require.Len(t, all, registry.DefaultWatchBuffer+1)
		require.Equal(t, []string{"missed 7 events", "joined 7 a:"}, all[:2])
		w.Close()
		_, err := w.Next(t.Context())
		require.ErrorIs(t, err, registry.ErrClosed)
	})
}

// Many concurrent joins are sent in few messages, and full queues block callers.
func TestGroupQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := registry.NewLAN()
		a, b := registry.OpenOn(t, lan, "a", 2), registry.OpenOn(t, lan, "b", 0)
		ga, gb := groupsOf(t, a), groupsOf(t, b)
		for i := range 1000 {
			joined(t, ga, "g", strconv.Itoa(i))
		}
		time.Sleep(time.Second)
		require.Equal(t, 1000, gb.Len("g"))
		var updates uint64
		for _, p := range ga.Stats().Partitions {
			updates += p.Sent.Updates
		}
		require.LessOrEqual(t, updates, uint64(3))

		registry.JamOn(lan, a, true)
		var err error
		var queued []*group.Membership
		for i := 0; err == nil; i++ {
			require.Less(t, i, 1000)
			life, end := context.WithCancelCause(t.Context())
			impatient := time.AfterFunc(50*time.Millisecond, func() { end(errors.New("gave up")) })
			var m *group.Membership
			if m, err = ga.Join(life, fmt.Sprint("group ", i), nil); err == nil {
				impatient.Stop()
				queued = append(queued, m)
			}
		}
		require.ErrorIs(t, err, registry.ErrOverloaded)
		var full *registry.OverloadedError
		require.ErrorAs(t, err, &full)
		require.Less(t, full.Partition, 4)
		require.ErrorContains(t, err, "gave up")
		_, err = a.Register(t.Context(), "a name", nil)
		require.NoError(t, err, "names have queues of their own")
		before := time.Now()
		for _, m := range queued {
			require.NoError(t, m.Leave())
		}
		require.Equal(t, before, time.Now(), "leaving does not wait")
		registry.JamOn(lan, a, false)
		time.Sleep(10 * time.Second)
		for _, m := range queued {
			require.Empty(t, gb.Members(m.Group()))
		}
	})
}

func TestGroupsEnd(t *testing.T) {
	for _, leave := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			lan := registry.NewLAN()
			a, b := registry.OpenOn(t, lan, "a", 0), registry.OpenOn(t, lan, "b", 0)
			ga, gb := groupsOf(t, a), groupsOf(t, b)
			m := joined(t, ga, "g", "")
			w := ga.Watch(t.Context())
			time.Sleep(time.Second)
			require.Equal(t, 1, gb.Len("g"))
			if leave {
				require.NoError(t, a.Leave(t.Context()))
				require.ErrorIs(t, context.Cause(m.Context()), registry.ErrClosed)
				require.Equal(t, []string{"left g a: registry closed"}, words(w))
				synctest.Wait()
				require.Zero(t, gb.Len("g"))
				_, err := ga.Join(t.Context(), "g", nil)
				require.ErrorIs(t, err, registry.ErrClosed)
			}
			require.NoError(t, a.Close())
			require.ErrorIs(t, context.Cause(m.Context()), registry.ErrClosed)
			require.ErrorIs(t, m.Leave(), registry.ErrClosed)
			require.ErrorIs(t, m.Update(t.Context(), func(m []byte) []byte { return m }), registry.ErrClosed)
			_, err := ga.Join(t.Context(), "g", nil)
			require.ErrorIs(t, err, registry.ErrClosed)
			_, err = group.Open(t.Context(), a)
			require.ErrorIs(t, err, registry.ErrClosed)
			words(w)
			_, err = w.Next(t.Context())
			require.ErrorIs(t, err, registry.ErrClosed)
			_, err = ga.Watch(t.Context()).Next(t.Context())
			require.ErrorIs(t, err, registry.ErrClosed)
			registry.Awaken(a) // a late message changes nothing
		})
	}
}

// A registry that closed before its groups were opened is not woken by late messages.
func TestGroupsAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := registry.OpenOn(t, registry.NewLAN(), "a", 0)
		require.NoError(t, a.Leave(t.Context()))
		registry.Awaken(a)
		require.True(t, registry.Asleep(a))
		_, err := group.Open(t.Context(), a)
		require.ErrorIs(t, err, registry.ErrClosed)
	})
}

func TestGroupLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := groupsOf(t, registry.OpenOn(t, registry.NewLAN(), "a", 0))
		var name *registry.NameError
		for _, n := range []int{0, registry.MaxName + 1} {
			_, err := g.Join(t.Context(), strings.Repeat("x", n), nil)
			require.ErrorAs(t, err, &name)
		}
		longest := strings.Repeat("x", registry.MaxName)
		joined(t, g, longest, "")
		require.Equal(t, 1, g.Len(longest))

		var meta *registry.MetaError
		_, err := g.Join(t.Context(), "g", make([]byte, registry.DefaultMaxMeta+1))
		require.ErrorAs(t, err, &meta)
		var full *group.FullError
		for err = nil; err == nil; {
			_, err = g.Join(t.Context(), "g", make([]byte, registry.DefaultMaxMeta))
		}
		require.ErrorAs(t, err, &full)
		require.ErrorIs(t, err, group.ErrFull)
		require.Equal(t, 15, full.Members)
		require.Equal(t, 14, g.Len("g"), "a member that does not fit is refused, and the others stay")
		m := joined(t, g, "g", "")
		err = m.Update(t.Context(), func([]byte) []byte { return make([]byte, registry.DefaultMaxMeta) })
		require.ErrorIs(t, err, group.ErrFull)
		err = m.Update(t.Context(), func([]byte) []byte {
			return make([]byte, registry.DefaultMaxMeta+1)
		})
		require.ErrorAs(t, err, &meta)

		ended, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("was over before"))
		_, err = g.Join(ended, "g", nil)
		require.ErrorContains(t, err, "was over before")
		require.ErrorContains(t, m.Update(ended, func(m []byte) []byte { return m }), "was over before")
		_, err = group.Open(ended, nil)
		require.Error(t, err)
	})
}

// Concurrent updates of one member are serialised.
func TestGroupUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := groupsOf(t, registry.OpenOn(t, registry.NewLAN(), "a", 0))
		m := joined(t, g, "g", "")
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if err := m.Update(t.Context(),
					func(m []byte) []byte { return append(slices.Clone(m), 'x') }); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		is, ok := m.Member()
		require.True(t, ok)
		require.Equal(t, strings.Repeat("x", 50), string(is.Meta))
		require.Equal(t, []group.Member{is}, g.Local("g"))
	})
}

// Members in a list of another version are counted and not shown, and all others are shown.
func TestUnreadableMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := registry.NewLAN()
		a, b := registry.OpenOn(t, lan, "a", 0), registry.OpenOn(t, lan, "b", 0)
		ga := groupsOf(t, a)
		joined(t, ga, "g", "1")
		var later shared.Space
		start := func(s shared.Space, _ func() []registry.PartitionStats) shared.Client {
			later = s
			return deaf{}
		}
		_, err := b.OpenGroups(t.Context(), start)
		require.NoError(t, err)
		for _, name := range []string{"g", "h"} {
			require.NoError(t, later.Edit(t.Context(), name, func([]byte) ([]byte, error) {
				return []byte("\x09later"), nil
			}))
		}
		w := ga.Watch(t.Context())
		time.Sleep(time.Second)
		require.Equal(t, "a:1", list(ga, "g"))
		require.Empty(t, ga.Members("h"))
		require.Equal(t, []string{"g"}, slices.Collect(ga.Names()))
		require.Equal(t, uint64(2), ga.Stats().Unreadable)
		require.Equal(t, 1, ga.Stats().Groups)
		require.Empty(t, words(w))
	})
}

type deaf struct{}

func (deaf) Changed(*replica.Record) {}
func (deaf) Retire()                 {}
func (deaf) Close()                  {}

// After any sequence of steps all nodes that see each other show each member once, and a watcher's
// events add up to them.
func TestGroupsConverge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.IntRange(0, 1<<16), 1, 60).Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) { converge(t, steps) })
	})
}

func converge(t *testing.T, steps []int) {
	t.Helper()
	lan := registry.NewLAN()
	var nodes []*registry.Registry
	var groups []*group.Groups
	for _, name := range []string{"a", "b", "c"} {
		nodes = append(nodes, registry.OpenOn(t, lan, name, 0))
		groups = append(groups, groupsOf(t, nodes[len(nodes)-1]))
	}
	w := groups[0].Watch(t.Context())
	told := make(map[string]group.Member)
	key := func(name string, m group.Member) string { return fmt.Sprint(name, " ", m.Node, " ", m.ID) }
	listen := func() {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for {
			e, err := w.Next(ended)
			if err != nil {
				return
			}
			was, known := told[key(e.Group, e.Member)]
			switch e.Kind {
			case group.Joined:
				require.False(t, known, "joined twice: %v", e)
				told[key(e.Group, e.Member)] = e.Member
			case group.Updated:
				require.Equal(t, was, e.Before)
				told[key(e.Group, e.Member)] = e.Member
			case group.Left:
				require.Equal(t, was, e.Member)
				delete(told, key(e.Group, e.Member))
			default:
				t.Fatal(e)
			}
		}
	}
	var live []*group.Membership
	for _, s := range steps {
		what, n, which := s%8, s/8%3, s/24
		name := fmt.Sprint("g", which%2)
		switch {
		case what < 3:
			live = append(live, joined(t, groups[n], name, strconv.Itoa(s)))
		case what == 3 && len(live) > 0:
			i := which % len(live)
			require.NoError(t, live[i].Leave())
			live = slices.Delete(live, i, i+1)
		case what == 4 && len(live) > 0:
			require.NoError(t, live[which%len(live)].Update(t.Context(),
				func(m []byte) []byte { return append([]byte("u"), m...) }))
		case what == 5:
			registry.SplitOn(lan, nodes[n], nodes[(n+1)%3])
		case what == 6:
			for i := range nodes {
				registry.HealOn(lan, nodes[i], nodes[(i+1)%3])
			}
		default:
			time.Sleep(time.Duration(which%100) * 10 * time.Millisecond)
		}
		synctest.Wait()
		listen()
	}
	for i := range nodes {
		registry.HealOn(lan, nodes[i], nodes[(i+1)%3])
	}
	time.Sleep(time.Minute)
	listen()
	want := make(map[string]group.Member)
	for _, m := range live {
		is, ok := m.Member()
		require.True(t, ok)
		want[key(m.Group(), is)] = is
	}
	for _, g := range groups {
		shown := make(map[string]group.Member)
		n := 0
		for name := range g.Names() {
			for _, m := range g.Members(name) {
				shown[key(name, m)] = m
				n++
			}
		}
		require.Equal(t, want, shown)
		require.Len(t, live, n)
	}
	require.Equal(t, want, told)
}

// A member's context must have no deadline, as with names.
func TestJoinRefusesADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := registry.OpenOn(t, registry.NewLAN(), "a", 0)
		g := groupsOf(t, a)
		request, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err := g.Join(request, "room", nil)
		var mistake *registry.DeadlineError
		require.ErrorAs(t, err, &mistake)
		require.Equal(t, "room", mistake.Name)
		require.ErrorContains(t, err, "JoinFor")
		require.Zero(t, g.Len("room"))

		life, end := context.WithTimeout(t.Context(), 2*time.Minute)
		defer end()
		m, err := g.JoinFor(request, life, "room", nil)
		require.NoError(t, err)
		cancel()
		synctest.Wait()
		require.NoError(t, m.Context().Err())
		_, err = g.JoinFor(request, life, "room", nil)
		require.Equal(t, context.Canceled, err)
		_, err = g.Join(request, "room", nil)
		require.Equal(t, context.Canceled, err)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, context.DeadlineExceeded, context.Cause(m.Context()))
		require.Zero(t, g.Len("room"))
		_, err = g.JoinFor(t.Context(), life, "room", nil)
		require.Equal(t, context.DeadlineExceeded, err)
	})
}
