package ownership

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry"
)

// Three nodes have the same keys, and the home of each claims it: soon each key has one owner that
// all nodes know. One node leaves and one dies: their keys are free, with the same home on all
// nodes, and no other key moves.
func TestKeysOfThreeNodes(t *testing.T) {
	const n = 200
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprint("key", i)
	}
	has := new(entries)
	var registries []*registry.Registry
	var nodes []Owners
	var names, seeds []string
	for _, name := range []string{"a", "b", "c"} {
		r := openRegistry(t, name, seeds...)
		registries, names, seeds = append(registries, r), append(names, name), append(seeds, r.Addr())
		u := openOwners(t, NewKeys, Config{Registry: r, IdleRelease: time.Hour, Has: has.has})
		nodes = append(nodes, u)
	}
	for _, u := range nodes {
		u.SetMembers(names)
	}
	agree := func(nodes []Owners, key string) string {
		owner := nodes[0].Owner(key)
		for _, u := range nodes {
			if u.Owner(key) != owner {
				return ""
			}
		}
		return owner
	}
	for _, key := range keys {
		require.Contains(t, names, agree(nodes, key), "all know the same home")
	}
	var wg sync.WaitGroup
	for _, u := range nodes {
		wg.Go(func() {
			has.set(u, true, keys...)
		})
	}
	wg.Wait()
	total := func(nodes []Owners) (all Stats) {
		for _, u := range nodes {
			s := u.Stats()
			all.Held, all.Claimed, all.Lost = all.Held+s.Held, all.Claimed+s.Claimed, all.Lost+s.Lost
		}
		return all
	}
	soon(t, "each key has one owner, whom all know", func() bool {
		for _, key := range keys {
			if agree(nodes, key) == "" {
				return false
			}
		}
		return total(nodes).Held == n
	})
	all := total(nodes)
	require.EqualValues(t, n, all.Claimed-all.Lost)

	before := make(map[string]string)
	for _, key := range keys {
		before[key] = agree(nodes, key)
	}
	left := func(members ...string) {
		some := nodes[:len(members)]
		for _, u := range some {
			u.SetMembers(members)
		}
		soon(t, "the remaining nodes agree", func() bool {
			for _, key := range keys {
				owner := agree(some, key)
				stays := slices.Contains(members, before[key])
				if stays && owner != before[key] || !slices.Contains(members, owner) {
					return false
				}
			}
			return true
		})
	}
	require.NoError(t, nodes[2].Close(t.Context()))
	left("a", "b")
	require.NoError(t, registries[1].Close(), "without a word")
	left("a")
}
