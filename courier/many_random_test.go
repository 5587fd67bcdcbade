package courier_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// A run records one call of a fetch function: its keys, its time, and its end.
type run struct {
	id         int
	keys       []int
	begin, end time.Time // end is zero while it runs
	does       deed
	bad        []bool // keys with an error of their own
}

// A deed is the way a run ends.
type deed int

const (
	answers deed = iota
	failsAll
	panics
	exits
	losesChild
	miscounts
	deeds
)

// A runError is an error that a run has given to a key, or to all.
type runError struct{ id, key int }

func (e *runError) Error() string { return "an error of the reference" }

// value returns the value that a run returns for a key.
func (r *run) value(key int) int { return 1000*r.id + key }

// A reference checks the outcomes of Do and DoMany against the runs of the functions.
type reference struct {
	t    *testing.T
	c    *courier.Courier[int, int]
	keys int

	mu        sync.Mutex
	runs      []*run
	running   map[int][]*run
	deadlines map[int][]time.Time // of callers of the key
	shares    map[share][]bool    // the values of Shared that callers got
	got       map[string]int      // outcomes by kind
}

type share struct{ run, key int }

// start records a run, and checks that it was necessary.
func (m *reference) start(rnd *rand.Rand, keys []int) *run {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	r := &run{id: len(m.runs) + 1, keys: slices.Clone(keys), begin: now,
		does: deed(rnd.IntN(int(deeds) + 6))}
	if r.does >= deeds {
		r.does = answers
	}
	for _, key := range keys {
		r.bad = append(r.bad, r.does == answers && rnd.IntN(8) == 0)
		for _, other := range m.running[key] {
			letDown := slices.ContainsFunc(m.deadlines[key], func(d time.Time) bool {
				return !d.Before(other.begin) && !d.After(now)
			})
			assert.True(m.t, letDown, "key %d is fetched twice at a time, and no caller was let down", key)
		}
		m.running[key] = append(m.running[key], r)
	}
	m.runs = append(m.runs, r)
	return r
}

// end records that a run ends now.
func (m *reference) end(r *run) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r.end = time.Now()
	for _, key := range r.keys {
		m.running[key] = slices.DeleteFunc(m.running[key], func(other *run) bool { return other == r })
	}
}

// fetch is the function of a batch.
func (m *reference) fetch(
	ctx context.Context, rnd *rand.Rand, missing []int,
) ([]courier.Outcome[int], error) {
	r := m.start(rnd, missing)
	time.Sleep(time.Duration(rnd.IntN(400)) * time.Millisecond)
	m.end(r)
	switch r.does {
	case failsAll:
		return nil, &runError{r.id, -1}
	case panics:
		panic(&runError{r.id, -1})
	case exits:
		runtime.Goexit()
	case losesChild:
		courier.Go(ctx, func(context.Context) error { return &runError{r.id, -1} })
		<-ctx.Done()
		return nil, nil
	case miscounts:
		return make([]courier.Outcome[int], len(missing)+1), nil
	}
	o := make([]courier.Outcome[int], len(missing))
	for i, key := range missing {
		if r.bad[i] {
			o[i].Err = &runError{r.id, key}
		} else {
			o[i].Value = r.value(key)
		}
	}
	return o, nil
}

// single is the function of one key.
func (m *reference) single(ctx context.Context, rnd *rand.Rand, key int) (int, error) {
	o, err := m.fetch(ctx, rnd, []int{key})
	if err != nil {
		return 0, err
	}
	if len(o) != 1 {
		return 0, &runError{0, -2}
	}
	return o[0].Value, o[0].Err
}

// call makes one call, and checks its outcomes.
func (m *reference) call(rnd *rand.Rand, impatient bool) {
	t := m.t
	var keys []int
	for range 1 + rnd.IntN(6) {
		keys = append(keys, rnd.IntN(m.keys))
	}
	ctx := context.Background()
	if impatient && rnd.IntN(2) == 0 {
		d := time.Duration(1+rnd.IntN(500)) * time.Millisecond
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
		m.mu.Lock()
		for _, key := range keys {
			m.deadlines[key] = append(m.deadlines[key], time.Now().Add(d))
		}
		m.mu.Unlock()
	}
	begin := time.Now()
	own := rand.New(rand.NewPCG(rnd.Uint64(), rnd.Uint64()))
	if rnd.IntN(3) == 0 {
		key := keys[0]
		v, shared, err := m.c.Do(ctx, key, func(ctx context.Context) (int, error) {
			return m.single(ctx, own, key)
		})
		m.check(ctx, begin, key, courier.Outcome[int]{Value: v, Shared: shared, Err: err})
		return
	}
	fetch := func(ctx context.Context, missing []int) ([]courier.Outcome[int], error) {
		return m.fetch(ctx, own, missing)
	}
	got := m.c.DoMany(ctx, keys, fetch)
	require.Len(t, got, len(keys))
	for i, key := range keys {
		if first := slices.Index(keys, key); first < i {
			assert.Equal(t, got[first], got[i], "the outcomes of equal keys")
			continue
		}
		m.check(ctx, begin, key, got[i])
	}
}

// check finds the run that an outcome comes from.
func (m *reference) check(ctx context.Context, begin time.Time, key int, o courier.Outcome[int]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var of *runError
	var p *courier.PanicError
	var r *run
	kind := "value"
	byID := func(id int) *run {
		if id < 1 || id > len(m.runs) {
			return nil
		}
		return m.runs[id-1]
	}
	during := func(does deed) *run { // the outcome does not name its run
		for _, r := range m.runs {
			if r.does == does && slices.Contains(r.keys, key) && !r.end.Before(begin) {
				return r
			}
		}
		return nil
	}
	switch {
	case o.Err == nil:
		r = byID(o.Value / 1000)
		if r != nil {
			assert.Equal(m.t, r.value(key), o.Value)
			assert.Equal(m.t, answers, r.does)
		}
	case ctx.Err() != nil && errors.Is(o.Err, ctx.Err()):
		m.got["deadline"]++
		return
	case errors.As(o.Err, &p):
		kind = "panic"
		if assert.ErrorAs(m.t, o.Err, &of) {
			r = byID(of.id)
			assert.Equal(m.t, panics, r.does)
		}
	case errors.As(o.Err, &of):
		r = byID(of.id)
		switch of.key {
		case -1:
			kind = "error of all"
			assert.Contains(m.t, []deed{failsAll, losesChild}, r.does)
		case -2:
			kind = "wrong number"
			r = during(miscounts)
		default:
			kind = "error of one"
			assert.Equal(m.t, key, of.key)
			assert.True(m.t, r.bad[slices.Index(r.keys, key)])
		}
	case errors.Is(o.Err, courier.ErrGoexit):
		kind = "Goexit"
		r = during(exits)
	default:
		kind = "wrong number"
		assert.ErrorContains(m.t, o.Err, "outcomes for")
		r = during(miscounts)
	}
	m.got[kind]++
	if !assert.NotNil(m.t, r, "key %d: no function gave %+v", key, o) {
		return
	}
	assert.Contains(m.t, r.keys, key)
	assert.False(m.t, r.end.IsZero(), "an outcome of a function that still runs")
	assert.False(m.t, r.end.Before(begin), "an outcome of a function that had ended before the call")
	if kind != "Goexit" && kind != "wrong number" {
		m.shares[share{r.id, key}] = append(m.shares[share{r.id, key}], o.Shared)
	}
}

// Batches and single calls overlap, with faults, and are compared with a reference. For each key,
// all callers get the result of one function that ran while they waited. No key is fetched twice at
// a time, unless a flight was late.
func TestDoManyAgainstAReference(t *testing.T) {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("replay with -courier.seed=%d", s)
	for _, tc := range []struct {
		name      string
		impatient bool
		opts      []courier.Option
	}{
		{"patient callers", false, []courier.Option{courier.WithTimeout(0)}},
		{"turns", false, []courier.Option{courier.WithTimeout(0), courier.WithMaxConcurrent(2),
			courier.WithQueueWait(0)}},
		{"callers with deadlines", true, nil},
	} {
		for round := range uint64(10) {
			synctest.Test(t, func(t *testing.T) {
				m := &reference{
					t: t, c: courier.New[int, int](tc.opts...), keys: 12,
					running: make(map[int][]*run), deadlines: make(map[int][]time.Time),
					shares: make(map[share][]bool), got: make(map[string]int),
				}
				var wg sync.WaitGroup
				for worker := range uint64(16) {
					rnd := rand.New(rand.NewPCG(s+round, worker))
					wg.Go(func() {
						for range 30 {
							m.call(rnd, tc.impatient)
							time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
						}
					})
				}
				wg.Wait()
				time.Sleep(time.Minute)
				synctest.Wait()
				still(t, m.c.Stats())
				assert.NoError(t, courier.AtRest(m.c))
				for at, shares := range m.shares {
					for _, shared := range shares {
						if !tc.impatient { // else callers that have left count too
							assert.Equal(t, len(shares) > 1, shared, "run %d, key %d, %d callers", at.run, at.key,
								len(shares))
						}
					}
				}
				kinds := []string{"value", "error of all", "error of one", "panic", "Goexit", "wrong number"}
				if tc.impatient {
					kinds = append(kinds, "deadline")
				}
				for _, kind := range kinds {
					assert.NotZero(t, m.got[kind], "%s: the storm is too mild: no %s", tc.name, kind)
				}
				if t.Failed() {
					t.Logf("%s, round %d: %v, %+v", tc.name, round, m.got, m.c.Stats())
				}
			})
		}
	}
}
