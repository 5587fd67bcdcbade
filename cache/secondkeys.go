package cache

import (
	"reflect"
	"strconv"
)

// keysOf returns the default SecondLevel.Key and ParseKey for K, or nil if its kind is neither
// string nor an integer.
func keysOf[K comparable]() (name func(K) string, parse func(string) (K, bool)) {
	t := reflect.TypeFor[K]()
	switch t.Kind() { //nolint:exhaustive // the others need a function of the user
	case reflect.String:
		return func(key K) string { return reflect.ValueOf(key).String() },
			func(s string) (key K, ok bool) {
				reflect.ValueOf(&key).Elem().SetString(s)
				return key, true
			}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(key K) string { return strconv.FormatInt(reflect.ValueOf(key).Int(), 10) },
			func(s string) (key K, ok bool) {
				n, err := strconv.ParseInt(s, 10, t.Bits())
				reflect.ValueOf(&key).Elem().SetInt(n)
				return key, err == nil
			}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Uintptr:
		return func(key K) string { return strconv.FormatUint(reflect.ValueOf(key).Uint(), 10) },
			func(s string) (key K, ok bool) {
				n, err := strconv.ParseUint(s, 10, t.Bits())
				reflect.ValueOf(&key).Elem().SetUint(n)
				return key, err == nil
			}
	}
	return nil, nil
}
