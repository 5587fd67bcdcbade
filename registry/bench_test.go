package registry

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// These are benchmarks of a single node; those of clusters are in internal/clusterbench.

const benchNames = 100_000

func benchName(i int) string { return fmt.Sprintf("bench/%010d", i) }

var benchMeta = []byte("10.20.30.40:5678")

// benchList returns n names, numbered from first on, so that making them is not measured.
func benchList(first, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = benchName(first + i)
	}
	return list
}

// benchHold registers names on a new node.
func benchHold(b *testing.B, list []string) *Registry {
	b.Helper()
	r := openReal(b, "a", nil)
	for _, name := range list {
		_, err := r.Register(context.Background(), name, benchMeta)
		require.NoError(b, err)
	}
	return r
}

// BenchmarkRegister registers a new name each time.
func BenchmarkRegister(b *testing.B) {
	r := openReal(b, "a", nil)
	ctx := context.Background()
	list := benchList(0, b.N)
	b.ReportAllocs()
	b.ResetTimer()
	for _, name := range list {
		if _, err := r.Register(ctx, name, benchMeta); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRegisterParallel registers new names from as many goroutines as there are cores.
func BenchmarkRegisterParallel(b *testing.B) {
	r := openReal(b, "a", nil)
	ctx := context.Background()
	list := benchList(0, b.N)
	var next atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := r.Register(ctx, list[next.Add(1)-1], benchMeta); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkRelease releases a name each time.
func BenchmarkRelease(b *testing.B) {
	r := openReal(b, "a", nil)
	ctx := context.Background()
	held := make([]*Registration, b.N)
	for i := range held {
		g, err := r.Register(ctx, benchName(i), benchMeta)
		require.NoError(b, err)
		held[i] = g
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, g := range held {
		if err := g.Release(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRegisterRelease registers and releases one name, by holders whose contexts can end: each
// has its own, or all are derived from one from which many others are derived as well.
func BenchmarkRegisterRelease(b *testing.B) {
	for _, shared := range []bool{false, true} {
		b.Run("shared="+strconv.FormatBool(shared), func(b *testing.B) {
			r := openReal(b, "a", nil)
			parent, cancel := context.WithCancel(b.Context())
			defer cancel()
			if shared {
				for i := range 10_000 {
					_, err := r.Register(parent, benchName(i), benchMeta)
					require.NoError(b, err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				ctx := parent
				end := context.CancelFunc(func() {})
				if !shared {
					ctx, end = context.WithCancel(context.Background())
				}
				g, err := r.Register(ctx, "name", benchMeta)
				if err != nil {
					b.Fatal(err)
				}
				if err := g.Release(); err != nil {
					b.Fatal(err)
				}
				end()
			}
		})
	}
}

// BenchmarkRegisterTaken registers a name that is held.
func BenchmarkRegisterTaken(b *testing.B) {
	r := benchHold(b, []string{"name"})
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Register(ctx, "name", benchMeta); err == nil {
			b.Fatal("the name was given twice")
		}
	}
}

// BenchmarkUpdate replaces the metadata of one name.
func BenchmarkUpdate(b *testing.B) {
	r := openReal(b, "a", nil)
	g, err := r.Register(b.Context(), "name", benchMeta)
	require.NoError(b, err)
	other := []byte("10.20.30.40:8765")
	b.ReportAllocs()
	for b.Loop() {
		if err := g.Update(b.Context(), func([]byte) []byte { return other }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLookup looks up names, held ones and others, in a registry of 100,000.
func BenchmarkLookup(b *testing.B) {
	held := benchList(0, benchNames)
	r := benchHold(b, held)
	for _, c := range []struct {
		name string
		list []string
		want bool
	}{{"hit", held, true}, {"miss", benchList(benchNames, benchNames), false}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, ok := r.Lookup(c.list[i]); ok != c.want {
					b.Fatal(c.list[i])
				}
				i = (i + 1) % len(c.list)
			}
		})
	}
}

// BenchmarkLookupParallel looks up held names in one goroutine on each of several cores.
func BenchmarkLookupParallel(b *testing.B) {
	held := benchList(0, benchNames)
	r := benchHold(b, held)
	for cores := 1; cores <= runtime.NumCPU(); cores *= 2 {
		b.Run("cores="+strconv.Itoa(cores), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
			var start atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				i := int(start.Add(benchNames/2)) % len(held)
				for pb.Next() {
					if _, ok := r.Lookup(held[i]); !ok {
						b.Error(held[i])
						return
					}
					i = (i + 1) % len(held)
				}
			})
		})
	}
}

// BenchmarkLookupWhileRegistering looks up names while another goroutine registers and releases
// without a pause.
func BenchmarkLookupWhileRegistering(b *testing.B) {
	held := benchList(0, benchNames)
	r := benchHold(b, held)
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			g, err := r.Register(context.Background(), "other/"+strconv.Itoa(i%1000), benchMeta)
			if err == nil {
				err = g.Release()
			}
			if err != nil {
				<-stop
				stopped <- err
				return
			}
		}
	}()
	i := 0
	for b.Loop() {
		if _, ok := r.Lookup(held[i]); !ok {
			b.Fatal(held[i])
		}
		i = (i + 1) % len(held)
	}
	close(stop)
	require.NoError(b, <-stopped)
}

// BenchmarkWatch registers and releases one name with watchers of all events, or only of those
// about another name. The first watcher is read, the others are too slow.
func BenchmarkWatch(b *testing.B) {
	for _, c := range []struct {
		name     string
		watchers int
		opts     []WatchOption
	}{
		{"nobody", 0, nil},
		{"all=1", 1, nil},
		{"all=16", 16, nil},
		{"other-name=16", 16, []WatchOption{WatchNames("other")}},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := openReal(b, "a", nil)
			ctx := context.Background()
			var reading sync.WaitGroup
			b.Cleanup(reading.Wait) // runs after the watchers were closed: cleanups run last to first
			for i := range c.watchers {
				w := r.Watch(ctx, c.opts...)
				b.Cleanup(w.Close)
				if i == 0 {
					reading.Go(func() {
						for e := range w.Events() {
							_ = e
						}
					})
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				g, err := r.Register(ctx, "name", benchMeta)
				if err != nil {
					b.Fatal(err)
				}
				if err := g.Release(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWaitFor waits for a name that is held already, and for one that another goroutine
// registers during the wait.
func BenchmarkWaitFor(b *testing.B) {
	b.Run("held", func(b *testing.B) {
		r := benchHold(b, []string{"name"})
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.WaitFor(b.Context(), "name"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("to-come", func(b *testing.B) {
		r := openReal(b, "a", nil)
		turn, done := make(chan struct{}), make(chan error)
		go func() {
			defer close(done)
			for range turn {
				g, err := r.Register(context.Background(), "name", benchMeta)
				if err != nil {
					done <- err
					return
				}
				<-turn
				if err := g.Release(); err != nil {
					done <- err
					return
				}
				done <- nil
			}
		}()
		b.ReportAllocs()
		for b.Loop() {
			turn <- struct{}{}
			if _, err := r.WaitFor(b.Context(), "name"); err != nil {
				b.Fatal(err)
			}
			turn <- struct{}{}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
		close(turn)
		require.NoError(b, <-done)
	})
}
