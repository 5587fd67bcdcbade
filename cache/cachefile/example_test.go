package cachefile_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachefile"
)

// A process saves its cache when it ends, and the next one starts warm.
func Example() {
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(folder) }()
	path := filepath.Join(folder, "prices")
	ctx := context.Background()

	process := func() {
		prices, err := cache.NewLoading(cache.Options[string, int]{TTL: time.Hour},
			func(_ context.Context, article string) (int, error) {
				fmt.Println("SELECT price of", article)
				return 42, nil
			})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer func() { _ = prices.Close() }()
		o := cachefile.Options[string, int]{Version: "cents"}
		loaded, err := cachefile.Load(ctx, prices.Cache, path, o)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			fmt.Println(err) // the cache works; it is colder
		}
		fmt.Println("loaded:", loaded.Entries)

		price, err := prices.Fetch(ctx, "apple")
		fmt.Println(price, err)

		saved, err := cachefile.Save(ctx, prices.Cache, path, o)
		fmt.Println("saved:", saved.Entries, err)
	}
	process()
	process()
	// Output:
	// loaded: 0
	// SELECT price of apple
	// 42 <nil>
	// saved: 1 <nil>
	// loaded: 1
	// 42 <nil>
	// saved: 1 <nil>
}

// A service saves every ten minutes, and when it is asked to end.
func ExampleKeep() {
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(folder) }()
	path := filepath.Join(folder, "sessions")
	sessions, err := cache.New(cache.Options[string, string]{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = sessions.Close() }()

	ctx, shutdown := context.WithCancel(context.Background()) // signal.NotifyContext in a service
	kept := make(chan error)
	go func() {
		kept <- cachefile.Keep(ctx, sessions, path, 10*time.Minute,
			cachefile.Options[string, string]{
				OnSave: func(saved cachefile.Saved, err error) { fmt.Println(saved.Entries, err) },
			})
	}()
	sessions.Set("ada", "admin")
	shutdown()
	fmt.Println(<-kept)
	// Output:
	// 1 <nil>
	// <nil>
}

// A file that was cut is loaded up to there.
func ExampleDamageError() {
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(folder) }()
	path := filepath.Join(folder, "numbers")
	numbers, err := cache.New(cache.Options[int, string]{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = numbers.Close() }()
	numbers.Set(1, "one")
	o := cachefile.Options[int, string]{}
	saved, err := cachefile.Save(context.Background(), numbers, path, o)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := os.Truncate(path, saved.Bytes-3); err != nil {
		fmt.Println(err)
		return
	}

	numbers.Clear()
	loaded, err := cachefile.Load(context.Background(), numbers, path, o)
	var damage *cachefile.DamageError
	fmt.Println(errors.As(err, &damage), loaded.Entries)
	// Output: true 1
}
