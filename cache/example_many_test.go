package cache_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/cache"
)

// One query loads the missing users. One of them does not exist, and one cannot be read.
func ExampleCache_FetchMany() {
	query := func(_ context.Context, ids []int) (map[int]string, error) {
		fmt.Println("SELECT … WHERE id IN", ids)
		return map[int]string{2: "Grace"}, &cache.ManyError[int]{
			ByKey: map[int]error{3: errors.New("the row is damaged")},
		}
	}

	users, err := cache.New(cache.Options[int, string]{TTL: time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer users.Close()
	users.Set(1, "Ada")

	names, err := users.FetchMany(context.Background(), []int{1, 2, 3, 4}, query)
	fmt.Println(names)
	var failed *cache.ManyError[int]
	if errors.As(err, &failed) {
		fmt.Println(failed.ByKey)
	}
	// Output:
	// SELECT … WHERE id IN [2 3 4]
	// map[1:Ada 2:Grace]
	// map[3:the row is damaged]
}

// A function that takes a Fetcher works with a cache of this process, with one of a cluster
// and with a fake.
func ExampleNewLoading() {
	greet := func(users cache.Fetcher[int, string], id int) {
		name, err := users.Fetch(context.Background(), id)
		fmt.Println("hello,", name, err)
	}

	users, err := cache.NewLoading(cache.Options[int, string]{TTL: time.Minute},
		func(_ context.Context, id int) (string, error) {
			fmt.Println("loading", id)
			return fmt.Sprint("user ", id), nil
		})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer users.Close()
	greet(users, 7)
	greet(users, 7)
	// Output:
	// loading 7
	// hello, user 7 <nil>
	// hello, user 7 <nil>
}
