package peerload

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestCalm(t *testing.T) {
	c := Config{TTL: 2 * time.Second, Disturb: Split, Start: 3 * time.Second, End: 6 * time.Second}
	for at, want := range map[float64]bool{0: true, 2.9: true, 3: false, 6.5: false, 18.4: false, 18.5: true, 30: true} {
		assert.Equal(t, want, c.calm(time.Duration(at*float64(time.Second)), 6500*time.Millisecond), "%v", at)
	}
	assert.False(t, c.calm(time.Hour, 0), "it was not over")
	c.Disturb = Calm
	assert.True(t, c.calm(4*time.Second, 0))
}

// A default run is long enough to tell whether it healed, and what it was like then.
func TestDefaultTellsHealing(t *testing.T) {
	c := DefaultConfig()
	assert.GreaterOrEqual(t, c.Duration, c.End+c.healsBy()+c.TTL)
	assert.Less(t, c.answersWithin(), c.Deadline, "so that a deadline that passes is somebody's fault")
}

// The phases of a disturbance that took longer than planned meet where it was over.
func TestPhases(t *testing.T) {
	c := Config{Disturb: Rolling, Start: 3 * time.Second, End: 6 * time.Second}
	phases := func(ran, over time.Duration) (list []float64) {
		for _, p := range newTimeline(c, ran, over).phases {
			list = append(list, p.seconds)
		}
		return list
	}
	assert.Equal(t, []float64{3, 3, 4}, phases(10*time.Second, 5*time.Second))
	assert.Equal(t, []float64{3, 5, 2}, phases(10*time.Second, 8*time.Second))
	assert.Equal(t, []float64{3, 7, 0}, phases(10*time.Second, 12*time.Second))
	assert.Equal(t, []float64{2, 0, 0}, phases(2*time.Second, 0))
	c.Disturb = Calm
	assert.Equal(t, []float64{10, 0, 0}, phases(10*time.Second, 0))
}
