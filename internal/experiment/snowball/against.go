package snowball

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
)

// A subject is what the events of a run are fetched through.
type subject interface {
	get(ctx context.Context, key uint64) answer
	set(key uint64, value []byte)
	waiting() (callers, abandoned int)
	close() error
}

// ours is the cache as a subject.
type ours struct {
	*cache.Cache[uint64, []byte]
	load Load
}

func (o ours) get(ctx context.Context, key uint64) answer {
	r, err := o.FetchResult(ctx, key, o.load)
	return answer{r.Stale, err}
}

func (o ours) set(key uint64, value []byte) { o.Set(key, value) }
func (o ours) close() error                 { return o.Close() }

func (o ours) waiting() (callers, abandoned int) {
	s := o.Stats().Courier
	return s.Waiting, s.Abandoned
}

// A Load is a fetch function.
type Load = func(ctx context.Context, key uint64) ([]byte, error)

// A Library is another cache, set up as its documentation advises.
type Library struct {
	Fetch func(ctx context.Context, key uint64) error
	Set   func(key uint64, value []byte)
}

// theirs is a library as a subject. Its callers count as blocked while they are in Fetch.
type theirs struct {
	Library
	inside atomic.Int64
}

// get returns a panic that the library raises in its callers as an error, as a server does that
// recovers in each of its handlers.
func (t *theirs) get(ctx context.Context, key uint64) (a answer) {
	t.inside.Add(1)
	defer t.inside.Add(-1)
	defer func() {
		if v := recover(); v != nil {
			a.err = &courier.PanicError{Value: v}
		}
	}()
	return answer{err: t.Fetch(ctx, key)}
}

func (t *theirs) set(key uint64, value []byte)      { t.Set(key, value) }
func (t *theirs) waiting() (callers, abandoned int) { return int(t.inside.Load()), 0 }
func (t *theirs) close() error                      { return nil }

// Snowfence is the run through the cache among those through libraries.
const Snowfence Fix = "Snowfence"

// Through runs the events once, fetched through another library, which open makes; or through the
// cache with the fix on, if open is nil. It must be called in a process of its own: some libraries
// end it where a fetch function dies. observe gets what is known of the run, now and then; it must
// not block. The run's fix is the name of the library.
func Through(
	ctx context.Context, p *Params, name Fix, open func(load Load) (Library, error),
	observe func(Run),
) (*Run, error) {
	v, err := newService(p, name)
	if err != nil {
		return nil, err
	}
	if open != nil {
		if err := v.cache.Close(); err != nil { // it has no use
			return nil, err
		}
		library, err := open(v.fetch)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		v.subject = &theirs{Library: library}
	}
	v.observe = func(s []series.Series) { observe(Run{Fix: name, Series: s}) }
	return v.run(ctx)
}

// Died returns the run of a library whose process has ended, for a reason, after what was observed
// of it last.
func (r *Run) Died(p *Params, reason string) *Run {
	died := (*Run)(nil).orNone()
	died.Fix, died.Series, died.End = r.Fix, r.Series, reason
	at := 0.0
	for _, s := range r.Series {
		if n := len(s.Points); n > 0 {
			at = max(at, s.Points[n-1].T)
		}
	}
	died.Seconds = Value(at)
	for i := range died.Series {
		switch s := &died.Series[i]; s.Name {
		case seriesAnswered, seriesHealthy: // nothing is served any more
			s.Points = append(s.Points, series.Point{T: at + pictured},
				series.Point{T: p.Duration.Seconds()})
		}
	}
	return died
}

// Against returns the runs through libraries as people see them.
func Against(p *Params, r *Result) *lab.Page {
	columns := []string{"measure"}
	var share Value
	var found []string
	for _, run := range r.Libraries {
		columns = append(columns, run.Fix.words())
		share = max(share, run.FailingShare)
		if run.End != "" {
			found = append(found, fmt.Sprintf("%s: its process ended after %s: %s.", run.Fix.words(),
				human.Seconds(float64(run.Seconds)), run.End))
		} else {
			found = append(found, fmt.Sprintf("%s: %s", run.Fix.words(), course(run)))
		}
	}
	fault := faultText(p, &Result{Off: &Run{FailingShare: share}})
	t := table.New(fmt.Sprintf("%s events/s for %s, through each library. %s.", human.Number(p.Rate),
		human.Plain(p.Duration), fault), columns...)
	t.Columns[len(t.Columns)-1].Highlight = len(r.Libraries) > 0
	ended := lab.Measure[*Run]{
		Name: "process ended after", Better: table.Higher, Optional: true,
		Meaning: "the process of the library ended in the run, with all that it did",
		Of: func(r *Run) table.Cell {
			if r.End == "" {
				return table.Missing()
			}
			return table.Seconds(float64(r.Seconds))
		},
	}
	rows := append([]lab.Measure[*Run]{ended}, measures...)
	lab.Compare(t, r.Libraries, rows)
	for _, run := range r.Libraries {
		if len(run.Told) > 0 {
			t.Note("Callers of failing keys got, %s: %s.", run.Fix.words(), told(run.Told))
		}
	}
	if r.Partial {
		found = []string{"The runs were stopped: what is above is a part of what was to be measured."}
	}
	charts := r.charts(p)
	charts[0].Caption = "Events of all keys that got a value, as means of 0.2 s; what is missing " +
		"got an error, waits, or was dropped."
	return &lab.Page{
		Title: "Snowball: one fault, and what it does with each library",
		Story: fmt.Sprintf("A service of %s workers takes %s events per second from a queue of %s. Each "+
			"event needs one key, which its worker fetches through a library, for at most %s. %s. The same "+
			"events ran through each library, each in a process of its own.", human.Count(p.Workers),
			human.Number(p.Rate), human.Count(p.Queue), human.Plain(p.Timeout), fault),
		Finding: strings.Join(found, " "), Seed: &p.Seed, Partial: r.Partial,
		Tables: []*table.Table{t}, Glossary: lab.Glossary(rows), Charts: charts, Series: r.series(),
	}
}
