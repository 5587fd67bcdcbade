package courier

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// Of the keys past their bounds the one that has waited longest is probed next, even if another has
// more callers. If it has no more callers, the others do not wait for it for ever.
func TestStuckKeysTakeTurns(t *testing.T) {
	var in stuckInAll
	start := time.Unix(1_000_000, 0)
	at := start.Add
	in.keys.restFrom(start, probeRestMax)
	longest, busy := at(-time.Hour), at(-time.Minute)

	assert.False(t, in.keyMayProbe(at(0), busy))
	assert.False(t, in.keyMayProbe(at(time.Second), longest), "all keys rest")
	due := probeRestMax
	assert.False(t, in.keyMayProbe(at(due), busy), "another key has waited longer")
	assert.True(t, in.keyMayProbe(at(due+time.Second), longest))
	assert.False(t, in.keyMayProbe(at(due+2*time.Second), busy), "all keys rest again")

	due += probeRestMax + time.Second
	assert.False(t, in.keyMayProbe(at(due-time.Second), longest))
	assert.False(t, in.keyMayProbe(at(due), busy))
	assert.True(t, in.keyMayProbe(at(due+probeRestMax/4), busy), "the other key has no callers")
}
