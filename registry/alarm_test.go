package registry

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// An idle registry does next to nothing, however many partitions it has: only the goroutine of the
// alarm wakes up, to compare digests with another node every two seconds.
func TestIdleWakeUps(t *testing.T) {
	const minutes = 5
	for _, partitions := range []int{1, 64, 4096} {
		t.Run(strconv.Itoa(partitions), func(t *testing.T) {
			if raceDetector {
				partitions = min(partitions, 256)
			}
			bubble(t, func(t *testing.T) {
				lan := newLAN()
				several := func(c *Config) { c.Partitions = partitions }
				a, node := lan.open(t, "a", several)
				_, err := a.Register(t.Context(), "x", nil)
				require.NoError(t, err)
				time.Sleep(time.Second)
				alone := a.wakeUps.Load()
				time.Sleep(time.Hour)
				require.Equal(t, alone, a.wakeUps.Load(), "there is no other node")

				b, _ := lan.open(t, "b", several)
				time.Sleep(10 * time.Second)
				before, probes := a.wakeUps.Load()+b.wakeUps.Load(), node.probes.Load()
				time.Sleep(minutes * time.Minute)
				synctest.Wait()
				comparisons := minutes * int(time.Minute/compareEvery)
				// Each digest wakes its sender and its receiver.
				wakeUps := a.wakeUps.Load() + b.wakeUps.Load() - before
				require.LessOrEqual(t, wakeUps, uint64(comparisons*2*2*8/7+2))
				sent := node.probes.Load() - probes
				require.LessOrEqual(t, sent, int64(comparisons*8/7+1), "messages of a")
				require.Equal(t, 1, b.Len())
			})
		})
	}
}

// The alarm wakes up for a time that is set while it sleeps until a later one. If a partition is
// locked, the goroutine that holds its lock handles the time.
func TestAlarm(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a")
		p := a.parts[0]
		due := &a.alarm.due[p.n]
		synctest.Wait()
		require.Equal(t, int64(never), due.Load(), "alone")

		time.Sleep(time.Second)
		p.mu.Lock()
		a.alarm.soon(p.n, a.now().Mono)
		p.mu.Unlock()
		wait := time.Duration(due.Load()) - a.now().Mono
		require.LessOrEqual(t, wait, tickEvery*3/2)
		require.GreaterOrEqual(t, wait, tickEvery/2)
		time.Sleep(wait)
		synctest.Wait()
		require.Equal(t, int64(never), due.Load(), "checked")

		p.mu.Lock()
		due.Store(1)
		require.Less(t, a.tickDue(a.parts), int64(never), "to tick again")
		require.Equal(t, int64(1), due.Load(), "not checked while the lock is held")
		p.mu.Unlock()
		synctest.Wait()
		require.Equal(t, int64(never), due.Load(), "checked by its goroutine")

		lan.open(t, "b")
		synctest.Wait() // the due time is never while the alarm looks
		require.NotEqual(t, int64(never), a.alarm.next.Load())
	})
}
