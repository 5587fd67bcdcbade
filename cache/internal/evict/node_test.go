package evict

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTouch(t *testing.T) {
	var n Node
	n.Reset(100)
	require.True(t, n.UntouchedSince(100))
	n.Touch(103, 4)
	require.Zero(t, n.uses(), "too soon")
	n.Touch(104, 4)
	require.Equal(t, uint32(1), n.uses())
	require.False(t, n.UntouchedSince(100))
	n.Touch(105, 4)
	require.Equal(t, uint32(1), n.uses(), "once per interval")
	for now := uint32(108); now < 400; now += 4 {
		n.Touch(now, 4)
	}
	require.Equal(t, uint32(usesMax), n.uses())
	require.Equal(t, uint32(usesMax), n.takeUses())
	require.Zero(t, n.takeUses())
	n.Touch(399, 4)
	require.Zero(t, n.uses(), "takeUses keeps the time of the last use")

	n.Reset(math.MaxUint32 >> usesBits) // the last before it begins anew
	n.Touch(3, 5)
	require.Zero(t, n.uses())
	n.Touch(4, 5)
	require.Equal(t, uint32(1), n.uses())
}
