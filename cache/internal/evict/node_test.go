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
	require.True(t, n.Touch(103, 4), "the first")
	require.Equal(t, uint32(1), n.uses())
	require.False(t, n.UntouchedSince(100))
	require.False(t, n.Touch(106, 4))
	require.Equal(t, uint32(1), n.uses(), "once per interval")
	require.True(t, n.Touch(107, 4))
	require.Equal(t, uint32(2), n.uses())
	for now := uint32(111); now < 400; now += 4 {
		n.Touch(now, 4)
	}
	require.Equal(t, uint32(usesMax), n.uses())
	require.Equal(t, uint32(usesMax), n.takeUses())
	require.Zero(t, n.takeUses())
	require.True(t, n.Touch(400, 4), "the first since they were taken")

	n.Reset(math.MaxUint32 >> usesBits) // the last before it begins anew
	n.setUses(1)
	n.Touch(3, 5)
	require.Equal(t, uint32(1), n.uses())
	n.Touch(4, 5)
	require.Equal(t, uint32(2), n.uses())
}
