package codec

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
)

// Unfit returns why c, if it is JSON, gives back no value of type V as it was. It returns "" if
// there is no such reason. A type with fields that are not exported beside others that are, and one
// with interfaces somewhere in it, may be meant so.
func Unfit[V any](c Codec[V]) (why string) {
	if _, ok := c.(JSON[V]); !ok {
		return ""
	}
	t := reflect.TypeFor[V]()
	for range deepest { // types may be slices of each other
		if marshals(t) {
			return ""
		}
		switch t.Kind() { //nolint:exhaustive // JSON has the others
		case reflect.Pointer, reflect.Slice, reflect.Array:
			t = t.Elem()
			continue
		case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
			return fmt.Sprintf("JSON has no %v", t)
		case reflect.Interface:
			return fmt.Sprintf("JSON does not say which type a value of the interface %v has", t)
		case reflect.Struct:
			if t.NumField() > 0 && !exports(t) {
				return fmt.Sprintf("%v has no exported field, and JSON has no others", t)
			}
		}
		return ""
	}
	return ""
}

// deepest bounds the pointers, slices and arrays around the type that counts.
const deepest = 100

// marshals reports whether t or a pointer to it has an encoding of its own.
func marshals(t reflect.Type) bool {
	for _, t := range []reflect.Type{t, reflect.PointerTo(t)} {
		if t.Implements(reflect.TypeFor[json.Marshaler]()) ||
			t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
			return true
		}
	}
	return false
}

// exports reports whether t, a struct, has a field that JSON may see. The fields of an embedded
// struct may be seen, whatever its own name.
func exports(t reflect.Type) bool {
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() || f.Anonymous {
			return true
		}
	}
	return false
}
