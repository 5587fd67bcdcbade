package stalltest_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/snowfence/snowfence/stalltest"
)

// A naive cache keeps its lock while it loads.
type naive struct {
	mu     sync.Mutex
	values map[string]string
}

func (c *naive) get(
	ctx context.Context, key string, load func(context.Context, string) (string, error),
) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.values[key]; ok {
		return v, nil
	}
	v, err := load(ctx, key)
	if err == nil {
		c.values[key] = v
	}
	return v, err
}

// An adapter makes a cache for one case, and says how to use it.
func Example() {
	subject := stalltest.Subject{New: func(s stalltest.Setup) (stalltest.Cache, error) {
		c := &naive{values: map[string]string{}}
		return stalltest.Cache{Fetch: func(ctx context.Context, key string) (string, error) {
			return c.get(ctx, key, s.Load)
		}}, nil
	}}
	// In a test: stalltest.Run(t, subject)
	for _, name := range []string{"none", "first-cancelled", "delete"} {
		r, err := stalltest.Observe(subject, name)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(r.String())
	}
	// Output:
	// none: pass: value
	// first-cancelled: pass: 2 loads
	// delete: none: – (has no Delete)
}

func ExampleCases() {
	group := ""
	cases := stalltest.Cases()
	for i := range cases {
		c := &cases[i]
		if c.Group != group {
			group = c.Group
			fmt.Println(group + ":")
		}
		fmt.Println("  " + c.Name)
	}
	// Output:
	// The load ends:
	//   none
	//   error
	//   panic
	//   panic-recovered
	//   goexit
	//   child
	// The load hangs:
	//   hang
	//   hang-deadline
	//   slow
	//   hang-hot
	//   hang-others
	// A caller leaves:
	//   first-cancelled
	//   first-deadline
	//   joined-cancelled
	// A load needs itself:
	//   nested
	//   nested-cycle
	//   nested-crossed
	// The key is written during its load:
	//   delete
	//   set
	//   set-within
	//   set-error
	//   hang-delete
	//   hang-set
	// A batch of ten keys:
	//   batch-panic
	//   batch-goexit
	//   batch-hang
	//   batch-missing
	//   batch-joined
	// A refresh in the background:
	//   refresh-error
	//   refresh-panic
	//   refresh-goexit
	//   refresh-hang
	// The load of an expired value:
	//   stale-error
	//   stale-panic
	//   stale-goexit
	//   stale-hang
	// The callback of an eviction:
	//   callback-hang
	//   callback-panic
	//   callback-fetch
	// Keys that are interfaces:
	//   key-uncomparable
	//   key-nan
}
