package phase

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/snowfence/snowfence/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestLine(t *testing.T) {
	line := Line{Before: 1, Start: 2, End: 4, Stop: 8}
	for at, want := range map[time.Duration]Phase{-1: Setup, 0: Setup, 1: Before, 2: During, 3: During,
		4: After, 9: After} {
		assert.Equal(t, want, line.At(at), "at %d", at)
	}
	for p, want := range map[Phase]time.Duration{Setup: 1, Before: 1, During: 2, After: 4} {
		assert.Equal(t, want, line.Length(p, 8))
	}
	assert.Equal(t, time.Duration(1), line.Length(During, 3))
	assert.Zero(t, line.Length(After, 3))
}
