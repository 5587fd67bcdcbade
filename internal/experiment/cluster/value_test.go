package cluster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// The TTL of a value begins when its load has ended, which may be long after it was issued: its
// node may have been stopped.
func TestReceived(t *testing.T) {
	issued, later := time.Unix(100, 5), time.Unix(103, 7)
	for _, size := range []int{0, 30, 200} {
		value := makeValue("key/7", 42, issued, size)
		assert.Equal(t, issued, received(value, issued), "it has not been received")
		value = receive(value, later)
		assert.Equal(t, later, received(value, issued))
		key, version, at, ok := readValue(value)
		assert.True(t, ok)
		assert.Equal(t, "key/7", key)
		assert.Equal(t, uint64(42), version)
		assert.True(t, issued.Equal(at))
	}
	assert.Equal(t, issued, received(nil, issued))
}
