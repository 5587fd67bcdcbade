package courier_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/snowfence/snowfence/courier"
)

// Callers of one key share one fetch.
func ExampleCourier_Do() {
	var c courier.Courier[string, int]
	release := make(chan struct{})
	price := func(context.Context) (int, error) { //nolint:unparam // the type of a fetch function
		<-release // a slow shop
		fmt.Println("asked the shop")
		return 42, nil
	}

	var callers sync.WaitGroup
	prices := make([]int, 3)
	for i := range prices {
		callers.Go(func() {
			prices[i], _, _ = c.Do(context.Background(), "apple", price)
		})
	}
	for c.Stats().Waiting < len(prices) {
		time.Sleep(time.Millisecond)
	}
	close(release)
	callers.Wait()
	fmt.Println(prices)
	// Output:
	// asked the shop
	// [42 42 42]
}

// DoMany makes one query for all keys that no other caller is fetching.
func ExampleCourier_DoMany() {
	var c courier.Courier[string, int]
	prices := map[string]int{"apple": 42, "pear": 37}
	ask := func(_ context.Context, missing []string) ([]courier.Outcome[int], error) {
		fmt.Println("asked the shop for", missing)
		answers := make([]courier.Outcome[int], len(missing))
		for i, fruit := range missing {
			price, ok := prices[fruit]
			if !ok {
				answers[i].Err = fmt.Errorf("no %s today", fruit)
			}
			answers[i].Value = price
		}
		return answers, nil
	}

	fruits := []string{"pear", "fig", "apple", "pear"}
	for i, o := range c.DoMany(context.Background(), fruits, ask) {
		fmt.Println(fruits[i], o.Value, o.Err)
	}
	// Output:
	// asked the shop for [pear fig apple]
	// pear 37 <nil>
	// fig 0 no fig today
	// apple 42 <nil>
	// pear 37 <nil>
}

// If a goroutine started with Go returns an error, the flight ends, although the fetch function
// still waits for the goroutine.
func ExampleGo() {
	var c courier.Courier[string, string]
	_, _, err := c.Do(context.Background(), "page", func(ctx context.Context) (string, error) {
		body := make(chan string)
		courier.Go(ctx, func(context.Context) error {
			return errors.New("no route to host") // and nothing is sent
		})
		select {
		case s := <-body:
			return s, nil
		case <-ctx.Done(): // so that this function ends with its flight
			return "", ctx.Err()
		}
	})
	fmt.Println(err)
	// Output: no route to host
}

// A function that is called inside and outside of a fetch asks where it is.
func ExampleInFlight() {
	warm := func(ctx context.Context) {
		if courier.InFlight(ctx) {
			fmt.Println("linked to the flight")
			courier.Go(ctx, func(context.Context) error { return nil })
		} else {
			fmt.Println("on its own")
		}
	}
	var c courier.Courier[string, int]
	warm(context.Background())
	_, _, _ = c.Do(context.Background(), "key", func(ctx context.Context) (int, error) {
		warm(ctx)
		return 1, nil
	})
	// Output:
	// on its own
	// linked to the flight
}

func ExamplePanicError() {
	var c courier.Courier[string, int]
	_, _, err := c.Do(context.Background(), "key", func(context.Context) (int, error) {
		rows := strings.Fields(" ") // the shop sent none
		return len(rows[0]), nil
	})
	var p *courier.PanicError
	if errors.As(err, &p) {
		fmt.Println(p.Value) // p.Stack is the stack of the panic
	}
	// Output: runtime error: index out of range [0] with length 0
}

// The waiters of a flight get its time-out although the function ignores its context. The function
// is counted until it ends.
func ExampleWithTimeout() {
	c := courier.New[string, int](courier.WithTimeout(10 * time.Millisecond))
	release := make(chan struct{})
	_, _, err := c.Do(context.Background(), "key", func(context.Context) (int, error) {
		<-release
		return 1, nil
	})
	var timeout *courier.TimeoutError
	if errors.As(err, &timeout) { // timeout.Stack, and the error's text, say where it hangs
		fmt.Println(timeout.Key, timeout.Waiters)
	}
	fmt.Println(errors.Is(err, context.DeadlineExceeded), c.Stats().Abandoned)

	close(release)
	fmt.Println(c.Shutdown(context.Background()), c.Stats().Abandoned)
	// Output:
	// key 1
	// true 1
	// <nil> 0
}

// A fetch that could only wait for itself gets an error that names the cycle.
func ExampleDeadlockError() {
	var c courier.Courier[string, int]
	ctx := context.Background()
	var cell func(ctx context.Context, name string) (int, error)
	formulas := map[string]string{"A1": "B1", "B1": "C1", "C1": "A1"}
	cell = func(ctx context.Context, name string) (int, error) {
		v, _, err := c.Do(ctx, name, func(ctx context.Context) (int, error) {
			return cell(ctx, formulas[name])
		})
		return v, err
	}
	_, err := cell(ctx, "A1")
	fmt.Println(err)
	fmt.Println(errors.Is(err, courier.ErrDeadlock))
	// Output:
	// courier: deadlock: A1 → B1 → C1 → A1
	// true
}
