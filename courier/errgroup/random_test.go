package errgroup_test

import (
	"errors"
	"flag"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/snowfence/snowfence/courier"
)

// seed replays a run of the random test, which logs its seed.
var seed = flag.Uint64("errgroup.seed", 0, "seed of the random test; 0 takes a new one")

// Random functions under random limits end as a simulation of them says.
func TestRandomGroups(t *testing.T) {
	from := *seed
	if from == 0 {
		from = rand.Uint64()
	}
	t.Logf("-errgroup.seed %d", from)
	rnd := rand.New(rand.NewPCG(from, 0)) //nolint:gosec // a test
	for range 200 {
		limit := rnd.IntN(4) // 0: none
		jobs := randomJobs(rnd)
		want := simulate(limit, jobs)
		everywhere(t, func(s scene) {
			assert.Equal(s, want, perform(s, limit, jobs), "limit %d, jobs %+v", limit, jobs)
		})
		if t.Failed() {
			return
		}
	}
}

// An end is the way in which a job ends.
type end int

const (
	returns end = iota
	fails
	panics
	exits
)

// A job is a function: how long it takes, and how it ends.
type job struct {
	takes time.Duration
	end   end
}

// randomJobs returns some jobs, of which few die, and some hang for an hour.
func randomJobs(rnd *rand.Rand) []job {
	jobs := make([]job, rnd.IntN(10))
	for i := range jobs {
		jobs[i] = job{time.Duration(rnd.Int64N(int64(time.Second))), max(0, end(rnd.IntN(8)-4))}
		if rnd.IntN(6) == 0 {
			jobs[i] = job{time.Hour + jobs[i].takes, returns}
		}
	}
	return jobs
}

// A result holds what is seen of a group.
type result struct {
	called []int // jobs
	err    end   // what Wait has returned
	at     time.Duration
}

// simulate returns the result of jobs that are given to Go one after the other.
func simulate(limit int, jobs []job) (r result) {
	type running struct {
		until time.Duration
		end   end
	}
	var all, active []running
	first := func(a, b running) int { return int(a.until - b.until) }
	now := time.Duration(0)
	for i, j := range jobs {
		if limit > 0 && len(active) == limit {
			slices.SortFunc(active, first)
			now = active[0].until
			if active[0].end >= panics {
				break
			}
			active = active[1:]
		}
		r.called = append(r.called, i)
		active = append(active, running{now + j.takes, j.end})
		all = append(all, running{now + j.takes, j.end})
	}
	slices.SortFunc(all, first)
	for _, f := range all {
		r.at = f.until
		if f.end >= panics {
			r.err = f.end
			break
		}
		if r.err == returns {
			r.err = f.end
		}
	}
	return r
}

// perform gives jobs to the group of s.
func perform(s scene, limit int, jobs []job) (r result) {
	if limit > 0 {
		s.g.SetLimit(limit)
	}
	began := time.Now()
	called := make([]atomic.Bool, len(jobs))
	var running atomic.Int32
	for i, j := range jobs {
		s.g.Go(func() error {
			called[i].Store(true)
			if n := int(running.Add(1)); limit > 0 && n > limit {
				s.Errorf("%d functions run", n)
			}
			defer running.Add(-1)
			time.Sleep(j.takes)
			switch j.end {
			case fails:
				return errFirst
			case panics:
				panic("boom")
			case exits:
				runtime.Goexit()
			case returns:
			}
			return nil
		})
	}
	r.err = endOf(s.g.Wait())
	r.at = time.Since(began)
	time.Sleep(2 * time.Hour) // all have ended
	assert.Zero(s, running.Load())
	for i := range called {
		if called[i].Load() {
			r.called = append(r.called, i)
		}
	}
	return r
}

// endOf returns how the function ended whose outcome is err.
func endOf(err error) end {
	switch {
	case err == nil:
		return returns
	case errors.Is(err, courier.ErrGoexit):
		return exits
	case errors.As(err, new(*courier.PanicError)):
		return panics
	default:
		return fails
	}
}
