package stalltest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/stalltest"
)

func TestOptionErrors(t *testing.T) {
	for want, o := range map[string]stalltest.Option{
		"WithCallers: 9: want 10 to 10000":                    stalltest.WithCallers(9),
		"WithCallers: 10001: want 10 to 10000":                stalltest.WithCallers(10_001),
		"WithTimeout: 1ms: want at least 1s":                  stalltest.WithTimeout(time.Millisecond),
		"WithProcesses: 0: want 1 to 256":                     stalltest.WithProcesses(0),
		"WithProcesses: 257: want 1 to 256":                   stalltest.WithProcesses(257),
		"WithCases: hung: want the name of one of Cases":      stalltest.WithCases("panic", "hung"),
		"WithoutCases: panics: want the name of one of Cases": stalltest.WithoutCases("panics"),
	} {
		_, err := stalltest.Matrix(t.Context(), nil, o)
		require.EqualError(t, err, "stalltest: "+want)
		_, err = stalltest.Observe(cacheSubject(), "none", o)
		require.ErrorAs(t, err, new(*stalltest.OptionError))
	}
	_, err := stalltest.Observe(cacheSubject(), "hung")
	require.EqualError(t, err, "stalltest: the name of a case: hung: want that of one of Cases")
}

// The texts of the cases fit the messages and the tables that they are for.
func TestCases(t *testing.T) {
	names := map[string]bool{}
	groups := map[string]int{}
	last := ""
	for _, c := range stalltest.Cases() {
		assert.False(t, names[c.Name], "%s: not unique", c.Name)
		names[c.Name] = true
		if c.Group != last {
			groups[c.Group]++
			last = c.Group
		}
		assert.Equal(t, 1, groups[c.Group], "%s: the group is not in one piece", c.Name)
		for _, text := range []string{c.Name, c.Title, c.What, c.Want} {
			assert.NotEmpty(t, text, c.Name)
			assert.NotRegexp(t, `\.$|\|`, text, c.Name)
		}
		assert.LessOrEqual(t, len(c.Title), 18, c.Name)
	}
}
