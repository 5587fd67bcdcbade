package lru_test

import (
	"context"
	"fmt"

	"github.com/snowfence/snowfence/cache/lru"
)

// The methods are those of golang-lru.
func Example() {
	c, err := lru.New[string, int](2)
	if err != nil {
		fmt.Println(err)
		return
	}
	c.Add("a", 1)
	c.Add("b", 2)
	c.Get("a")
	fmt.Println(c.Add("c", 3)) // evicts b
	fmt.Println(c.Keys())
	// Output:
	// true
	// [a c]
}

// The function is called before Add returns.
func ExampleNewWithEvict() {
	c, err := lru.NewWithEvict(1, func(name string, handle int) { fmt.Println("close", name, handle) })
	if err != nil {
		fmt.Println(err)
		return
	}
	c.Add("a", 1)
	c.Add("b", 2)
	fmt.Println("added")
	// Output:
	// close a 1
	// added
}

// Fetch loads a missing key, once for all callers that ask meanwhile.
func ExampleCache_fetch() {
	c, err := lru.New[string, int](100)
	if err != nil {
		fmt.Println(err)
		return
	}
	length := func(_ context.Context, name string) (int, error) {
		fmt.Println("loading", name)
		return len(name), nil
	}
	ctx := context.Background()
	fmt.Println(c.Fetch(ctx, "snow", length))
	fmt.Println(c.Fetch(ctx, "snow", length))
	fmt.Println(c.Get("snow"))
	// Output:
	// loading snow
	// 4 <nil>
	// 4 <nil>
	// 4 true
}
