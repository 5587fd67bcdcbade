// Package snapshottest checks the values that a collector exports.
package snapshottest

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
)

// Fields checks that each number in a struct of type S is exported, by changing one after the other
// and comparing the exported values. It skips those in leftOut, all of which must exist. Names of
// fields of nested structs contain a dot.
func Fields[S any](
	tb testing.TB, base S, collector func(stats func() S) prometheus.Collector, leftOut ...string,
) {
	tb.Helper()
	values := func(s S) map[string]float64 {
		return Values(tb, collector(func() S { return s }), "", nil)
	}
	without := values(base)
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
			switch f.Type.Kind() { //nolint:exhaustive // only numbers, and types that contain some
			case reflect.Struct:
				visit(at, f.Type, name)
				continue
			case reflect.Int, reflect.Int64:
				v.SetInt(12345)
			case reflect.Uint64:
				v.SetUint(12345)
			default:
				tb.Errorf("%s is a %s: add it to leftOut or support its type", name, f.Type)
				continue
			}
			assert.NotEqual(tb, without, values(changed), "%s is not shown", name)
		}
	}
	visit(nil, reflect.TypeFor[S](), "")
	assert.Empty(tb, leftOut, "leftOut names fields that do not exist")
}
