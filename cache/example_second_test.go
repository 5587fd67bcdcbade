package cache_test

import (
	"context"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachetest"
)

// What one process has loaded, the next one finds in the second level.
func ExampleSecondLevel() {
	storage := cachetest.NewStorage(nil) // in a program: that of package cachevalkey
	load := func(_ context.Context, id int) (string, error) {
		fmt.Println("load", id)
		return fmt.Sprint("user ", id), nil
	}
	process := func() {
		users, err := cache.NewLoading(cache.Options[int, string]{
			TTL:         time.Hour,
			SecondLevel: cache.SecondLevel[int, string]{Storage: storage},
		}, load)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer func() { _ = users.Close() }() // writes what is pending
		for id := range 3 {
			_, _ = users.Fetch(context.Background(), id)
			_ = users.Flush(context.Background()) // so that the example has one order
		}
	}
	process()
	fmt.Println("deploy")
	process()

	// Output:
	// load 0
	// load 1
	// load 2
	// deploy
}
