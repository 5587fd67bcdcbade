package registry

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A registry that has nothing to do does next to nothing, however many partitions it has: no
// goroutine wakes up but the alarm's, for comparing notes with another node every two seconds.
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
				require.Equal(t, alone, a.wakeUps.Load(), "nobody to talk to")

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

// A moment that is named while the alarm sleeps until a later one is not slept through, and one
// whose partition is at work is seen to by that.
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
		require.Equal(t, int64(never), due.Load(), "looked at")

		p.mu.Lock()
		due.Store(1)
		require.Less(t, a.tickDue(a.parts), int64(never), "to tick again")
		require.Equal(t, int64(1), due.Load(), "not looked at while somebody has the lock")
		p.mu.Unlock()
		synctest.Wait()
		require.Equal(t, int64(never), due.Load(), "looked at by its goroutine")

		lan.open(t, "b")
		synctest.Wait() // the alarm says never while it looks
		require.NotEqual(t, int64(never), a.alarm.next.Load())
	})
}
