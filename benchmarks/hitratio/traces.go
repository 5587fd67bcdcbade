package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"

	tracefile "github.com/snowfence/snowfence/internal/trace"
	"github.com/snowfence/snowfence/internal/workload"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

// A trace is a sequence of requests for keys.
type trace struct {
	name     string
	ids      []uint32
	distinct int
}

const (
	zipfKeys = 1_000_000
	loopKeys = 100_000
)

// loadTraces reads the files and generates the other traces. It reads files first, so that an
// invalid one is reported before any work.
func loadTraces(paths []string, requests int, seed uint64) ([]trace, error) {
	var read []trace
	for _, path := range paths {
		t, err := tracefile.Load(path, tracefile.Options{})
		if err != nil {
			return nil, fmt.Errorf("%w: -trace: %w", cli.ErrUsage, err)
		}
		read = append(read, trace{filepath.Base(path), t.IDs, len(t.Keys)})
	}
	var all []trace
	for _, skew := range []float64{0.8, 1.01, 1.2} {
		ids, err := zipf(skew, requests, seed)
		if err != nil {
			return nil, err
		}
		all = append(all, newTrace(fmt.Sprintf("zipf %g", skew), ids))
		if skew == 1.01 {
			all = append(all, newTrace("zipf 1.01 and scans", scans(ids, requests/40)))
		}
	}
	recent := recency(requests, requests/100, seed)
	all = append(all,
		newTrace("loop", loop(min(loopKeys, requests/10), requests/2)),
		newTrace("recency", recent))
	popular, err := zipf(1.01, requests, seed)
	if err != nil {
		return nil, err
	}
	all = append(all, newTrace("phases", phases(popular, recent, requests/5)),
		newTrace("one-timers", oneTimers(popular, seed)))
	drifting, err := drift(2*requests, requests/10, seed)
	if err != nil {
		return nil, err
	}
	return append(append(all, newTrace("drift", drifting)), read...), nil
}

func newTrace(name string, ids []uint32) trace {
	seen := make(map[uint32]struct{})
	for _, id := range ids {
		seen[id] = struct{}{}
	}
	return trace{name, ids, len(seen)}
}

func zipf(skew float64, n int, seed uint64) ([]uint32, error) {
	z, err := workload.NewZipf(zipfKeys, skew)
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // no secret
	ids := make([]uint32, n)
	for i := range ids {
		ids[i] = uint32(z.Draw(r)) //nolint:gosec // below zipfKeys
	}
	return ids, nil
}

// scans inserts a scan after every length requests: as many requests for keys that do not recur.
func scans(ids []uint32, length int) []uint32 {
	mixed := make([]uint32, 0, 2*len(ids))
	next := uint32(zipfKeys)
	for i, id := range ids {
		mixed = append(mixed, id)
		if (i+1)%length == 0 {
			for range length {
				mixed = append(mixed, next)
				next++
			}
		}
	}
	return mixed
}

// recency returns requests for each key two to five times, within window requests, and never again.
// New keys begin one after the other.
func recency(n, window int, seed uint64) []uint32 {
	r := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // no secret
	type request struct {
		at float64
		id uint32
	}
	const mean = 3.5 // requests for a key, and so from one new key to the next
	var all []request
	for id := uint32(0); len(all) < n; id++ {
		first := mean * float64(id)
		all = append(all, request{first, id})
		for range 1 + r.IntN(4) {
			all = append(all, request{first + r.Float64()*float64(window), id})
		}
	}
	slices.SortStableFunc(all, func(a, b request) int { return cmp.Compare(a.at, b.at) })
	ids := make([]uint32, len(all))
	for i, q := range all {
		ids[i] = q.id
	}
	return ids
}

// phases returns length requests of the first sequence, as many of the second, and so on in turn,
// as long as there are any of both. The keys of the second are others than those of the first.
func phases(first, second []uint32, length int) []uint32 {
	var mixed []uint32
	for at := 0; at+length <= min(len(first), len(second)); at += length {
		mixed = append(mixed, first[at:at+length]...)
		for _, id := range second[at : at+length] {
			mixed = append(mixed, zipfKeys+id)
		}
	}
	return mixed
}

// oneTimers inserts requests for keys that do not recur: after each request one, or none, by
// chance.
func oneTimers(ids []uint32, seed uint64) []uint32 {
	r := rand.New(rand.NewPCG(seed, 3)) //nolint:gosec // no secret
	var mixed []uint32
	next := uint32(zipfKeys)
	for _, id := range ids {
		mixed = append(mixed, id)
		if r.IntN(2) == 0 {
			mixed = append(mixed, next)
			next++
		}
	}
	return mixed
}

// drift returns n requests for as many keys at a time as keys, of which some are popular. After
// every 20 requests one of them leaves, whether popular or not, and a new one comes.
func drift(n, keys int, seed uint64) ([]uint32, error) {
	z, err := workload.NewZipf(uint64(keys), 1.01) //nolint:gosec // positive
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(seed, 4)) //nolint:gosec // no secret
	popularity := r.Perm(keys)
	ids := make([]uint32, n)
	for i := range ids {
		// Of the numbers from gone on, the one that is place modulo keys.
		gone, place := i/20, popularity[z.Draw(r)]
		ids[i] = uint32(gone + ((place-gone)%keys+keys)%keys) //nolint:gosec // small
	}
	return ids, nil
}

// loop returns requests for keys one after the other, again and again.
func loop(keys, n int) []uint32 {
	ids := make([]uint32, n)
	for i := range ids {
		ids[i] = uint32(i % keys) //nolint:gosec // small
	}
	return ids
}
