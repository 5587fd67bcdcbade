package main

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/snowfence/snowfence/internal/experiment/snowball"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/lab/proc"
)

// params are those of the snowball, and the libraries.
type against struct {
	snowball.Params
	Against []string `name:"against" kind:"name,..." choices:"singleflight-do,singleflight-dochan,otter,sturdyc,groupcache" help:"libraries to run: see against help snowball libraries"`
}

// experiment is the snowball through other libraries and through Snowfence.
var experiment = &lab.Experiment[against, snowball.Result]{
	Name:  "snowball",
	Short: "Show what one crashing fetch does to everyone else, library by library",
	Long: `Snowball runs a service in miniature: events queue for a pool of workers, each of
which fetches a key through a cache. For a while the fetch function of a few keys goes
wrong. The same events run through each library of --against and then through
Snowfence, each in a process of its own.`,
	Example: `  go run ./cachebench snowball
  go run ./cachebench snowball --fault hang --out out/against
  go run ./cachebench snowball --against otter,sturdyc --fault goexit`,
	Topics: append(slices.Clone(snowball.Experiment.Topics),
		lab.Topic{Name: "libraries", Short: "how each library is set up", Text: librariesText()}),
	Defaults: func() against {
		a := against{Params: snowball.Experiment.Defaults()}
		for _, l := range libraries {
			a.Against = append(a.Against, l.name)
		}
		return a
	},
	Base:     func(a *against, s *params.Set) error { return snowball.Experiment.Base(&a.Params, s) },
	Complete: func(a *against, s *params.Set) { snowball.Experiment.Complete(&a.Params, s) },
	Rules: func(a *against, c *params.Checker) {
		snowball.Experiment.Rules(&a.Params, c)
		c.Check(!a.Stale, "stale", "must be false, since other libraries have no stale values, got true")
		c.Check(!c.Held, "against", "must be without --check: nothing is expected of other libraries")
		c.Check(a.TTL > 0 || !slices.Contains(a.Against, "sturdyc") &&
			!slices.Contains(a.Against, "groupcache"), "ttl",
			"must be above 0s for sturdyc and groupcache, got %v", a.TTL)
	},
	Run:   run,
	Page:  func(a *against, r *snowball.Result) *lab.Page { return snowball.Against(&a.Params, r) },
	Child: serve,
}

// A job is what a process gets: which library to run, and the parameters as a scenario file has
// them.
type job struct{ Library, Scenario string }

// A report is a line of a process: a run, as far as it is known. It is no JSON inside, which has
// no numbers that don't exist.
type report struct {
	Run  []byte
	Done bool
}

// run runs the events through each library.
func run(ctx context.Context, a *against, e lab.Env) (*snowball.Result, error) {
	r := &snowball.Result{}
	names := append(slices.Clone(a.Against), string(snowball.Snowfence))
	for i, name := range names {
		if ctx.Err() != nil {
			break
		}
		done, err := runOne(ctx, &a.Params, name, e.Child, func() {
			e.Progress(float64(i)/float64(len(names)), name)
		})
		switch {
		case err != nil && ctx.Err() == nil:
			return nil, err
		case err == nil:
			r.Libraries = append(r.Libraries, done)
		}
	}
	r.Partial = ctx.Err() != nil
	return r, nil //nolint:nilerr // what fails once it is stopped is no error
}

// runOne runs the events through one library. That its process ends is a result, unless it did
// before the events began.
func runOne(
	ctx context.Context, p *snowball.Params, name string, command []string, progress func(),
) (*snowball.Run, error) {
	var last snowball.Run
	done := false
	var garbled error
	child, err := proc.Start(name, command, func(line report) {
		var r snowball.Run // gob leaves out zeros
		if err := gob.NewDecoder(bytes.NewReader(line.Run)).Decode(&r); err != nil {
			garbled = err
			return
		}
		last, done = r, line.Done
		progress()
	})
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, child.Kill)()
	if err := child.Send(job{name, params.Of(p).Text(snowball.Experiment.Name)}); err != nil {
		return nil, errors.Join(err, child.Err())
	}
	switch err := child.Err(); {
	case garbled != nil:
		return nil, fmt.Errorf("%s: %w", name, garbled)
	case done:
		return &last, nil
	case err == nil || len(last.Series) == 0:
		return nil, child.Ended()
	default:
		return last.Died(p, reason(err)), nil
	}
}

// reason is why a process has ended, in a line.
func reason(err error) string {
	_, text, _ := strings.Cut(err.Error(), "its process has ended: ")
	line, _, _ := strings.Cut(text, "\n")
	if before, _, nested := strings.Cut(line, " [recovered"); nested {
		line = before
	}
	return line
}

// serve is a process: it reads a job, and writes reports until the run is over.
func serve(in io.Reader, out io.Writer) error {
	var j job
	if err := json.NewDecoder(in).Decode(&j); err != nil {
		return fmt.Errorf("a job: %w", err)
	}
	p := snowball.Experiment.Defaults()
	set := params.Of(&p)
	if err := set.Parse("job", []byte(j.Scenario), snowball.Experiment.Name); err != nil {
		return err
	}
	// All fields are there, those without effect, too, and the rules read the trace.
	set.Forget()
	rules := func(c *params.Checker) { snowball.Experiment.Rules(&p, c) }
	if err := set.Validate(false, rules); err != nil {
		return err
	}
	lines := json.NewEncoder(out)
	send := func(r snowball.Run, done bool) error {
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(r); err != nil {
			return err
		}
		return lines.Encode(report{b.Bytes(), done})
	}
	var sent time.Time
	observe := func(r snowball.Run) {
		if time.Since(sent) > 100*time.Millisecond {
			sent = time.Now()
			_ = send(r, false) // if it can't be, nor can the result
		}
	}
	ctx := context.Background()
	var open func(load snowball.Load) (snowball.Library, error)
	if j.Library != string(snowball.Snowfence) {
		at := slices.IndexFunc(libraries, func(l library) bool { return l.name == j.Library })
		if at < 0 {
			return fmt.Errorf("no such library: %q", j.Library)
		}
		open = func(load snowball.Load) (snowball.Library, error) { return libraries[at].open(&p, load) }
	}
	r, err := snowball.Through(ctx, &p, snowball.Fix(j.Library), open, observe)
	if err != nil {
		return err
	}
	return send(*r, true)
}
