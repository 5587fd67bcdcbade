package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

// A lifeScenario is a fault of the fetch function of one key, with concurrent events.
type lifeScenario struct {
	fault   lifeFault
	stale   bool // whether there is a stale value when the callers come
	soft    time.Duration
	timeout time.Duration
	crowd   string
	ops     string // joined by +
	opsAt   time.Duration
}

type lifeFault struct {
	name    string
	call    lifeCall
	backoff bool // courier.WithBackoff
	refuses bool // courier.WithMaxWaiting, and others wait
}

const (
	lifeTTL   = 2 * time.Second
	lifeStale = 30 * time.Second
	lifeSoft  = 100 * time.Millisecond
	lifeQuick = 20 * time.Millisecond // a load
	lifeSlow  = 300 * time.Millisecond
	lifeLong  = 1650 * time.Millisecond // ends at a time that is no deadline
	lifeMends = 65 * time.Second        // a load that begins later succeeds
	lifeEnd   = 100 * time.Second
)

func lifeFaults() (faults []lifeFault) {
	for _, takes := range []time.Duration{lifeQuick, lifeSlow, lifeLong} {
		for _, result := range []string{"", "error", "not found", "panic", "goexit"} {
			if takes > lifeSlow && result != "" {
				continue
			}
			name := fmt.Sprint(takes, " ", result)
			faults = append(faults, lifeFault{name: name, call: lifeCall{takes: takes, result: result}})
		}
	}
	return append(
		faults,
		lifeFault{name: "hang", call: lifeCall{takes: forever}},
		lifeFault{name: "deaf hang", call: lifeCall{takes: forever, deaf: true}},
		lifeFault{name: "deaf and slow", call: lifeCall{takes: lifeSlow, deaf: true}},
		lifeFault{
			name: "deaf, slow, not found", call: lifeCall{takes: lifeSlow, deaf: true, result: "not found"},
		},
		lifeFault{name: "back-off", call: lifeCall{takes: lifeQuick, result: "error"}, backoff: true},
		lifeFault{name: "overloaded", call: lifeCall{takes: lifeQuick}, refuses: true},
	)
}

// lifeCrowds are the first callers: one that waits, one with a near deadline, one that leaves.
func lifeCrowds() map[string][]lifeCaller {
	ms := time.Millisecond
	return map[string][]lifeCaller{
		"patient":   {{}, {at: 30 * ms}},
		"impatient": {{within: 55 * ms}, {at: 30 * ms, leave: 15 * ms}, {at: 35 * ms}},
		"leaving":   {{leave: 7 * ms}, {at: 30 * ms, within: time.Second}},
	}
}

// laterCallers come after the first ones.
func laterCallers(crowd string) (callers []*lifeCaller) {
	within := time.Duration(0)
	if crowd != "patient" {
		within = time.Second
	}
	for _, ms := range []int{150, 700, 1200, 1900, 10_000, 11_300, 33_000, 34_300, 61_000, 66_000,
		67_500} {
		callers = append(callers, &lifeCaller{at: time.Duration(ms) * time.Millisecond, within: within})
	}
	return callers
}

func lifeScenarios() (all []lifeScenario) {
	ops := []string{
		"Set", "SetTTL", "Delete", "Clear", "InvalidateTag", "another tag", "Expire", "evict", "Close",
		"Set+Delete", "Set+evict", "SetTTL+Expire", "evict+Delete", "evict+Clear", "evict+InvalidateTag",
		"evict+Set+evict",
	}
	for _, fault := range lifeFaults() {
		for i := range 2 * 2 * 3 * len(lifeCrowds()) {
			s := lifeScenario{
				fault: fault, stale: i%2 == 0,
				soft:    []time.Duration{0, lifeSoft}[i/2%2],
				timeout: []time.Duration{0, 60 * time.Millisecond, 250 * time.Millisecond}[i/4%3],
				crowd:   []string{"patient", "impatient", "leaving"}[i/12],
			}
			all = append(all, s)
			for _, ms := range []int{-11, 11, 52, 133, 283, 5003} {
				s.opsAt = time.Duration(ms) * time.Millisecond
				for _, s.ops = range ops {
					all = append(all, s)
				}
			}
		}
	}
	return all
}

func (s lifeScenario) String() string {
	return fmt.Sprintf("%s, stale %t, soft %v, time-out %v, %s, %s at %v",
		s.fault.name, s.stale, s.soft, s.timeout, s.crowd, s.ops, s.opsAt)
}

// However loads end, and whatever happens meanwhile, callers get the results that the documentation
// promises: none is older or later, and no key is loaded more often.
func TestLife(t *testing.T) {
	scenarios := lifeScenarios()
	share := len(scenarios) / 5
	switch {
	case raceEnabled && testing.Short():
		share /= 15
	case raceEnabled || testing.Short():
		share /= 5
	}
	seed := rand.Uint64()
	t.Logf("seed %d, %d of %d scenarios", seed, share, len(scenarios))
	r := rand.New(rand.NewPCG(seed, 0))
	r.Shuffle(len(scenarios), func(i, j int) {
		scenarios[i], scenarios[j] = scenarios[j], scenarios[i]
	})
	scenarios = scenarios[:share]
	failed := 0
	for _, s := range scenarios {
		var wrong []string
		synctest.Test(t, func(t *testing.T) { wrong = s.run(t) })
		if len(wrong) == 0 {
			continue
		}
		t.Errorf("%v:\n%s", s, strings.Join(wrong, "\n"))
		if failed++; failed == 20 { //nolint:gocritic // shorter so
			t.Fatal("too many failures; the rest is left out")
		}
	}
}

// A lifeRun is the state of a running scenario.
type lifeRun struct {
	lifeScenario
	ctx     context.Context
	c       *cache.Cache[string, int]
	begin   time.Time
	release chan struct{} // ends functions that ignore their contexts

	mu     sync.Mutex // guards the following
	starts []time.Duration
	born   map[int]time.Duration // the times at which values were stored or loaded
	wrong  []string
}

func (r *lifeRun) wrongly(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

// run returns the differences from the model.
func (s lifeScenario) run(t *testing.T) (wrong []string) {
	t.Helper()
	r := &lifeRun{
		lifeScenario: s, ctx: t.Context(), begin: time.Now().Add(lifeTTL), release: make(chan struct{}),
		born: map[int]time.Duration{1: -lifeTTL},
	}
	var opts []courier.Option
	if s.fault.backoff {
		opts = append(opts, courier.WithBackoff(4*time.Second, 4*time.Second))
	}
	if s.fault.refuses {
		opts = append(opts, courier.WithMaxWaiting(1))
	}
	c, err := cache.New(cache.Options[string, int]{
		Capacity: 1, TTL: lifeTTL, StaleFor: lifeStale, SoftTimeout: s.soft, Timeout: s.timeout,
		NotFoundTTL: lifeTTL / 4, ClockError: -1, Courier: opts,
		Tags: func(key string, _ int) []string { return []string{"of " + key} },
	})
	require.NoError(t, err)
	r.c = c

	m := r.model()
	if s.stale {
		c.Set("k", 1)
		m.now = -lifeTTL
		m.set(1, lifeTTL)
	}
	crowd := laterCallers(s.crowd)
	for _, caller := range lifeCrowds()[s.crowd] {
		crowd = append(crowd, &caller)
	}
	var ops []string
	if s.ops != "" {
		ops = strings.Split(s.ops, "+")
	}
	m.play(crowd, ops, s.opsAt, lifeEnd)

	got := make([]lifeCaller, len(crowd))
	var wg sync.WaitGroup
	if s.fault.refuses {
		wg.Go(r.occupy)
	}
	for i, caller := range crowd {
		wg.Go(func() { got[i] = r.call(*caller) })
	}
	wg.Go(func() {
		r.sleepUntil(s.opsAt)
		for _, op := range ops {
			r.do(op)
		}
	})
	r.sleepUntil(lifeEnd)
	close(r.release)
	wg.Wait()
	synctest.Wait()
	v, ttl, ok := c.Peek("k")
	stats := c.Stats()
	require.NoError(t, c.Audit())
	r.check(m, crowd, got)
	if want := m.value; ok != (want != nil && lifeEnd < want.gone) ||
		ok && (v != want.v || ttl != want.fresh-lifeEnd) {
		r.wrongly("Peek: %d, %v, %t, want %+v", v, ttl, ok, want)
	}
	if n := uint64(m.answered()); stats.Loads != n+stats.LoadErrors+stats.NotFound {
		r.wrongly("%d loads succeeded: %+v", n, stats)
	}
	require.NoError(t, c.Close())
	return r.wrong
}

// answered returns the number of functions that returned a value in time.
func (m *lifeModel) answered() (n int) {
	for _, f := range m.flights {
		if !f.dropped && f.result == "" {
			n++
		}
	}
	return n
}

func (r *lifeRun) model() *lifeModel {
	m := &lifeModel{
		lifeOptions: lifeOptions{
			ttl: lifeTTL, staleFor: lifeStale, soft: r.soft, retry: cache.DefaultStaleRetry,
			timeout: courier.DefaultTimeout, notFoundTTL: lifeTTL / 4,
		},
		origin: r.origin,
		refuse: func(at time.Duration) bool { return r.fault.refuses && at < lifeMends },
		tagged: past, missing: past, worked: past,
	}
	if r.timeout > 0 {
		m.timeout = r.timeout
	}
	if r.fault.backoff {
		m.lifeOptions.backoff = 4 * time.Second
	}
	return m
}

func (r *lifeRun) origin(_ int, at time.Duration) lifeCall {
	if at >= lifeMends {
		return lifeCall{takes: lifeQuick}
	}
	return r.fault.call
}

func (r *lifeRun) now() time.Duration { return time.Since(r.begin) }

func (r *lifeRun) sleepUntil(at time.Duration) { time.Sleep(at - r.now()) }

// load is the fetch function.
func (r *lifeRun) load(ctx context.Context, _ string) (int, error) {
	r.mu.Lock()
	r.starts = append(r.starts, r.now())
	n := len(r.starts)
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.born[100+n] = r.now()
	}()
	call := r.origin(n, r.now())
	heeds, release := ctx.Done(), r.release
	if call.deaf {
		heeds = nil
	}
	var timer <-chan time.Time
	if call.takes < forever {
		timer, release = time.After(call.takes), nil
	}
	select {
	case <-heeds:
		return 0, ctx.Err()
	case <-release:
		return 0, nil
	case <-timer:
	}
	switch call.result {
	case "error":
		return 0, errLoad
	case "not found":
		return 0, fmt.Errorf("no row: %w", cache.ErrNotFound)
	case "panic":
		panic("fault")
	case "goexit":
		runtime.Goexit()
	}
	return 100 + n, nil
}

// occupy makes a caller wait for another key until lifeMends, so that other callers are refused.
func (r *lifeRun) occupy() {
	r.sleepUntil(-500 * time.Microsecond)
	for r.now() < lifeMends {
		_, err := r.c.Fetch(r.ctx, "busy", func(ctx context.Context, _ string) (int, error) {
			select {
			case <-ctx.Done():
			case <-time.After(lifeMends - r.now()):
			}
			return 0, errLoad
		})
		if errors.Is(err, courier.ErrClosed) {
			return
		}
	}
}

func (r *lifeRun) do(op string) {
	set := func(ttl time.Duration) {
		r.c.SetTTL("k", 2, ttl)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.born[2] = r.now()
	}
	switch op {
	case "Set":
		set(lifeTTL)
	case "SetTTL":
		set(lifeTTL / 4)
	case "Delete":
		r.c.Delete("k")
	case "Clear":
		r.c.Clear()
	case "InvalidateTag":
		r.c.InvalidateTag("of k")
	case "another tag":
		r.c.InvalidateTag("of x")
	case "Expire":
		r.c.Expire("k")
	case "evict":
		r.c.Set("x", 0)
	case "Close":
		_ = r.c.Close() // reports functions that ignore their contexts
	}
}

// call calls FetchResult as c, and returns its results.
func (r *lifeRun) call(c lifeCaller) lifeCaller {
	r.sleepUntil(c.at)
	ctx := r.ctx
	if c.within > 0 {
		within, cancel := context.WithTimeout(ctx, c.within)
		defer cancel()
		ctx = within
	}
	if c.leave > 0 {
		leaves, cancel := context.WithCancel(ctx)
		defer cancel()
		time.AfterFunc(c.leave, cancel)
		ctx = leaves
	}
	got, err := r.c.FetchResult(ctx, "k", r.load)
	c.done, c.value, c.lifeResult.stale = r.now(), got.Value, got.Stale
	switch {
	case err != nil && (got.Stale || got.Err != nil):
		r.wrongly("%+v, %v", got, err)
	case err == nil:
		err = got.Err
		r.checkAge(c, got)
	}
	c.why = lifeErrors(err)
	return c
}

// checkAge checks that a value is not too old, and that its Age is right.
func (r *lifeRun) checkAge(c lifeCaller, got cache.Result[int]) {
	r.mu.Lock()
	age := c.done - r.born[got.Value]
	r.mu.Unlock()
	if got.Stale != (got.Err != nil) || age >= lifeTTL+lifeStale || got.Stale && got.Age != age {
		r.wrongly("who came at %v got %+v, which is %v old", c.at, got, age)
	}
}

func lifeErrors(err error) string {
	var panicked *courier.PanicError
	switch {
	case err == nil:
		return ""
	case errors.As(err, new(*courier.BackoffError)):
		return "backoff"
	case errors.Is(err, cache.ErrNotFound):
		return "not found"
	case errors.Is(err, errLoad):
		return "error"
	case errors.As(err, &panicked) && panicked.Value == any("fault"):
		return "panic"
	case errors.Is(err, cache.ErrDied):
		return "died"
	case errors.Is(err, courier.ErrGoexit):
		return "goexit"
	case errors.Is(err, courier.ErrTimeout):
		return "timeout"
	case errors.Is(err, courier.ErrLate):
		return "late"
	case errors.Is(err, courier.ErrClosed):
		return "closed"
	case errors.Is(err, courier.ErrOverloaded):
		return "overloaded"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline"
	}
	return err.Error()
}

// check compares the results of callers with those of the model.
func (r *lifeRun) check(m *lifeModel, want []*lifeCaller, got []lifeCaller) {
	for i, w := range want {
		lost := lifeResult{why: w.why, done: w.done}
		//nolint:staticcheck // as one says it
		if g := got[i].lifeResult; g != w.lifeResult && !(w.perhaps && g == lost) {
			r.wrongly("who came at %v got %+v, want %+v", w.at, g, w.lifeResult)
		}
		// These hold independently of the model.
		if g := got[i]; w.stale != nil && r.soft > 0 && g.done > g.at+r.soft {
			r.wrongly("who came at %v had a stale value and waited until %v", g.at, g.done)
		}
	}
	starts := make([]time.Duration, len(m.flights))
	for i, f := range m.flights {
		starts[i] = f.start
	}
	if !slices.Equal(starts, r.starts) {
		r.wrongly("the origin was asked at %v, want %v", r.starts, starts)
	}
}
