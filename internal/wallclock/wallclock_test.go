package wallclock

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFrom(t *testing.T) {
	wrong := time.Unix(1, 2)
	require.Equal(t, int64(1_000_000_002), From(With(t.Context(),
		func() time.Time { return wrong }))())

	before := time.Now().UnixNano()
	now := From(t.Context())()
	require.GreaterOrEqual(t, now, before)
	require.LessOrEqual(t, now, time.Now().UnixNano())
}
