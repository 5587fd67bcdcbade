package registry_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/registry"
)

// Two nodes in one process. The name that is registered on one is seen on the other, and can't be
// registered there.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	first, err := registry.Open(ctx, registry.Config{NodeName: "first"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop(first)
	second, err := registry.Open(ctx,
		registry.Config{NodeName: "second", Seeds: []string{first.Addr()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop(second)

	holder, end := context.WithCancel(context.Background()) // the life of the holder
	defer end()
	_, err = first.Register(holder, "mailer", []byte("pid 4711"))
	if err != nil {
		fmt.Println(err)
		return
	}

	claim, err := second.WaitFor(ctx, "mailer")
	fmt.Printf("mailer runs on %s (%s) %v\n", claim.Node, claim.Meta, err)

	_, err = second.Register(context.Background(), "mailer", nil)
	var taken *registry.TakenError
	if errors.As(err, &taken) {
		fmt.Println("taken by", taken.Holder.Node)
	}

	w := second.Watch(ctx, registry.WatchNames("mailer"))
	end() // the holder ends, and so does its registration
	event, err := w.Next(ctx)
	fmt.Println(event, err)

	// Output:
	// mailer runs on first (pid 4711) <nil>
	// taken by first
	// unregistered "mailer" on first: holder ended <nil>
}

func stop(r *registry.Registry) {
	if err := r.Close(); err != nil {
		fmt.Println(err)
	}
}

// A holder runs until its registration ends, and then reads the cause.
func ExampleRegistration_Context() {
	r, err := registry.Open(context.Background(), registry.Config{NodeName: "only"})
	if err != nil {
		fmt.Println(err)
		return
	}
	g, err := r.Register(context.Background(), "scheduler", nil)
	if err != nil {
		fmt.Println(err) // a *registry.TakenError: the holder is on another node
		return
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(time.Hour)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C: // the work
			case <-g.Context().Done():
				var conflict *registry.ConflictError
				cause := context.Cause(g.Context())
				if errors.As(cause, &conflict) {
					fmt.Println("after a split,", conflict.Winner.Node, "goes on with it")
				}
				fmt.Println("stopped:", cause)
				return
			}
		}
	}()
	stop(r)
	<-ended
	// Output: stopped: registry: closed
}

// This rule keeps the claim with the higher priority, which is the first byte of the metadata.
func ExampleNewResolver() {
	byPriority := registry.NewResolver("by-priority-1", func(a, b registry.Claim) int {
		return int(priority(a)) - int(priority(b)) // 0, where they are equal: the newer one
	})
	a := registry.Claim{Name: "x", Node: "a", Meta: []byte{9}}
	b := registry.Claim{Name: "x", Node: "b", Meta: []byte{5}}
	fmt.Println(byPriority.Compare(a, b) > 0, byPriority.Compare(b, a) > 0)
	// Output: true false
}

func priority(c registry.Claim) byte {
	if len(c.Meta) == 0 {
		return 0
	}
	return c.Meta[0]
}

// A program follows all names: it reads the current ones, and then the changes.
func ExampleRegistry_Watch() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := registry.Open(ctx, registry.Config{NodeName: "only"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop(r)

	names := make(map[string]string)
	reload := func() {
		clear(names)
		for c := range r.All() {
			names[c.Name] = c.Node
		}
	}
	w := r.Watch(ctx) // before reading, so that no change is missed
	reload()
	if _, err := r.Register(context.Background(), "a", nil); err != nil {
		fmt.Println(err)
	}
	w.Close() // so that the loop ends after the events so far
	for e := range w.Events() {
		switch e.Kind {
		case registry.Registered:
			names[e.Name] = e.Claim.Node
		case registry.Unregistered:
			delete(names, e.Name)
		case registry.Missed:
			reload()
		}
	}
	fmt.Println(names)
	// Output: map[a:only]
}
