package cachefile

import (
	"fmt"
	"reflect"

	"github.com/snowfence/snowfence/cache"
)

// contents describes what a codec makes of values of type V.
func contents[V any](c cache.Codec[V]) string {
	return fmt.Sprintf("%s of %s", c.Name(), reflect.TypeFor[V]())
}
