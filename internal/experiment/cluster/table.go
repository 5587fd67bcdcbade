package cluster

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/table"
)

// A measure is a row of the table.
type measure struct {
	name   string
	better table.Better
	of     func(*Result, *Run) table.Cell
	// meaning is for the command's help.
	meaning string
}

var measures = []measure{
	{"origin loads against the ideal", table.Lower,
		func(_ *Result, x *Run) table.Cell { return times(x.againstIdeal()) },
		"1 is the best there is: as many loads as one cache for all nodes would need that never fails " +
			"and never evicts. " +
			"A key counts once for each time that it is fetched and its last load is older than --ttl. " +
			"Below 1 where loads take long, as a TTL begins when its load has ended"},
	{"origin loads against no cluster", table.Lower,
		func(r *Result, x *Run) table.Cell { return percent(r.againstNone(x)) },
		"of the loads that such fetches cause where each node has a cache of its own; needs none in " +
			"--ownership"},
	{"origin loads, all / ideal", table.Lower,
		func(_ *Result, x *Run) table.Cell { return countsOf(x.Loads.Total, x.Loads.Ideal) },
		"what the two rows above were made of"},
	{"origin loads per key", table.Lower,
		func(_ *Result, x *Run) table.Cell { return number(x.Loads.PerKey) },
		"the mean over the keys that were loaded at all"},
	{"loaded once / twice / more within a TTL", "",
		func(_ *Result, x *Run) table.Cell { return sameText(x.Loads.Same) },
		"how often a key was loaded so many times before its value was older than --ttl; calm, only " +
			"once is right"},
	{"loads/s before / during / after", "", func(_ *Result, x *Run) table.Cell { return x.rates() },
		"of the origin, before, during and after the disturbance"},
	{"latency before: p50 / p99", table.Lower,
		func(_ *Result, x *Run) table.Cell { return x.Before.common() },
		"from when a fetch was to begin until its caller had the value; of fetches before the " +
			"disturbance"},
	{"latency before: p99.9 / max", table.Lower,
		func(_ *Result, x *Run) table.Cell { return x.Before.rare() },
		"of the same, what all but one in a thousand did not exceed, and the slowest"},
	{"latency during: p50 / p99", table.Lower,
		func(_ *Result, x *Run) table.Cell { return x.During.common() },
		"the same of those within it"},
	{"latency during: p99.9 / max", table.Lower,
		func(_ *Result, x *Run) table.Cell { return x.During.rare() },
		"of the same, what all but one in a thousand did not exceed, and the slowest"},
	{"latency after: p50 / p99", table.Lower,
		func(_ *Result, x *Run) table.Cell { return x.After.common() },
		"the same of those after it"},
	{"latency after: p99.9 / max", table.Lower,
		func(_ *Result, x *Run) table.Cell { return x.After.rare() },
		"of the same, what all but one in a thousand did not exceed, and the slowest"},
	{"fetches begun", "", func(_ *Result, x *Run) table.Cell { return count(x.Fetches) },
		"on all nodes together"},
	{"errors before / during / after", table.Lower, func(_ *Result, x *Run) table.Cell {
		b, d, a := x.Before.errors(), x.During.errors(), x.After.errors()
		return count(b + d + a).As(joined(b, d, a))
	}, "fetches that ended in an error; of which kind stands below the table"},
	{"lost while a node did not run", "", func(_ *Result, x *Run) table.Cell { return count(x.Lost) },
		"fetches that were under way on a node when it was killed or stopped, or would have begun " +
			"while it was stopped or the machine too busy for it"},
	{"local hits / asked a node", "", func(_ *Result, x *Run) table.Cell {
		return countsOf(x.Stats.Hits, x.Stats.Asked)
	}, "where values came from without a load here: what the node has, its own entries and " +
		"short-lived copies of others' values, or the owner"},
	{"loads by owners / without the owner", "", func(_ *Result, x *Run) table.Cell {
		own := x.Stats.Loads - min(x.Stats.Loads, x.Stats.LocalLoads)
		return count(own).As(joined(own, x.Stats.LocalLoads))
	}, "as the nodes that are left counted them; without the owner: it was asked and did not " +
		"answer, so the node loaded for itself"},
	{"asks that failed", table.Lower,
		func(_ *Result, x *Run) table.Cell { return count(x.Stats.AskFailures) },
		"the owner was silent for --peer-timeout, could not be reached, or was busy"},
	{"names claimed / lost to another node", "", func(_ *Result, x *Run) table.Cell {
		return countsOf(x.Stats.Moved, x.Stats.Lost)
	}, "after the run's first second: of keys that are new, or whose owner was gone; and names that " +
		"two nodes had claimed, so that one gave up"},
	{"time to heal", table.Lower, func(_ *Result, x *Run) table.Cell { return seconds(x.Heal) },
		"from the end of the disturbance (for kill: from the kill) until loads, errors and latency " +
			"were as before, and stayed so; a dash: not within the run"},
	{"nodes that the poisoned key ended", table.Lower, func(_ *Result, x *Run) table.Cell {
		if x.Poison == nil {
			return table.Missing()
		}
		return count(uint64(x.Poison.Deaths)) //nolint:gosec // not negative
	}, "their processes have ended while they loaded it; two is the most that a cluster loses to it"},
	{"errors of that key / of others", table.Lower, func(_ *Result, x *Run) table.Cell {
		if x.Poison == nil {
			return table.Missing()
		}
		return count(x.Poison.Others).As(joined(x.Poison.Refused, x.Poison.Others))
	}, "fetches of the poisoned key that failed, since no node loads it in quarantine; and fetches " +
		"of all other keys that failed"},
	{"the key served again after", table.Lower, func(_ *Result, x *Run) table.Cell {
		if x.Poison == nil {
			return table.Missing()
		}
		return seconds(x.Poison.Again)
	}, "from when its load was harmless; a dash: not within the run"},
	{"loads without a reason", table.Lower, func(_ *Result, x *Run) table.Cell {
		if len(x.Loads.Reasons) == 0 {
			return table.Missing()
		}
		return count(x.Loads.Reasons[reasonNone])
	}, "that were made though a value was there, or on its way, where the node that loaded should " +
		"have got it; " +
		"must be 0. A dash: --capacity is below --keys"},
	{"wrong values", table.Lower, func(_ *Result, x *Run) table.Cell { return count(x.Wrong) },
		"that the origin never issued for that key; must be 0"},
	{"stale values", table.Lower, func(_ *Result, x *Run) table.Cell { return count(x.Stale) },
		"that were older than --ttl allows; must be 0"},
	{"late fetches", table.Lower, func(_ *Result, x *Run) table.Cell { return count(x.Late) },
		"that had not ended by --deadline, with some tolerance; must be 0"},
}

const phases = " before / during / after"

// title is the name of the row. A run that nobody disturbs has no phases.
func (m measure) title(calm bool) string {
	if calm {
		return strings.Replace(strings.TrimSuffix(m.name, phases), " before:", ":", 1)
	}
	return m.name
}

func (m measure) cell(r *Result, x *Run, calm bool) table.Cell {
	cell := m.of(r, x)
	if calm && strings.HasSuffix(m.name, phases) {
		first, _, _ := strings.Cut(cell.String(), " / ")
		if !cell.IsNumber() {
			return table.Text(first)
		}
		return cell.As(first)
	}
	return cell
}

// A Term is a row of the table and what it says.
type Term struct{ Row, Meaning string }

// Glossary explains each row of the table, for a command's help.
func Glossary() []Term {
	terms := make([]Term, len(measures))
	for i, m := range measures {
		terms[i] = Term{m.name, m.meaning}
	}
	return terms
}

// Table shows the runs side by side.
func (r *Result) Table(c Config) *table.Table {
	columns := []string{"measure"}
	for _, x := range r.Runs {
		columns = append(columns, x.Ownership.column())
	}
	t := table.New(title(c, r), columns...)
	for _, m := range measures {
		calm := c.Disturb == Calm
		cells, shown := []table.Cell{table.Text(m.title(calm))}, false
		for _, x := range r.Runs {
			cell := m.cell(r, x, calm)
			cells, shown = append(cells, cell), shown || cell.String() != human.Missing
		}
		if !shown && (calm || m.name != "time to heal") {
			continue // such as the comparison with no cluster, if there was no such run
		}
		better := m.better
		if len(r.Runs) < 2 {
			better = "" // nothing to compare with
		}
		t.AddCompared(better, cells...)
	}
	for _, x := range r.Runs {
		if list := reasonList(x.Loads.Reasons); list != "" {
			t.Note("Loads %s: %s.", x.Ownership.how(), list)
		}
	}
	for _, x := range r.Runs {
		if list := x.errorList(); list != "" {
			t.Note("Errors %s: %s.", x.Ownership.how(), list)
		}
	}
	return t
}

// kinds counts the errors of a run by their kind.
func (x *Run) kinds() map[string]uint64 {
	all := make(map[string]uint64)
	for _, p := range []Phase{x.Before, x.During, x.After} {
		for kind, n := range p.Errors {
			all[kind] += n
		}
	}
	return all
}

// errorWords say what the kinds of errors are.
var errorWords = map[string]string{errorLoad: "by the origin", errorDeadline: "past the deadline",
	errorQuarantined: "of the key in quarantine"}

// errorList lists the errors of a run by their kind, most first.
func (x *Run) errorList() string {
	all := x.kinds()
	names := slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		return cmp.Or(cmp.Compare(all[b], all[a]), strings.Compare(a, b))
	})
	for i, name := range names {
		word := name
		if w, ok := errorWords[name]; ok {
			word = w
		}
		names[i] = whole(all[name]) + " " + word
	}
	return strings.Join(names, ", ")
}

func (p Phase) errors() uint64 {
	var n uint64
	for _, of := range p.Errors {
		n += of
	}
	return n
}

func (x *Run) errors() uint64 { return x.Before.errors() + x.During.errors() + x.After.errors() }

// againstIdeal is 1 where no load could have been saved.
func (x *Run) againstIdeal() measured.Value {
	if x.Loads.Ideal == 0 {
		return measured.None()
	}
	return measured.Value(float64(x.Loads.Total) / float64(x.Loads.Ideal))
}

// againstNone is the share of the loads that nodes without a cluster cause. Each is measured
// against its ideal, since a node that is away for longer has fewer fetches.
func (r *Result) againstNone(x *Run) measured.Value {
	none := r.run(None)
	if none == nil {
		return measured.None()
	}
	return x.againstIdeal() / none.againstIdeal()
}

// run is that of one ownership, or nil.
func (r *Result) run(o Ownership) *Run {
	for _, x := range r.Runs {
		if x.Ownership == o {
			return x
		}
	}
	return nil
}

// rates shows the loads per second in the three phases.
func (x *Run) rates() table.Cell {
	var words []string
	for _, p := range []Phase{x.Before, x.During, x.After} {
		word := human.Missing
		if p.Seconds.Exists() && p.Seconds > 0 {
			word = human.Number(math.Round(float64(p.Loads) / float64(p.Seconds)))
		}
		words = append(words, word)
	}
	return table.Text(strings.Join(words, " / "))
}

// sameText sums up how often keys were loaded once, twice and more often within one TTL.
func sameText(same []uint64) table.Cell {
	var once, twice, more uint64
	for i, n := range same {
		switch i {
		case 0:
			once = n
		case 1:
			twice = n
		default:
			more += n
		}
	}
	return count(twice + more).As(joined(once, twice, more))
}

func times(v measured.Value) table.Cell {
	if !v.Exists() {
		return table.Missing()
	}
	return table.Number(float64(v)).As(timesText(v))
}

func timesText(v measured.Value) string { return fmt.Sprintf("x%.2f", float64(v)) }

func percent(v measured.Value) table.Cell {
	if !v.Exists() {
		return table.Missing()
	}
	return table.Percent(float64(v)).As(percentText(v))
}

// percentText has no decimals: they differ from run to run.
func percentText(v measured.Value) string { return fmt.Sprintf("%.0f %%", 100*float64(v)) }

func number(v measured.Value) table.Cell {
	if !v.Exists() {
		return table.Missing()
	}
	return table.Number(float64(v))
}

func seconds(v measured.Value) table.Cell {
	if !v.Exists() {
		return table.Missing()
	}
	return table.Duration(v.Duration())
}

func count(n uint64) table.Cell { return table.Count(int64(n)) } //nolint:gosec // far below

func countsOf(ns ...uint64) table.Cell { return count(ns[0]).As(joined(ns...)) }

func joined(ns ...uint64) string {
	words := make([]string, len(ns))
	for i, n := range ns {
		words[i] = human.Count(int64(n)) //nolint:gosec // far below
	}
	return strings.Join(words, " / ")
}

// common is the latency that is often seen, compared by the 99th percentile.
func (p Phase) common() table.Cell {
	return p.latencies(p.Latency.P99, p.Latency.P50, p.Latency.P99)
}

// rare is that of the slowest, compared by what all but one in a thousand do not exceed.
func (p Phase) rare() table.Cell { return p.latencies(p.P999, p.P999, p.Latency.Max) }

func (p Phase) latencies(compared, first, second measured.Value) table.Cell {
	if p.Latency.Count == 0 {
		return table.Missing()
	}
	return table.Duration(compared.Duration()).As(human.Seconds(float64(first)) + " / " +
		human.Seconds(float64(second)))
}
