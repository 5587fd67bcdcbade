package hlc_test

import (
	"fmt"
	"time"

	"github.com/snowfence/snowfence/registry/internal/hlc"
)

func Example() {
	c := hlc.New(10 * time.Second)
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano()
	fmt.Println(c.Now(noon))
	fmt.Println(c.Now(noon - int64(time.Minute))) // the wall clock was set back

	// Another node is a little ahead; a timestamp after Observe is newer.
	c.Observe(hlc.Timestamp{Nanos: noon + int64(time.Second)}, noon)
	fmt.Println(c.Now(noon))

	// A timestamp far ahead is not followed.
	fmt.Println(c.Observe(hlc.Timestamp{Nanos: noon + int64(time.Hour)}, noon))
	// Output:
	// 2026-03-01T12:00:00.000000000Z
	// 2026-03-01T12:00:00.000000000Z+1
	// 2026-03-01T12:00:01.000000000Z+1
	// false
}
