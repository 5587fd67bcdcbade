package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/snowfence/snowfence/internal/usage"
	"github.com/valkey-io/valkey-go"
)

// An operation does something once, and returns false if nothing was left to do.
type operation func(random *rand.Rand) (done bool, err error)

// together lets n callers repeat op until nothing is left to do or it fails. It returns how long
// each operation took.
func together(n int, op operation) ([]time.Duration, error) {
	took := make([][]time.Duration, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(2, uint64(i))) //nolint:gosec // no secret
			for {
				began := time.Now()
				done, err := op(random)
				if err != nil || !done {
					errs[i] = err
					return
				}
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	wg.Wait()
	return slices.Concat(took...), errors.Join(errs...)
}

// until returns an operation that calls f for as long as the window lasts.
func until(window time.Duration, f func(random *rand.Rand) error) operation {
	end := time.Now().Add(window)
	return func(random *rand.Rand) (bool, error) {
		if time.Now().After(end) {
			return false, nil
		}
		return true, f(random)
	}
}

// timed measures operations, each of which is about n keys. flush, if not nil, belongs to them.
func (b *bench) timed(
	ctx context.Context, o *origin, n, callers int, op operation,
	flush func(context.Context) error,
) (m measured, err error) {
	server, err := serverCPU(ctx, b.server)
	if err != nil {
		return m, err
	}
	loads, began, used := o.loads.Load(), time.Now(), usage.CPU()
	took, err := together(callers, op)
	if err == nil && flush != nil {
		err = flush(ctx)
	}
	if err != nil {
		return m, err
	}
	wall, cpu := time.Since(began), usage.CPU()-used
	after, err := serverCPU(ctx, b.server)
	if err != nil {
		return m, err
	}
	keys := float64(n * len(took))
	slices.Sort(took)
	return measured{
		Time:      wall.Seconds() / keys,
		P99:       took[int(math.Ceil(0.99*float64(len(took))))-1].Seconds(),
		CPU:       cpu.Seconds() / keys,
		ServerCPU: (after - server) / keys,
		Origin:    float64(o.loads.Load() - loads),
	}, nil
}

var errNoServerCPU = errors.New("the server does not report its processor time")

// serverCPU returns the processor time of the server so far, in seconds.
func serverCPU(ctx context.Context, server valkey.Client) (seconds float64, err error) {
	info, err := server.Do(ctx, server.B().Info().Section("cpu").Build()).ToString()
	if err != nil {
		return 0, err
	}
	found := 0
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name != "used_cpu_sys" && name != "used_cpu_user" {
			continue
		}
		s, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("%s of the server: %w", name, err)
		}
		seconds += s
		found++
	}
	if found != 2 {
		return 0, fmt.Errorf("%w: %q", errNoServerCPU, info)
	}
	return seconds, nil
}
