package cachetest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachetest"
)

func price(fruit string) (int, error) {
	prices := map[string]int{"apple": 42, "pear": 37}
	if p, ok := prices[fruit]; ok {
		return p, nil
	}
	return 0, cache.ErrNotFound
}

// In a test, the first argument of New is the *testing.T, and nothing has to be closed.
func ExampleNew() {
	shop := cachetest.New(nil, price)
	defer shop.Close()
	prices, err := cache.NewLoading(cache.Options[string, int]{}, shop.Load)
	if err != nil {
		panic(err)
	}
	defer prices.Close()

	fmt.Println(prices.Fetch(context.Background(), "apple"))
	fmt.Println(prices.Fetch(context.Background(), "apple"))
	fmt.Println(prices.Fetch(context.Background(), "fig"))
	fmt.Println(shop.Counts("apple").Calls, "call for apple")
	// Output:
	// 42 <nil>
	// 42 <nil>
	// 0 cache: not found
	// 1 call for apple
}

// The second call of a key panics, and the third finds no record.
func ExampleOrigin_Next() {
	shop := cachetest.New(nil, price)
	defer shop.Close()
	shop.Next("pear", cachetest.None(), cachetest.Panic("no such table"), cachetest.NotFound())
	prices, err := cache.NewLoading(cache.Options[string, int]{}, shop.Load)
	if err != nil {
		panic(err)
	}
	defer prices.Close()

	for range 4 {
		fmt.Println(prices.Fetch(context.Background(), "pear"))
		prices.Delete("pear")
	}
	// Output:
	// 37 <nil>
	// 0 courier: fetch panicked: no such table
	// 0 cache: not found
	// 37 <nil>
}

// An outage, and its end.
func ExampleOrigin_Default() {
	shop := cachetest.New(nil, price)
	defer shop.Close()
	prices, err := cache.NewLoading(cache.Options[string, int]{StaleFor: time.Hour}, shop.Load)
	if err != nil {
		panic(err)
	}
	defer prices.Close()

	prices.Set("apple", 40)
	prices.Expire("apple") // it is stale from now on
	shop.Default(cachetest.Error(errors.New("the shop is closed")))
	fmt.Println(prices.Fetch(context.Background(), "apple"))
	fmt.Println(prices.Fetch(context.Background(), "pear"))
	shop.Default(cachetest.None())
	fmt.Println(prices.Fetch(context.Background(), "pear"))
	// Output:
	// 40 <nil>
	// 0 the shop is closed
	// 37 <nil>
}

// Callers that come while a call hangs wait for it: the origin gets one call.
func ExampleOrigin_Release() {
	shop := cachetest.New(nil, price)
	defer shop.Close()
	shop.Next("apple", cachetest.Hang())
	prices, err := cache.NewLoading(cache.Options[string, int]{}, shop.Load)
	if err != nil {
		panic(err)
	}
	defer prices.Close()

	var callers sync.WaitGroup
	for range 3 {
		callers.Go(func() { _, _ = prices.Fetch(context.Background(), "apple") })
	}
	for prices.Stats().Courier.Waiting < 3 || shop.Total().Hanging < 1 {
		time.Sleep(time.Millisecond) // in a bubble, synctest.Wait() is enough
	}
	fmt.Printf("%+v\n", shop.Counts("apple"))
	shop.Release("apple")
	callers.Wait() // the call has ended, since they have its value
	fmt.Printf("%+v\n", shop.Counts("apple"))
	// Output:
	// {Calls:1 Running:1 Peak:1 Hanging:1}
	// {Calls:1 Running:0 Peak:1 Hanging:0}
}
