package snowball

import (
	"fmt"
	"time"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/lab/traffic"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/table"
	"github.com/snowfence/snowfence/internal/workload"
	"github.com/snowfence/snowfence/testdata/scenarios"
)

// Params are the parameters of the experiment.
type Params struct {
	Seed     uint64        `name:"seed" help:"settles all that is random"`
	Duration time.Duration `name:"duration" min:"800ms" max:"24h" help:"how long each run takes"`
	Rate     float64       `name:"rate" kind:"per-second" above:"0" help:"events offered per second"`
	Workers  int           `name:"workers" min:"1" max:"100000" help:"the pool of workers"`
	Queue    int           `name:"queue" min:"1" max:"10000000" help:"the queue before it, in events"`
	Timeout  time.Duration `name:"timeout" above:"0s" max:"24h" help:"a caller's own deadline"`
	Stale    bool          `name:"stale" help:"run a third time, with stale values"`
	traffic.Fault
	traffic.Keys
	traffic.Cache
	traffic.Origin
	Expect
}

// Expect holds the bounds of --check.
type Expect struct {
	DropOff     float64       `name:"expect-drop-off" kind:"share" min:"0" max:"1" zero:"not checked" more:"1" help:"with the fix off, at least this part of the healthy events offered within the window must not be served in it"`
	DropOn      float64       `name:"expect-drop-on" kind:"share" min:"0" max:"1" zero:"not checked" more:"1" help:"with the fix on, at most this part of them may not be served"`
	Alike       float64       `name:"expect-alike" kind:"share" min:"0" max:"1" zero:"not checked" more:"1" help:"healthy throughput within the window may differ between the runs by at most this part"`
	LearnWithin time.Duration `name:"expect-learn-within" min:"0s" zero:"not checked" more:"1" help:"with the fix on, the median time until callers of failing keys learn of it"`
}

// Experiment is "cachebench snowball".
var Experiment = &lab.Experiment[Params, Result]{
	Name:  "snowball",
	Short: "Show what one crashing fetch does to everyone else",
	Long: `Snowball runs a service in miniature: events queue for a pool of workers, each of
which fetches a key through the cache. For a while the fetch function of a few keys
goes wrong. The same events run twice, with the courier's fix off and on. Without
--scenario the run is the one that belongs to --fault; other flags override it.`,
	Example: `  cachebench snowball --stale --fault panic --check
  cachebench snowball --scenario testdata/scenarios/smoke.yaml --json`,
	Topics: []lab.Topic{
		{Name: "faults", Short: "which faults there are", Text: faultsText},
		{Name: "rows", Short: "what the rows of the table say",
			Text: lab.Glossaries(lab.Glossary(measures))},
		{Name: "runs", Short: "what differs between the runs", Text: runsText},
		{Name: "check", Short: "what --check holds the result to", Text: checkText},
	},
	Defaults: defaults,
	Base:     base,
	Complete: (*Params).complete,
	Rules:    (*Params).rules,
	Run:      Execute,
	Shows:    true,
	Page:     page,
}

const faultsText = `
Each fault has a scenario of its own, which is a file in testdata/scenarios as well as
a part of this program. All faults are in the fetch function:

  panic    it panics
  goexit   it calls runtime.Goexit
  hang     it never returns, deaf to its context
  child    it waits for a linked goroutine, which panics
  slow     it takes longer; with the fix on one caller at a time waits for a key
  error    it returns an error, which any cache hands on: no difference
  none     nothing goes wrong: no difference

The scenarios of two faults have other values than the defaults:

  hang     --fetch-timeout 100ms
  slow     --fetch-timeout 1s --max-waiting-per-key 1 --keys zipf:0.5 --ttl 2s
           --jitter 0.3 --origin-latency lognormal:1ms,5ms --fault-keys 20
           --fault-slow 2500ms

The keys that fail are --fault-keys neighbours in popularity, whose requests together
come as near to --fault-share of all requests as neighbours can; with share 0 they are
the most popular ones. A share can only be asked for where keys differ in popularity.`

const runsText = `
Events are offered at a steady rate to a bounded queue (full: the event is dropped); a
bounded pool of workers takes them out; each event needs one key, which its worker
fetches through the cache from a simulated origin, with a time-out of its own.

With the fix off (courier.WithUnlinked) the callers of a fetch that dies are not
notified. The link is all that differs between the runs with the fix off and on, unless
callers of one key are limited in number (--max-waiting-per-key, as --fault slow does):
with the fix off they are not. With --fault-rate 0 both runs come out alike.

With --stale the events run a third time, with the fix on and stale values: the cache
may give a value past its TTL (cache.Options.StaleFor) if the load fails, is refused,
or has not ended after --soft-timeout. So callers of failing keys get the last good
value instead of an error. All three runs begin with a value of each failing key, and
stale values live for as long as a run takes unless --stale-for says otherwise.`

const checkText = `
With --check the result is held to what the scenario expects (the flags --expect-...),
and the exit code is 1 if it does not show that. With --stale it must also show that no
caller of a failing key gets an error, that all are answered, and that 99 of 100 wait
for the soft time-out at most, and 50 ms for the machine's sake.`

// defaults are the scenario of a panic, without what that expects.
func defaults() Params {
	return Params{
		Seed: 1, Duration: usual, Rate: 2000, Workers: 32, Queue: 512, Timeout: 2 * time.Second,
		Fault: traffic.Fault{Kind: origin.FaultPanic, Keys: 5, Share: 0.05, Rate: 1, Slow: time.Second,
			Window: lab.Window{Start: 2 * time.Second, End: 5 * time.Second}},
		Keys: traffic.Keys{Law: workload.KeySpec{Kind: workload.KindZipf, Skew: 1.01}, Count: 1000},
		Cache: traffic.Cache{Capacity: 10_000, TTL: 500 * time.Millisecond, Jitter: 0.1,
			FetchTimeout: 250 * time.Millisecond, SoftTimeout: 50 * time.Millisecond},
		Origin: traffic.Lognormal(5*time.Millisecond, 40*time.Millisecond),
	}
}

const (
	// usual is the duration of the scenarios that are a part of the program.
	usual = 8 * time.Second
	// shortest is the shortest run of which a few samples fall into each phase. A window and the
	// time before it take at least a quarter of that.
	shortest = 800 * time.Millisecond
)

// base reads the scenario that belongs to the fault.
func base(p *Params, s *params.Set) error {
	file := "snowball-" + p.Fault.Kind.String() + ".yaml"
	if p.Fault.Kind == origin.FaultNone {
		file = "none.yaml"
	}
	text, err := scenarios.Files.ReadFile(file)
	if err != nil {
		return err
	}
	defer s.Forget()
	return s.Parse(file, text, "snowball")
}

func (p *Params) complete(s *params.Set) {
	p.Fault.Complete(&p.Keys, s)
	p.Window.Scale(s, usual, p.Duration, shortest/4)
	switch {
	case s.Given("stale") && !p.Stale:
		p.StaleFor = 0
	case p.Stale && !s.Given("stale-for"):
		p.StaleFor = p.Duration
	default:
		p.Stale = p.StaleFor > 0
	}
}

func (p *Params) rules(c *params.Checker) {
	p.Keys.Check(c)
	p.Cache.Check(c)
	p.Fault.Check(c, &p.Keys, p.Duration, shortest/4)
	c.Unused(p.Fault.Kind == origin.FaultNone, "no load fails with --fault none", "fault-rate")
	c.Unused(!p.Stale, "no caller can have a stale value without --stale", "soft-timeout")
	c.Unused(p.MaxWaitingPerKey >= p.Workers, fmt.Sprintf("no more than %d callers can wait, one for "+
		"each of --workers", p.Workers), "max-waiting-per-key")
	c.Check(p.Start >= shortest/4, "start",
		"must be at least %v, since what was before is compared with, got %v", shortest/4, p.Start)
	if p.Stale && p.TTL > 0 {
		window := p.End - p.Start
		c.Check(p.StaleFor >= window, "stale-for",
			"must be at least as long as the window (%v), got %v", window, p.StaleFor)
		c.Check(p.TTL < p.End, "ttl", "must be below %s (%v), or no value is stale by then, got %v",
			c.Call("end"), p.End, p.TTL)
		c.Check(p.SoftTimeout > 0, "soft-timeout",
			"must be above 0s, or callers would wait for loads that hang, got %v", p.SoftTimeout)
		c.Check(p.SoftTimeout < p.Timeout, "soft-timeout",
			"must be below %s (%v), after which callers leave, got %v", c.Call("timeout"), p.Timeout,
			p.SoftTimeout)
	}
	c.Check(p.Alike == 0 || p.DropOff == 0, "expect-alike",
		"must be 0 with %s: runs that are alike differ in nothing", c.Call("expect-drop-off"))
	c.Check(!c.Held || p.Stale || p.Expect != (Expect{}), "expect-drop-on",
		"must be above 0 for --check, or another of the flags --expect-...: there is nothing to check")
}

// fixTerms explains the columns of the table, which are the lines of the charts.
func fixTerms(p *Params) []lab.Term {
	meanings := map[Fix]string{
		Off: "the courier's link is switched off (courier.WithUnlinked), as in libraries that have " +
			"none: callers are not notified when their fetch dies",
		On:    "the library with its default link",
		Stale: "the same, and the cache gives values past their TTL where a load fails or is late",
	}
	var terms []lab.Term
	for _, f := range fixesOf(p) {
		terms = append(terms, lab.Term{Row: f.words(), Meaning: meanings[f]})
	}
	return terms
}

// page shows the runs.
func page(p *Params, r *Result) *lab.Page {
	title := "Snowball: one fault, with the courier's fix off and on"
	if p.Stale {
		title += ", and with stale values"
	}
	return &lab.Page{
		Title: title, Story: story(p), Finding: r.finding(), Seed: &p.Seed, Partial: r.Partial,
		Tables: []*table.Table{r.table(p)}, Glossary: append(fixTerms(p), lab.Glossary(measures)...),
		Charts: r.charts(p), Series: r.series(), Checks: r.checks(p),
	}
}
