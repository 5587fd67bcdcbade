package cache_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/cache"
)

// While the origin is down, callers get the last good value, and do not wait for a slow load.
func ExampleCache_FetchResult() {
	stock, err := cache.New(cache.Options[string, int]{
		TTL:         time.Minute,
		StaleFor:    24 * time.Hour,
		SoftTimeout: 10 * time.Millisecond,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stock.Close()
	ctx := context.Background()
	stock.Set("tea", 108)
	stock.Set("milk", 27)
	stock.Expire("tea") // as if a minute had passed
	stock.Expire("milk")

	r, err := stock.FetchResult(ctx, "tea", func(context.Context, string) (int, error) {
		return 0, errors.New("the warehouse is down")
	})
	fmt.Println(r.Value, r.Stale, r.Err, err)
	r, err = stock.FetchResult(ctx, "milk", func(ctx context.Context, _ string) (int, error) {
		<-ctx.Done() // hangs until the cache is closed
		return 0, ctx.Err()
	})
	fmt.Println(r.Value, r.Stale, r.Err, err)
	// Output:
	// 108 true the warehouse is down <nil>
	// 27 true courier: the flight is late <nil>
}

// The cache remembers that there is no record, but not as a value.
func ExampleOptions_isNotFound() {
	users, err := cache.New(cache.Options[int, string]{
		NotFoundTTL: 10 * time.Second,
		IsNotFound:  func(err error) bool { return errors.Is(err, sql.ErrNoRows) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer users.Close()

	for range 2 {
		_, err := users.Fetch(context.Background(), 8, func(context.Context, int) (string, error) {
			fmt.Println("SELECT")
			return "", sql.ErrNoRows
		})
		fmt.Println(err, errors.Is(err, cache.ErrNotFound))
	}
	fmt.Println(users.Len())
	// Output:
	// SELECT
	// sql: no rows in result set true
	// sql: no rows in result set true
	// 0
}

// A load asks the origin whether the record has changed since the previous value.
func ExamplePrevious() {
	type document struct {
		text    string
		version int
	}
	current := document{"draft", 1}
	load := func(ctx context.Context, _ string) (document, error) {
		if old, ok := cache.Previous[document](ctx); ok && old.version == current.version {
			fmt.Println("not modified")
			return document{}, cache.ErrNotModified
		}
		fmt.Println("the whole text")
		return current, nil
	}

	c, err := cache.New(cache.Options[string, document]{TTL: time.Minute, StaleFor: time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	for range 2 {
		fmt.Println(c.Fetch(context.Background(), "plan", load))
		c.Expire("plan")
	}
	current = document{"final", 2}
	fmt.Println(c.Fetch(context.Background(), "plan", load))
	// Output:
	// the whole text
	// {draft 1} <nil>
	// not modified
	// {draft 1} <nil>
	// the whole text
	// {final 2} <nil>
}

func ExampleCache_Update() {
	visits, err := cache.New(cache.Options[string, int]{TTL: 30 * time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer visits.Close()

	count := func(old int, _ bool) (int, cache.Op) { return old + 1, cache.Store }
	for range 3 {
		visits.Update("ada", count)
	}
	fmt.Println(visits.Get("ada"))
	fmt.Println(visits.Update("bob", func(old int, ok bool) (int, cache.Op) {
		if !ok {
			return 0, cache.Keep // there is no entry
		}
		return old, cache.Remove
	}))
	// Output:
	// 3 true
	// 0 false
}

// A writer knows the author, and not the pages that the author is on.
func ExampleCache_InvalidateTag() {
	authors, err := cache.New(cache.Options[string, string]{
		Tags: func(_, author string) []string { return []string{"author:" + author} },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer authors.Close()

	authors.Set("/notes", "Ada")
	authors.Set("/letters", "Ada")
	authors.Set("/nanoseconds", "Grace")
	authors.InvalidateTag("author:Ada")
	for path := range authors.Keys() {
		fmt.Println(path)
	}
	// Output: /nanoseconds
}
