package scenario

import (
	"encoding"
	"fmt"
	"reflect"
)

// isSection reports whether a type is a mapping of fields and no single value.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct &&
		!reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// fieldNames returns the names of a section's fields, as files have them.
func fieldNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() {
			names = append(names, f.Tag.Get("yaml"))
		}
	}
	return names
}

func fieldByName(v reflect.Value, name string) (reflect.Value, bool) {
	t := v.Type()
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() && f.Tag.Get("yaml") == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func join2(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// describeType says what a field must be.
func describeType(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 250ms"
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return "text"
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number"
	case reflect.Int:
		return "a whole number"
	default:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(1)<<t.Bits()-1)
	}
}

// nearest returns the candidate that a misspelt name is most like, if one is
// near enough to be meant.
func nearest(name string, candidates []string) string {
	const longest = 30 // no field's name is half as long
	if len(name) > longest {
		return ""
	}
	// Two letters in the wrong order are two replaced; half of a short name
	// replaced is another name.
	best, most := "", min(3, len(name)/2)+1
	for _, c := range candidates {
		if d := distance(name, c); d < most {
			best, most = c, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
