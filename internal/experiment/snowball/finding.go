package snowball

import (
	"fmt"
	"strings"

	"github.com/snowfence/snowfence/internal/human"
)

// alike is the largest difference between two runs that a sentence calls alike.
const alike = 0.05

// story says what the runs are about, for a reader who knows nothing of them.
func story(p *Params) string {
	ways := ". The same events ran both ways"
	if p.Stale {
		ways = ", or the last good value where the cache gives stale ones. " +
			"The same events ran all three ways. " + strings.TrimSuffix(staleText(p), ".")
	}
	return fmt.Sprintf("A service of %s workers takes %s events per second from a queue of %s. Each "+
		"event needs one key, which its worker fetches through the cache, for at most %s. %s. "+
		"With the fix off the callers of a fetch that died are not notified, and each holds a worker "+
		"until its own time is up; with the fix on they get an error%s.%s",
		human.Count(p.Workers), human.Number(p.Rate), human.Count(p.Queue), human.Plain(p.Timeout),
		faultText(p, &Result{}), ways, limitText(p))
}

// staleText says which stale values the third run has.
func staleText(p *Params) string {
	return fmt.Sprintf("Stale values may be given for %s after a TTL of %s, "+
		"where a load fails or has not ended after %s, the soft time-out. All runs begin with a value "+
		"of each failing key.",
		human.Plain(p.StaleFor), human.Plain(p.TTL), human.Plain(p.SoftTimeout))
}

// limitText says what differs between the runs beside the link, if anything does.
func limitText(p *Params) string {
	if p.MaxWaitingPerKey == 0 {
		return ""
	}
	return fmt.Sprintf(" With the fix on at most %s may wait for one load, of any key, "+
		"and others are refused at once; with it off all may.",
		human.Plural(p.MaxWaitingPerKey, "caller", "callers"))
}

// finding says in a few sentences, with numbers, what the runs showed.
func (r *Result) finding() string {
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
		human.Count(f.Offered), human.Count(f.Fresh+f.Stale), human.Count(f.Stale))
	if f.Answer.Count > 0 {
		text += fmt.Sprintf(", after %s in the median and %s in 99 of 100 cases",
			human.Seconds(float64(f.Answer.P50)), human.Seconds(float64(f.Answer.P99)))
	}
	return text + "; " + counted(f.Errors, "none", "1", "") + " got an error."
}

// held reports whether healthy events were served during the fault about as they were offered.
func (r *Run) held() bool { return float64(r.ShareInside) > 1-alike }

// course says how one run went.
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
	return fmt.Sprintf("%s; %s dropped.", text,
		counted(r.Dropped, "no event was", "1 event was", " events were"))
}

// counted writes a number of things, with words of its own for none and one.
func counted(n uint64, none, one, many string) string {
	switch n {
	case 0:
		return none
	case 1:
		return one
	}
	return human.Count(n) + many
}
