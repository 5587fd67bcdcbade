package group

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry"
)

// Many members join, update, leave and end on two nodes, while others read and watch. At the end
// both nodes show the members that stayed. When a node closes during this, every membership ends.
func TestStress(t *testing.T) {
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // bits
	t.Logf("seed %d", seed)
	a := start(t, registry.Config{NodeName: "a"})
	b := start(t, registry.Config{NodeName: "b", Seeds: []string{a.Addr()}})
	nodes := []node{a, b}
	var mu sync.Mutex
	stayed := make(map[string]map[uint64]string) // by group: ID and metadata
	var working, reading sync.WaitGroup
	stop, end := context.WithCancel(t.Context())
	for w := range 8 {
		n := nodes[w%2]
		dice := rand.New(rand.NewPCG(seed, uint64(w))) //nolint:gosec // no secret
		working.Go(func() {
			for i := range 150 {
				name, meta := fmt.Sprint("g", dice.IntN(5)), fmt.Sprint(w, ".", i)
				life, over := context.WithCancel(t.Context())
				m, err := n.groups.Join(life, name, []byte(meta))
				if err != nil {
					t.Error(err)
					over()
					return
				}
				if is, ok := m.Member(); !ok || string(is.Meta) != meta {
					t.Errorf("%q is not shown at once, but %q", meta, is.Meta)
				}
				switch dice.IntN(4) {
				case 0:
					over()
				case 1:
					if err := m.Leave(); err != nil {
						t.Error(err)
					}
					over()
				case 2:
					meta = "new " + meta
					if err := m.Update(life, func([]byte) []byte { return []byte(meta) }); err != nil {
						t.Error(err)
					}
					fallthrough
				default:
					t.Cleanup(over)
					is, _ := m.Member()
					mu.Lock()
					if stayed[name] == nil {
						stayed[name] = make(map[uint64]string)
					}
					stayed[name][is.ID] = n.groups.space.Node() + " " + meta
					mu.Unlock()
				}
			}
		})
	}
	for _, n := range nodes {
		w := n.groups.Watch(stop)
		reading.Go(func() {
			for e := range w.Events() {
				_ = e.String()
			}
		})
		reading.Go(func() {
			for stop.Err() == nil {
				for name := range n.groups.Names() {
					members := n.groups.Members(name)
					for i := 1; i < len(members); i++ {
						if p, q := members[i-1], members[i]; p.Node > q.Node || p.Node == q.Node && p.ID >= q.ID {
							t.Errorf("%v before %v", p, q)
						}
					}
				}
				n.groups.Stats()
			}
		})
	}
	working.Wait()
	shown := func(g *Groups) map[string]map[uint64]string {
		all := make(map[string]map[uint64]string)
		for name := range g.Names() {
			all[name] = make(map[uint64]string)
			for _, m := range g.Members(name) {
				all[name][m.ID] = m.Node + " " + string(m.Meta)
			}
		}
		return all
	}
	for _, n := range nodes {
		eventually(t, "exactly the members that stayed are shown", func() bool {
			return fmt.Sprint(shown(n.groups)) == fmt.Sprint(stayed)
		})
	}
	end()
	reading.Wait()

	var joining sync.WaitGroup
	var lives []*Membership
	begun := make(chan struct{}, 4)
	for range cap(begun) {
		joining.Go(func() {
			for i := 0; ; i++ {
				m, err := a.groups.Join(t.Context(), "g", nil)
				if errors.Is(err, ErrFull) {
					continue
				}
				if err != nil {
					if !errors.Is(err, registry.ErrClosed) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				lives = append(lives, m)
				mu.Unlock()
				if i == 10 {
					begun <- struct{}{}
				}
			}
		})
	}
	for range cap(begun) {
		<-begun
	}
	require.NoError(t, a.Close())
	joining.Wait()
	for _, m := range lives {
		require.ErrorIs(t, context.Cause(m.Context()), registry.ErrClosed)
	}
}
