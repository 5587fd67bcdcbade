package peerload

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestKeyNumber(t *testing.T) {
	assert.EqualValues(t, 0, keyNumber(keyName(0)))
	assert.EqualValues(t, 1234, keyNumber(keyName(1234)))
	for _, bad := range []string{"", "key/", "key/-1", "7", "key/x", "key/99999999999999999999"} {
		assert.EqualValues(t, -1, keyNumber(bad), bad)
	}
}

// A value that has changed on the way is noticed, whatever byte it is.
func TestGenuine(t *testing.T) {
	issued := time.Unix(0, 1234567890123456789)
	for _, size := range []int{0, 100} {
		value := makeValue("key/7", 42, issued, size)
		assert.True(t, genuine(value, "key/7", 42, issued, size))
		full := receive(value, time.Unix(9, 0))
		assert.True(t, genuine(full, "key/7", 42, issued, size))
		for i := range value {
			changed := append([]byte(nil), full...)
			changed[i] ^= 1
			name, version, at, ok := readValue(changed)
			assert.False(t, ok && name == "key/7" && version == 42 && at.Equal(issued) && genuine(changed, name, version, at, size), "byte %d", i)
		}
		assert.False(t, genuine(value[:len(value)-1], "key/7", 42, issued, size), "cut off")
		assert.False(t, genuine(append(value, '.'), "key/7", 42, issued, size), "too long")
		assert.False(t, genuine(append(full, full...), "key/7", 42, issued, size), "twice")
	}
}

// The TTL of a value begins when its load has ended, which may be long after it was issued: its node may have been stopped.
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
