package snowball

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestTimeline(t *testing.T) {
	line := timeline{settled: 1, start: 2, end: 4, stop: 8}
	for at, want := range map[time.Duration]phase{0: warming, 1: before, 2: inside, 3: inside,
		4: after, 9: after} {
		assert.Equal(t, want, line.at(at), "at %d", at)
	}
	for p, want := range map[phase]time.Duration{warming: 1, before: 1, inside: 2, after: 4} {
		assert.Equal(t, want, line.length(p, 8))
	}
	assert.Equal(t, time.Duration(1), line.length(inside, 3))
	assert.Zero(t, line.length(after, 3))
}
