package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

func ExampleNew() {
	c, err := cache.New(cache.Options[string, int]{
		Capacity:  10_000,
		TTL:       5 * time.Minute,
		TTLJitter: 0.1,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	c.Set("answer", 42)
	fmt.Println(c.Get("answer"))
	fmt.Println(c.Get("question"))
	// Output:
	// 42 true
	// 0 false
}

func ExampleNew_error() {
	_, err := cache.New(cache.Options[string, int]{Capacity: -1})
	fmt.Println(err)
	// Output: cache: Options.Capacity: -1: want 0 (the default) or more
}

// A panic in a fetch function is an error for all callers that wait, and the next Fetch
// loads the key again.
func ExampleCache_Fetch() {
	c, err := cache.New(cache.Options[string, string]{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	ctx := context.Background()

	_, err = c.Fetch(ctx, "user:7", func(_ context.Context, key string) (string, error) {
		return strings.Split(key, "/")[1], nil // there is no slash
	})
	fmt.Println(err)

	load := func(_ context.Context, key string) (string, error) {
		fmt.Println("loading", key)
		return "Ada", nil
	}
	for range 2 {
		fmt.Println(c.Fetch(ctx, "user:7", load))
	}
	// Output:
	// courier: fetch panicked: runtime error: index out of range [1] with length 1
	// loading user:7
	// Ada <nil>
	// Ada <nil>
}

func ExampleCache_SetTTL() {
	c, err := cache.New(cache.Options[string, string]{TTL: time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	c.SetTTL("token", "s3cret", time.Minute) // instead of an hour
	c.SetTTL("config", "v1", 0)              // until it is evicted
	c.SetTTL("config", "v2", -1)             // already over: as Delete
	fmt.Println(c.Len())
	// Output: 1
}

// A fetch function sets the TTL of a response to its max-age.
func ExampleStoreFor() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprintf(w, "page %s", r.URL.Path)
	}))
	defer server.Close()

	c, err := cache.New(cache.Options[string, string]{TTL: time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	fetch := func(ctx context.Context, path string) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, http.NoBody)
		if err != nil {
			return "", err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		age, ok := strings.CutPrefix(res.Header.Get("Cache-Control"), "max-age=")
		seconds, err := strconv.Atoi(age)
		if !ok || err != nil || res.StatusCode != http.StatusOK {
			cache.StoreFor(ctx, 0)
		} else {
			cache.StoreFor(ctx, time.Duration(seconds)*time.Second)
		}
		body, err := io.ReadAll(res.Body)
		return string(body), err
	}
	fmt.Println(c.Fetch(context.Background(), "/a", fetch))
	fmt.Println(c.Len())
	// Output:
	// page /a <nil>
	// 1
}

func ExampleOptions_onEviction() {
	c, err := cache.New(cache.Options[string, int]{
		Capacity:   2,
		OnEviction: func(key string, value int, why cache.Reason) { fmt.Println(key, value, why) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	c.Set("a", 1)
	c.Set("b", 2)
	c.Set("c", 3) // no room
	c.Set("c", 4)
	c.Delete("b")
	c.Close()
	// Output:
	// a 1 size
	// c 3 replaced
	// b 2 deleted
	// c 4 deleted
}

// The cache is bounded by bytes instead of a number of entries.
func ExampleOptions_weigher() {
	c, err := cache.New(cache.Options[string, []byte]{
		MaxWeight: 1000,
		Weigher:   func(key string, value []byte) uint32 { return uint32(len(key) + len(value)) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	for _, key := range []string{"a", "b", "c"} {
		c.Set(key, make([]byte, 400))
	}
	c.Set("too big", make([]byte, 5000))
	_, a := c.Get("a")
	_, tooBig := c.Get("too big")
	fmt.Println(c.Len(), a, tooBig)
	// Output: 2 false false
}

// Fetch functions have a time-out that holds even if they ignore their context, at most
// 100 of them run at a time, and a key that fails backs off.
func ExampleOptions_courier() {
	c, err := cache.New(cache.Options[string, string]{
		Courier: []courier.Option{
			courier.WithTimeout(10 * time.Millisecond),
			courier.WithMaxConcurrent(100),
			courier.WithBackoff(time.Minute, time.Hour),
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	never := make(chan struct{})
	stuck := func(context.Context, string) (string, error) {
		<-never
		return "", nil
	}
	_, err = c.Fetch(context.Background(), "k", stuck)
	fmt.Println(errors.Is(err, courier.ErrTimeout)) // err says where stuck hangs
	_, err = c.Fetch(context.Background(), "k", stuck)
	var rests *courier.BackoffError
	fmt.Println(errors.As(err, &rests), errors.Is(err, courier.ErrTimeout))
	close(never)
	fmt.Println(c.Close())
	// Output:
	// true
	// true true
	// <nil>
}

func ExampleCache_All() {
	c, err := cache.New(cache.Options[string, int]{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	c.Set("a", 1)
	c.Set("b", 2)
	all := maps.Collect(c.All())
	for _, key := range slices.Sorted(maps.Keys(all)) {
		fmt.Println(key, all[key])
	}
	// Output:
	// a 1
	// b 2
}

// A nightly job reads every record once. The default policy keeps the entries in use.
func ExamplePolicy() {
	for _, policy := range []cache.Policy{cache.LRU, cache.Adaptive} {
		c, err := cache.New(cache.Options[int, string]{Capacity: 1000, Policy: policy})
		if err != nil {
			fmt.Println(err)
			return
		}
		for range 10 {
			for user := range 500 { // in use
				if _, ok := c.Get(user); !ok {
					c.Set(user, "profile")
				}
			}
		}
		for record := range 10_000 { // read once
			c.Set(1_000_000+record, "record")
		}
		left := 0
		for user := range 500 {
			if _, _, ok := c.Peek(user); ok {
				left++
			}
		}
		fmt.Println(policy, "kept more than nine of ten:", left > 450)
		_ = c.Close()
	}
	// Output:
	// LRU kept more than nine of ten: false
	// Adaptive kept more than nine of ten: true
}
