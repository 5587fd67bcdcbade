package snowball

import (
	"context"
	"runtime"

	"github.com/snowfence/snowfence/debug"
	"github.com/snowfence/snowfence/internal/lab"
)

// Execute runs the service with the fix off and then with it on, and once more with stale values if
// the parameters ask for them. It blocks for as many times p.Duration and a little more. If ctx
// ends it stops, and returns what was measured so far as a partial result and no error. An error
// says that the service could not be made, or that a run could not be cleaned up; what was measured
// is then returned as a partial result.
func Execute(ctx context.Context, p *Params, e lab.Env) (*Result, error) {
	r := &Result{}
	fixes := fixesOf(p)
	for i, fix := range fixes {
		if stopped(ctx) {
			break
		}
		service, err := newService(p, fix)
		if err != nil {
			return nil, err
		}
		service.progress = func(part float64, doing string) {
			e.Progress((float64(i)+part)/float64(len(fixes)), doing)
		}
		// The first run's garbage is not the second one's.
		runtime.GC()
		name := "snowball, " + fix.words()
		if e.Debug != nil {
			e.Debug.Add(name, debug.Cache(service.cache))
		}
		run, err := service.run(ctx)
		if e.Debug != nil {
			e.Debug.Remove(name)
		}
		switch fix {
		case Off:
			r.Off = run
		case On:
			r.On = run
		case Stale:
			r.Stale = run
		}
		if err != nil {
			r.Partial = true
			return r, err
		}
	}
	r.Partial = stopped(ctx)
	return r, nil
}

func stopped(ctx context.Context) bool { return ctx.Err() != nil }
