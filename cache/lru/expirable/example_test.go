package expirable_test

import (
	"context"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/cache/lru/expirable"
)

// The methods are those of golang-lru.
func ExampleNewLRU() {
	report := func(name string, n int) { fmt.Println("left:", name, n) }
	l := expirable.NewLRU(2, report, time.Hour)
	defer l.Close() // reports what is left
	l.Add("a", 1)
	l.Add("b", 2)
	l.Add("c", 3)
	fmt.Println(l.Get("c"))
	l.Remove("b")
	// Output:
	// left: a 1
	// 3 true
	// left: b 2
	// left: c 3
}

// Fetch loads a key that is missing or has expired, once for all callers that ask meanwhile.
func ExampleLRU_fetch() {
	l := expirable.NewLRU[string, int](100, nil, time.Hour)
	defer l.Close()
	length := func(_ context.Context, name string) (int, error) {
		fmt.Println("loading", name)
		return len(name), nil
	}
	ctx := context.Background()
	fmt.Println(l.Fetch(ctx, "snow", length))
	fmt.Println(l.Fetch(ctx, "snow", length))
	// Output:
	// loading snow
	// 4 <nil>
	// 4 <nil>
}
