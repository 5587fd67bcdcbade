// Package store disturbs the server of a second level while caches are in use, and then replaces
// all caches at once, as a deploy does. It is "cachebench store".
//
// It does the same without a second level first, and with one after that. Each process of a service
// is a cache with a connection of its own here; all are in the process of the load tool. The server
// is a real one, which the experiment starts.
//
// run.go runs the caches, disturb.go disturbs the server, and show.go shows what came out.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/lab/traffic"
	"github.com/snowfence/snowfence/internal/valkeytest"
	"github.com/snowfence/snowfence/internal/workload"
)

// Params are the parameters of the experiment.
type Params struct {
	Seed      uint64        `name:"seed" help:"settles which keys are asked for, and the latencies"`
	Duration  time.Duration `name:"duration" min:"2s" max:"24h" help:"how long callers ask, with and without the server"`
	Disturb   disturbance   `name:"disturb" kind:"what" choices:"none,kill,pause,empty,garbage" help:"to the server: none, kill, pause, empty or garbage"`
	Deploy    time.Duration `name:"deploy" above:"0s" help:"when all caches are replaced by empty ones"`
	Processes int           `name:"processes" min:"1" max:"64" help:"caches, each with a connection of its own"`
	Rate      float64       `name:"rate" kind:"per-second" min:"1" max:"1000000" help:"fetches per second, in all"`
	Workers   int           `name:"workers" min:"1" max:"100000" help:"goroutines that fetch, in all"`
	KeyCount  uint64        `name:"key-count" min:"1" max:"100000000" help:"how many keys there are, all alike"`
	TTL       time.Duration `name:"ttl" above:"0s" help:"how long an entry lives"`
	StaleFor  time.Duration `name:"stale-for" min:"0s" zero:"never" help:"give values for so long past their TTL"`
	Timeout   time.Duration `name:"timeout" above:"0s" help:"a caller's own deadline"`
	lab.Window
	traffic.Origin
}

// Experiment is "cachebench store".
var Experiment = &lab.Experiment[Params, Result]{
	Name:  "store",
	Short: "Disturb the server of a second level, and deploy",
	Long: `Store starts a Valkey or Redis server, puts it behind several caches, and disturbs it
while callers ask. Then it replaces all caches at once, as a deploy does. It does the
same without the server, and compares loads, latencies and errors. It needs
valkey-server or redis-server in PATH (Debian: apt-get install redis-server).

With --check no caller may get an error, none may wait for longer than for the origin
and the soft time-out, and the deploy may not load again what was loaded before it.`,
	Example: `  cachebench store
  cachebench store --disturb pause --check --out out/store`,
	Topics: []lab.Topic{
		{Name: "disturb", Short: "what is done to the server", Text: disturbances},
		{Name: "rows", Short: "what the rows of the table say",
			Text: lab.Glossaries(lab.Glossary(measures))},
	},
	Defaults: func() Params {
		return Params{Seed: 1, Duration: 12 * time.Second, Disturb: kill, Deploy: 9 * time.Second,
			Processes: 3, Rate: 3000, Workers: 300, KeyCount: 500, TTL: 3 * time.Second,
			StaleFor: time.Minute, Timeout: 5 * time.Second,
			Window: lab.Window{Start: 3 * time.Second, End: 5 * time.Second},
			Origin: traffic.Lognormal(20*time.Millisecond, 60*time.Millisecond)}
	},
	Complete: func(p *Params, s *params.Set) {
		const usual = 12 * time.Second
		p.Scale(s, usual, p.Duration, 0)
		if s.Given("duration") && !s.Given("deploy") {
			p.Deploy = time.Duration(float64(p.Deploy) * float64(p.Duration) / float64(usual))
			s.Derive("deploy")
		}
	},
	Rules: func(p *Params, c *params.Checker) {
		p.Check(c, p.Duration, 0)
		c.Check(p.Deploy >= p.End, "deploy", "must be at %s (%v) or later, got %v", c.Call("end"),
			p.End, p.Deploy)
		c.Check(p.Deploy < p.Duration, "deploy", "must be before %s (%v), got %v", c.Call("duration"),
			p.Duration, p.Deploy)
		c.Check(p.Rate*p.Duration.Seconds() >= float64(p.Workers), "workers",
			"must be at most one for each fetch of the run (%.0f), got %d",
			p.Rate*p.Duration.Seconds(), p.Workers)
		c.Check(p.Workers >= p.Processes, "workers", "must be at least %s (%d), got %d",
			c.Call("processes"), p.Processes, p.Workers)
		c.Check(!c.Held || p.Disturb != pause || valkeytest.Pausable, "disturb",
			"must not be pause on this system, which can't pause a process")
	},
	Run:  Run,
	Page: page,
}

// errNoServer says what is missing.
var errNoServer = errors.New("store: there is no valkey-server or redis-server in PATH; install " +
	"one (Debian: apt-get install redis-server)")

// A Result is the result of a run.
type Result struct {
	Runs    []*Level `json:"runs"`
	partial bool
}

// Run runs the caches without a second level, and then with one.
func Run(ctx context.Context, p *Params, e lab.Env) (*Result, error) {
	if _, ok := valkeytest.Find(); !ok {
		return nil, errNoServer
	}
	space, err := workload.NewSpace(workload.SpaceConfig{
		Seed: p.Seed, Keys: workload.KeySpec{Kind: workload.KindUniform}, Count: p.KeyCount,
	})
	if err != nil {
		return nil, err
	}
	result := new(Result)
	for i, second := range []bool{false, true} {
		progress := func(part float64, doing string) { e.Progress((float64(i)+part)/2, doing) }
		level, err := runLevel(ctx, p, space, second, progress)
		if err != nil {
			return nil, err
		}
		result.Runs = append(result.Runs, level)
		if ctx.Err() != nil {
			result.partial = true
			break
		}
	}
	return result, nil
}
