package errgroup_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/courier/errgroup"
)

// A function that panics ends Wait at once, and the context of the others.
func ExampleGroup() {
	g, ctx := errgroup.WithContext(context.Background())
	names := make(chan string)
	g.Go(func() error {
		rows := strings.Fields(" ") // the query found none
		names <- rows[0]
		return nil
	})
	g.Go(func() error {
		select {
		case name := <-names: // which never comes
			fmt.Println(name)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	err := g.Wait()
	var p *courier.PanicError
	if errors.As(err, &p) {
		fmt.Println(p.Value) // p.Stack is the stack of the panic
	}
	// Output: runtime error: index out of range [0] with length 0
}

// As with x/sync, the first error cancels the context of the others.
func ExampleWithContext() {
	g, ctx := errgroup.WithContext(context.Background())
	g.SetLimit(2)
	g.Go(func() error { return errors.New("no route to host") })
	g.Go(func() error {
		<-ctx.Done()
		return ctx.Err()
	})
	fmt.Println(g.Wait())
	fmt.Println(context.Cause(ctx))
	// Output:
	// no route to host
	// no route to host
}

// In a fetch function, which decides what an error of a part means for its callers. A panic of a
// part would end the flight at once.
func ExampleWithContext_inFlight() {
	var c courier.Courier[string, []string]
	page, _, err := c.Do(context.Background(), "home",
		func(ctx context.Context) ([]string, error) {
			g, _ := errgroup.WithContext(ctx)
			var mu sync.Mutex // guards parts
			parts := []string{"header"}
			g.Go(func() error {
				mu.Lock()
				defer mu.Unlock()
				parts = append(parts, "news")
				return nil
			})
			g.Go(func() error { return errors.New("no advertisements today") })
			if err := g.Wait(); err != nil {
				parts = append(parts, "an apology")
			}
			return parts, nil
		})
	fmt.Println(page, err)
	// Output: [header news an apology] <nil>
}
