package registry

import (
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// openMem opens nodes over the real mesh in memory, and waits until each sees all others.
func openMem(t *testing.T, n *memNet, nodes int, change func(*Config)) (all []*Registry) {
	t.Helper()
	for i := range nodes {
		end := n.listen()
		c := Config{NodeName: fmt.Sprint("node ", i), Transport: end}
		if i > 0 {
			c.Seeds = []string{all[0].Addr()}
		}
		change(&c)
		r, err := Open(t.Context(), c)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, r.Close()) })
		all = append(all, r)
	}
	for _, r := range all {
		for len(r.Members()) < nodes {
			time.Sleep(100 * time.Millisecond)
		}
	}
	time.Sleep(10 * time.Second) // the messages after a join have ended
	return all
}

// A change waits once, for 2 ms, and changes in any partition meanwhile share its packet to a node.
func TestOneWindow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const rounds, names = 20, 20
		all := openMem(t, newMemNet(), 3, func(*Config) {})
		var watchers []*Watcher
		for _, r := range all[1:] {
			watchers = append(watchers, r.Watch(t.Context()))
		}
		packets := all[0].Stats().Network.Packets.FramesOut
		for round := range rounds {
			start := time.Now()
			for i := range names {
				name := fmt.Sprint(round, " ", i)
				_, err := all[0].Register(t.Context(), name, []byte("10.20.30.40:5678"))
				require.NoError(t, err)
			}
			for _, w := range watchers {
				for range names {
					e, err := w.Next(t.Context())
					require.NoError(t, err)
					require.Equal(t, Registered, e.Kind)
				}
			}
			require.LessOrEqual(t, time.Since(start), 2*time.Millisecond, "until all show all")
			synctest.Wait()
		}
		touched := 0
		for _, p := range all[0].Stats().Partitions {
			if p.Names > 0 {
				touched++
			}
		}
		require.Equal(t, DefaultPartitions, touched, "partitions with names")
		packets = all[0].Stats().Network.Packets.FramesOut - packets
		require.LessOrEqual(t, packets, uint64(rounds*2+2),
			"one to each other node for each round, and a digest")
	})
}

// Digests detect lost messages, with one partition and with the maximum number of partitions.
func TestLossIsFound(t *testing.T) {
	for _, partitions := range []int{1, 4096} {
		t.Run(strconv.Itoa(partitions), func(t *testing.T) {
			if raceDetector {
				partitions = min(partitions, 256)
			}
			bubble(t, func(t *testing.T) {
				net := newMemNet()
				all := openMem(t, net, 2, func(c *Config) { c.Partitions = partitions })
				net.loses.Store(true)
				_, err := all[0].Register(t.Context(), "x", nil)
				require.NoError(t, err)
				synctestWait()
				net.loses.Store(false)
				require.Zero(t, all[1].Len())
				// Plus the time of the alarm, and some windows.
				time.Sleep(compareEvery*5/4 + 100*time.Millisecond)
				require.Equal(t, 1, all[1].Len())
			})
		})
	}
}
