package snowball

import (
	"fmt"
	"strings"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/scenario"
)

// alike is how much two runs may differ and still be called alike in a sentence.
const alike = 0.05

// Story says what the scenario is about, for a reader who knows nothing of it.
func Story(s *scenario.Scenario) string {
	e := s.Events
	return fmt.Sprintf("A service of %s workers takes %s events per second from a queue of %s. Each "+
		"event needs one key, "+
		"which its worker fetches through the cache, for at most %s. %s. "+
		"With the fix off nobody tells the callers of a fetch that died, and each holds a worker until "+
		"its own time is up; "+
		"with the fix on they get an error%s.%s",
		human.Count(int64(e.Workers)), human.Number(e.Rate), human.Count(int64(e.Queue)),
		plain(e.Timeout),
		faultText(s, &Result{}), waysText(s), limitText(s))
}

// waysText says what stale values change, and how often the events ran.
func waysText(s *scenario.Scenario) string {
	if s.Cache.StaleFor == 0 {
		return ". The same events ran both ways"
	}
	return ", or the last good value where the cache gives stale ones. " +
		"The same events ran all three ways. " + strings.TrimSuffix(staleText(s), ".")
}

// staleText says which stale values the third run has.
func staleText(s *scenario.Scenario) string {
	return fmt.Sprintf("Stale values may be given for %s after a TTL of %s, "+
		"where a load fails or has not ended after %s, the soft time-out. All runs begin with a value "+
		"of each failing key.",
		plain(s.Cache.StaleFor), plain(s.Cache.TTL), plain(s.Cache.SoftTimeout))
}

// limitText says what differs between the runs beside the link, if anything does.
func limitText(s *scenario.Scenario) string {
	n := s.Cache.MaxWaitingPerKey
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" With the fix on at most %s may wait for one load, of any key, "+
		"and others are refused at once; with it off all may.", callers(n))
}

func callers(n int) string {
	if n == 1 {
		return "1 caller"
	}
	return human.Count(int64(n)) + " callers"
}

// Finding says in a few sentences, with numbers, what the runs showed.
func (r *Result) Finding() string {
	if r.Partial || r.Off == nil || r.On == nil {
		return "The runs were stopped: what is above is a part of what was to be measured."
	}
	off, on := r.Off, r.On
	if !off.ShareInside.Exists() || !on.ShareInside.Exists() {
		return "No healthy event was offered during the fault: there is nothing to compare."
	}
	var b strings.Builder
	if off.held() && on.held() {
		fmt.Fprintf(&b, "Both runs are alike: of the healthy events offered during the fault %s were "+
			"served with the fix off and %s with it on.",
			percent(float64(off.ShareInside)), percent(float64(on.ShareInside)))
		if on.Learn.Count > 0 && off.Learn.Count > 0 {
			fmt.Fprintf(&b, " A caller of a failing key learned of it after %s and %s in the median.",
				human.Seconds(float64(off.Learn.P50)), human.Seconds(float64(on.Learn.P50)))
		}
		b.WriteString(r.staleFinding())
		return b.String()
	}
	fmt.Fprintf(&b, "Fix off: %s", course(off))
	fmt.Fprintf(&b, " Fix on: %s", course(on))
	if on.Learn.Count > 0 && off.Learn.Count > 0 {
		fmt.Fprintf(&b, " A caller of a failing key learned of it after %s in the median, instead of %s",
			human.Seconds(float64(on.Learn.P50)), human.Seconds(float64(off.Learn.P50)))
		if on.AfterDeath.Count > 0 {
			fmt.Fprintf(&b, ": %s after the fetch had died", human.Seconds(float64(on.AfterDeath.P50)))
		}
		b.WriteString(".")
	}
	b.WriteString(r.staleFinding())
	return b.String()
}

// staleFinding says what the run with stale values showed, if there was one.
func (r *Result) staleFinding() string {
	if r.Stale == nil {
		return ""
	}
	f := r.Stale.Failing
	text := fmt.Sprintf(" Stale values: of %s events of failing keys in the window "+
		"%s got a value, %s of them a stale one",
		eventCount(f.Offered), eventCount(f.Fresh+f.Stale), eventCount(f.Stale))
	if f.Answer.Count > 0 {
		text += fmt.Sprintf(", after %s in the median and %s in 99 of 100 cases",
			human.Seconds(float64(f.Answer.P50)), human.Seconds(float64(f.Answer.P99)))
	}
	return text + "; " + gotErrors(f.Errors) + "."
}

func gotErrors(n uint64) string {
	switch n {
	case 0:
		return "none got an error"
	case 1:
		return "1 got an error"
	}
	return human.Count(int64(n)) + " got an error" //nolint:gosec // far below
}

// held reports whether healthy events were served during the fault about as they were offered.
func (r *Run) held() bool { return float64(r.ShareInside) > 1-alike }

// course is how one run went.
func course(r *Run) string {
	verb := "fell to"
	if r.held() {
		verb = "held at"
	}
	text := fmt.Sprintf("healthy throughput %s %s during the fault, which is %s of the %s offered",
		verb,
		human.Rate(float64(r.HealthyInside)), percent(float64(r.ShareInside)),
		human.Rate(float64(r.OfferedInside)))
	switch {
	case r.Recovery.Exists() && r.Recovery == 0:
	case r.Recovery.Exists():
		text += fmt.Sprintf(", and was back %s after it", human.Seconds(float64(r.Recovery)))
	case r.HealthyAfter.Exists():
		text += ", and did not recover within the run"
	}
	return fmt.Sprintf("%s; %s dropped.", text, events(r.Dropped))
}

func events(n uint64) string {
	switch n {
	case 0:
		return "no event was"
	case 1:
		return "1 event was"
	}
	return human.Count(int64(n)) + " events were" //nolint:gosec // far below
}
