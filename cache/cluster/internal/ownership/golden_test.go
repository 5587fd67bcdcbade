package ownership

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Homes and slots are the same in all releases: a change here is a change of the protocol.
func TestHomesAreTheSameInAllReleases(t *testing.T) {
	var m members
	m.set([]string{"node-1", "node-2", "node-3"})
	ring := NewRing(Config{Self: "node-1"})
	ring.SetMembers(m.list())
	var homes, onRing []string
	for i := range 12 {
		key := fmt.Sprint("user:", i)
		homes = append(homes, strings.TrimPrefix(m.home(key), "node-"))
		onRing = append(onRing, strings.TrimPrefix(ring.Owner(key), "node-"))
	}
	planned := strings.Join(plan(make([]string, 12), m.seen.Load()), " ")
	require.Equal(t, "1 1 2 1 1 1 1 1 2 2 2 3", strings.Join(homes, " "))
	require.Equal(t, "2 2 2 2 2 1 2 3 3 3 3 3", strings.Join(onRing, " "))
	require.Equal(t, "3 1 1 3 3 1 1 3 2 2 2 2", strings.ReplaceAll(planned, "node-", ""))
}
