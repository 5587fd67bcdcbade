package cluster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestValues(t *testing.T) {
	require.Len(t, makeValue("key/7", 42, 100), 100)
	at := time.Unix(103, 7)
	for _, size := range []int{0, 30, 200} {
		key, version, received, ok := readValue(receive(makeValue("key/7", 42, size), at))
		assert.True(t, ok)
		assert.Equal(t, "key/7", key)
		assert.Equal(t, uint64(42), version)
		assert.True(t, at.Equal(received))
	}
	for _, bad := range []string{"", "a", "a b c d", "a 1 c d", "a b 1 d",
		string(makeValue("key/7", 42, 100))} {
		_, _, _, ok := readValue([]byte(bad))
		require.False(t, ok, bad)
	}
}
