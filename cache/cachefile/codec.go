package cachefile

import (
	"fmt"
	"reflect"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/internal/codec"
)

// codecOr returns c or, if that is nil, the default for V.
func codecOr[V any](c cache.Codec[V]) cache.Codec[V] {
	if c == nil {
		return codec.Default[V]()
	}
	return c
}

// contents describes what a codec makes of values of type V.
func contents[V any](c cache.Codec[V]) string {
	return fmt.Sprintf("%s of %s", c.Name(), reflect.TypeFor[V]())
}
