package memory

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/snowfence/snowfence/internal/lab/pace"
	"github.com/snowfence/snowfence/internal/lab/params"
)

// The phases of a cell.
const (
	Fill   = "fill"
	Churn  = "churn"
	Shrink = "shrink"
	Rest   = "rest"
)

// A line is one line of the output of a cell's process: a sample, the beginning of a phase, or the
// totals.
type line struct {
	Sample *Sample `json:"sample,omitempty"`
	Phase  string  `json:"phase,omitempty"` // the phase that begins
	Done   bool    `json:"done,omitempty"`
	Totals
}

// Totals are the results of a cell as a whole.
type Totals struct {
	Hits     int     `json:"hits,omitempty"`
	Gets     int     `json:"gets,omitempty"`
	Ops      int64   `json:"ops,omitempty"`
	Due      int64   `json:"due,omitempty"`         // operations that were scheduled
	PauseP99 float64 `json:"pause_p99_s,omitempty"` // of the pauses of collections

	// The live heap once the store was full.
	Live    float64 `json:"live,omitempty"` // bytes
	Objects float64 `json:"objects,omitempty"`
}

// A Job is the input of a cell's process.
type Job struct {
	Store string
	Setting
	Params Params
}

// kept returns the number of entries that the shrink leaves.
func (j *Job) kept() int { return max(1, int(j.Params.Keep*float64(j.Params.Entries))) }

// serve runs one cell: it reads a Job and writes lines until the cell is done. It changes the
// settings of the process's collector.
func serve(in io.Reader, out io.Writer) error {
	var j Job
	if err := json.NewDecoder(io.LimitReader(in, 1<<16)).Decode(&j); err != nil {
		return fmt.Errorf("memory: a cell's job: %w", err)
	}
	if err := params.Of(&j.Params).Validate(false, j.Params.rules); err != nil {
		return err
	}
	if !j.suits(j.Store) || j.Limit == 0 && j.GOGC < 1 {
		return fmt.Errorf("memory: %s can't be run with %s", j.Store, j.Setting)
	}
	j.apply()
	s, err := newStore(&j)
	if err != nil {
		return err
	}
	c := &cell{
		job: &j, store: s, out: json.NewEncoder(out), Clock: pace.Start(),
		random: rand.New(rand.NewPCG(j.Params.Seed, 2)), //nolint:gosec // no secret
	}
	if err := c.run(); err != nil {
		return err
	}
	return s.close()
}

// sampleEvery is the interval of samples.
const sampleEvery = 20 * time.Millisecond

// A cell is the state of a run of one store.
type cell struct {
	pace.Clock

	job    *Job
	store  store
	random *rand.Rand
	next   int // the next key to set
	totals Totals

	mu  sync.Mutex // guards out
	out *json.Encoder
	err error
}

func (c *cell) write(l line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.out.Encode(l); err != nil && c.err == nil {
		c.err = err
	}
}

func (c *cell) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *cell) run() error {
	ctx, stop := context.WithCancel(context.Background())
	s := newSampler()
	var sampling sync.WaitGroup
	sampling.Go(func() {
		for range c.Every(ctx, sampleEvery, 0, math.MaxInt64) {
			c.sample(s)
		}
	})
	c.work()
	stop()
	sampling.Wait()
	c.sample(s)
	c.totals.PauseP99 = s.pauseQuantile(0.99)
	c.write(line{Done: true, Totals: c.totals})
	return c.failed()
}

// work runs the phases.
func (c *cell) work() {
	j := c.job
	c.write(line{Phase: Fill})
	for c.next < j.Params.Entries {
		c.set()
	}
	runtime.GC()
	full := newSampler().read()
	c.totals.Live, c.totals.Objects = full.Live, full.Objects
	c.write(line{Phase: Churn})
	c.traffic(j.Params.Phase, func() {
		// Three of four operations read, newer entries more often.
		if c.random.IntN(4) == 0 {
			c.set()
			return
		}
		age := int(c.random.ExpFloat64() * float64(j.Params.Entries) / 3)
		c.get(c.next - 1 - age)
	})
	c.write(line{Phase: Shrink})
	kept := j.kept()
	first := c.next - kept
	// Light traffic over the remaining entries: one operation in ten sets its key, and so does one
	// that misses.
	light := func() {
		key := first + c.random.IntN(kept)
		if c.random.IntN(10) == 0 || !c.get(key) {
			c.store.set(key, c.value())
		}
	}
	if j.TTL > 0 {
		c.traffic(j.TTL+expiryGrace, light)
	} else {
		for key := range first {
			c.store.del(key)
		}
	}
	runtime.GC()
	c.write(line{Phase: Rest})
	c.traffic(j.Params.Phase, light)
	runtime.GC()
}

// expiryGrace is the time that a store has to reclaim expired entries.
const expiryGrace = 2 * time.Second

// value returns a new value.
func (c *cell) value() []byte { return make([]byte, c.job.Params.ValueSize.Sample(c.random)) }

func (c *cell) set() {
	c.store.set(c.next, c.value())
	c.next++
}

func (c *cell) get(key int) bool {
	ok := c.store.get(key)
	c.totals.Gets++
	if ok {
		c.totals.Hits++
	}
	return ok
}

// traffic runs operations at the job's rate, as far as the process keeps up.
func (c *cell) traffic(d time.Duration, op func()) {
	const beat = 2 * time.Millisecond
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	began := time.Now()
	done := int64(0)
	for {
		passed := min(time.Since(began), d)
		due := int64(passed.Seconds() * float64(c.job.Params.Rate))
		// A late process catches up in small steps, so that it checks the clock in between.
		for range min(due-done, int64(c.job.Params.Rate/20+1)) {
			op()
			done++
		}
		if time.Since(began) >= d {
			break
		}
		<-ticker.C
	}
	c.totals.Ops += done
	c.totals.Due += int64(d.Seconds() * float64(c.job.Params.Rate))
}

func (c *cell) sample(s *sampler) {
	now := s.read()
	now.T, now.Entries = c.Now().Seconds(), c.store.size()
	c.write(line{Sample: &now})
}
