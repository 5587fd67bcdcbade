package clusterbench

import (
	"context"
	"fmt"
	"sync"

	"github.com/snowfence/snowfence/registry"
)

// nameOf returns a name of 16 bytes.
func nameOf(i int) string { return fmt.Sprintf("bench/%010d", i) }

// metaOf returns metadata of 16 bytes.
func metaOf() []byte { return []byte("10.20.30.40:5678") }

// register registers the names from first to first+n-1 on a node, by some goroutines. The holders
// have no context that ever ends, as one shared by all would be a cost of its own.
func register(r *registry.Registry, first, n, goroutines int) ([]*registry.Registration, error) {
	all := make([]*registry.Registration, n)
	err := inParallel(goroutines, n, func(i int) (err error) {
		all[i], err = r.Register(context.Background(), nameOf(first+i), metaOf())
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// release releases registrations, by some goroutines.
func release(all []*registry.Registration, goroutines int) error {
	return inParallel(goroutines, len(all), func(i int) error { return all[i].Release() })
}

// inParallel calls f with 0 to n-1, each of the goroutines with every goroutines-th number, and
// returns the first error of one.
func inParallel(goroutines, n int, f func(i int) error) error {
	errs := make([]error, goroutines)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := g; i < n && errs[g] == nil; i += goroutines {
				errs[g] = f(i)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
