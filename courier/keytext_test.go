package courier

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestKeyTextIsThatOfFlights(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]Option{
		"hashed": nil,
		"shown":  {WithKeyText(func(key any) string { return fmt.Sprint("user ", key) })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := New[string, int](opts...)
				_, _, err := c.Do(t.Context(), "a", func(ctx context.Context) (int, error) {
					v, _, err := c.Do(ctx, "b", func(context.Context) (int, error) {
						seen := 0
						for f := range c.Flights() {
							seen++
							require.Equal(t, c.KeyText(f.Key), f.KeyText)
							if f.Key == "a" {
								require.Equal(t, []any{"b"}, f.WaitsFor)
								require.Equal(t, []string{c.KeyText("b")}, f.WaitsForText)
							}
						}
						require.Equal(t, 2, seen)
						return 1, nil
					})
					return v, err
				})
				require.NoError(t, err)
				if name == "shown" {
					require.Equal(t, "user a", c.KeyText("a"))
				} else {
					require.Regexp(t, "^#[0-9a-f]{8}$", c.KeyText("a"))
				}
				require.Empty(t, c.KeyText(1), "of another type")
			})
		})
	}
	require.NotPanics(t, func() { New[float64, int]().KeyText(math.NaN()) })
}
