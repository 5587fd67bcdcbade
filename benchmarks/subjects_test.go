package benchmarks

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSubjects makes sure that what is compared is the same thing.
func TestSubjects(t *testing.T) {
	for _, ttl := range []time.Duration{0, time.Hour} {
		for _, s := range subjects {
			t.Run("ttl="+ttl.String()+"/"+s.name, func(t *testing.T) {
				c := s.make(t, 100, ttl)
				_, ok := c.get(1)
				require.False(t, ok)
				c.set(1, 7)
				v, ok := c.get(1)
				require.True(t, ok)
				require.Equal(t, 7, v)
				for range 2 {
					v, err := c.fetch(t.Context(), 2)
					require.NoError(t, err)
					require.Equal(t, load(2), v)
				}
				v, ok = c.get(2)
				require.True(t, ok, "what was fetched is stored")
				require.Equal(t, load(2), v)
			})
		}
	}
}
