package singleflight_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/courier/singleflight"
)

// A group is used as that of golang.org/x/sync.
func ExampleGroup() {
	var g singleflight.Group
	v, err, shared := g.Do("user:7", func() (any, error) { return "Ada", nil })
	fmt.Println(v, err, shared)
	// Output: Ada <nil> false
}

// Callers with a deadline leave at it, and the function goes on for the others.
func ExampleGroup_DoContext() {
	var g singleflight.Group
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err, _ := g.DoContext(ctx, "user:7", func(ctx context.Context) (any, error) {
		<-ctx.Done() // a query that takes the context
		return nil, ctx.Err()
	})
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output: true
}

// A function that panics is an error to its callers, if they want it so.
func ExampleGroup_panicsAsErrors() {
	g := singleflight.Group{PanicsAsErrors: true}
	_, err, _ := g.Do("user:7", func() (any, error) { panic("no such table") })
	var p *courier.PanicError
	fmt.Println(errors.As(err, &p), err)
	// Output: true courier: fetch panicked: no such table
}
