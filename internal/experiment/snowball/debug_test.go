package snowball

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/debug"
	"github.com/snowfence/snowfence/internal/lab"
)

// While a fault that hangs lasts, the page names the keys of the failing loads and the line in which
// they hang, and after it nothing.
func TestTheDebugPageShowsTheFault(t *testing.T) {
	const line = "origin.(*Origin).hang(...)"
	p := half(t, "hang")
	synctest.Test(t, func(t *testing.T) {
		page, err := debug.New(debug.Options{KeyText: func(key any) string { return fmt.Sprint(key) }})
		require.NoError(t, err)
		keys := make(map[string][]string) // by run, of flights that hang in that line
		calm := make(map[string]bool)     // before the fault
		began, last := time.Now(), ""
		_, err = Execute(t.Context(), p, lab.Env{Debug: page, Progress: func(float64, string) {
			v := page.Snapshot(t.Context())
			if len(v.Sources) == 0 {
				return
			}
			s := v.Sources[0]
			if s.Name != last {
				began, last = time.Now(), s.Name
			}
			if time.Since(began) < p.Start {
				calm[s.Name] = len(v.Attention) == 0
			}
			for _, f := range s.Flights.Rows {
				if f.AgeSeconds >= 0.5 && strings.Contains(f.Stack, line) && !slices.Contains(keys[s.Name], f.Key) {
					keys[s.Name] = append(keys[s.Name], f.Key)
				}
			}
		}})
		require.NoError(t, err)
		require.Empty(t, page.Snapshot(t.Context()).Sources, "the runs are over")
		space, err := p.Space(p.Seed, true)
		require.NoError(t, err)
		failing, _, err := p.Targets(space)
		require.NoError(t, err)
		var want []string
		for _, key := range failing {
			want = append(want, strconv.FormatUint(key, 10))
		}
		require.ElementsMatch(t, want, keys["snowball, fix off"])
		// These flights come one after the other, and profiles rest longer each time in a bubble.
		require.NotEmpty(t, keys["snowball, fix on"])
		require.Subset(t, want, keys["snowball, fix on"])
		require.True(t, calm["snowball, fix off"] && calm["snowball, fix on"], "before the fault")
	})
}
