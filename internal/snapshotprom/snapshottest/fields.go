// Package snapshottest checks that a collector shows all that there is to show.
package snapshottest

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Text is what Prometheus reads from a collector, as the exposition format has it. It is linted on
// the way.
func Text(tb testing.TB, c prometheus.Collector) string {
	tb.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(tb, registry.Register(c))
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(tb, err)
	assert.Empty(tb, problems)
	families, err := registry.Gather()
	require.NoError(tb, err)
	var b strings.Builder
	for _, f := range families {
		b.WriteString(f.String() + "\n")
	}
	return b.String()
}

// Fields checks that each number in a struct of type S is shown, by changing one after the other
// and looking whether the text changes; but for those of leftOut, which must not be shown. Fields
// of structs inside are named with a dot.
func Fields[S any](
	tb testing.TB, base S, collector func(stats func() S) prometheus.Collector, leftOut ...string,
) {
	tb.Helper()
	text := func(s S) string { return Text(tb, collector(func() S { return s })) }
	without := text(base)
	var visit func(path []int, t reflect.Type, name string)
	visit = func(path []int, t reflect.Type, name string) {
		for i := range t.NumField() {
			f := t.Field(i)
			at, name := append(slices.Clone(path), i), strings.TrimPrefix(name+"."+f.Name, ".")
			if slices.Contains(leftOut, name) {
				leftOut = slices.DeleteFunc(leftOut, func(s string) bool { return s == name })
				continue
			}
			changed := base
			v := reflect.ValueOf(&changed).Elem().FieldByIndex(at)
			switch f.Type.Kind() { //nolint:exhaustive // what is a number, or holds some
			case reflect.Struct:
				visit(at, f.Type, name)
				continue
			case reflect.Int, reflect.Int64:
				v.SetInt(12345)
			case reflect.Uint64:
				v.SetUint(12345)
			default:
				tb.Errorf("%s is a %s: say whether it is left out", name, f.Type)
				continue
			}
			assert.NotEqual(tb, without, text(changed), "%s is not shown", name)
		}
	}
	visit(nil, reflect.TypeFor[S](), "")
	assert.Empty(tb, leftOut, "there are no such fields")
}
