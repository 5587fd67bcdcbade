package snapshottest

import (
	"reflect"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Values returns the values of a collector whose metrics begin with prefix, by the rest of the
// metric's name and its labels: "refused_total reason=busy"; those of a histogram are the number of
// values in it, with " count" at the end. It checks that each metric has the
// constant labels, which the result leaves out, and it lints all metrics.
func Values(
	tb testing.TB, c prometheus.Collector, prefix string, constant prometheus.Labels,
) map[string]float64 {
	tb.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(tb, registry.Register(c))
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(tb, err)
	assert.Empty(tb, problems)
	families, err := registry.Gather()
	require.NoError(tb, err)
	all := make(map[string]float64)
	for _, f := range families {
		short, found := strings.CutPrefix(f.GetName(), prefix)
		if !found {
			continue
		}
		require.NotEmpty(tb, f.GetHelp())
		for _, m := range f.GetMetric() {
			words := []string{short}
			labels := make(prometheus.Labels)
			for _, l := range m.GetLabel() {
				if _, ok := constant[l.GetName()]; ok {
					labels[l.GetName()] = l.GetValue()
				} else {
					words = append(words, l.GetName()+"="+l.GetValue())
				}
			}
			require.Len(tb, labels, len(constant), f.GetName())
			for name, value := range constant {
				require.Equal(tb, value, labels[name], f.GetName())
			}
			name := strings.Join(words, " ")
			if h := m.GetHistogram(); h != nil {
				all[name+" count"] = float64(h.GetSampleCount())
				continue
			}
			all[name] = m.GetGauge().GetValue()
			if m.Counter != nil {
				require.Regexp(tb, "_total$", f.GetName())
				all[name] = m.GetCounter().GetValue()
			} else {
				require.NotRegexp(tb, "_total$", f.GetName())
			}
		}
	}
	return all
}

// Number sets each number in the struct v to a different value, counting up from *last.
func Number(v reflect.Value, last *int) {
	switch {
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			Number(v.Field(i), last)
		}
	case v.CanInt():
		*last++
		v.SetInt(int64(*last))
	case v.CanUint():
		*last++
		v.SetUint(uint64(*last)) //nolint:gosec // not negative
	}
}
