package registry_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/snowfence/snowfence/registry"
)

// A journal is a store that checks fencing tokens: it refuses writes of a holder once a newer one
// has written.
type journal struct {
	mu     sync.Mutex
	newest string // the greatest token so far
}

var errFenced = errors.New("a newer holder has written")

func (j *journal) write(token, text string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if token < j.newest {
		return errFenced
	}
	j.newest = token
	fmt.Println(text)
	return nil
}

// One node at a time runs the scheduler. The claim's token prevents writes of a function that does
// not stop in time.
func ExampleRegistry_Run() {
	r, err := registry.Open(context.Background(), registry.Config{NodeName: "only"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop(r)

	var j journal
	var late *registry.Registration // of a function that does not stop
	for _, text := range []string{"first", "second"} {
		err := r.Run(context.Background(), "scheduler", nil, func(ctx context.Context) error {
			g, _ := registry.RegistrationFromContext(ctx)
			if late == nil {
				late = g
			}
			// A real function works until ctx ends; this one writes once.
			return j.write(g.Claim().Token(), text)
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println("late:", j.write(late.Claim().Token(), "never written"))
	// Output:
	// first
	// second
	// late: a newer holder has written
}

// A holder that hangs loses its name: another one, here the same function, gets its turn.
func ExampleRegistration_RequireAlive() {
	r, err := registry.Open(context.Background(), registry.Config{NodeName: "only"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop(r)
	hangs := true
	err = r.Run(context.Background(), "consumer", nil, func(ctx context.Context) error {
		g, _ := registry.RegistrationFromContext(ctx)
		g.RequireAlive(time.Second)
		for range 3 { // pieces of work
			if err := g.Alive(); err != nil {
				return err
			}
			if hangs {
				hangs = false
				<-ctx.Done() // from here on another holder may have the name
				fmt.Println("hung:", errors.Is(context.Cause(ctx), registry.ErrSilent))
			}
		}
		fmt.Println("done")
		return nil
	})
	fmt.Println(err)
	// Output:
	// hung: true
	// done
	// <nil>
}

// The wait has a time-out. The name is held until the holder's life ends.
func ExampleRegistry_RegisterFor() {
	r, err := registry.Open(context.Background(), registry.Config{NodeName: "only"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop(r)
	life, end := context.WithCancel(context.Background())
	defer end()
	wait, cancel := context.WithTimeout(life, time.Second)
	g, err := r.RegisterFor(wait, life, "mailer", nil)
	cancel()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(g.Name(), g.Context().Err())

	request, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err = r.Register(request, "printer", nil)
	var mistake *registry.DeadlineError
	fmt.Println(errors.As(err, &mistake))
	// Output:
	// mailer <nil>
	// true
}
