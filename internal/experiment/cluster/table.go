package cluster

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/table"
)

// A column is a run of a result.
type column struct {
	*Run
	of *Result
}

type measure = lab.Measure[column]

// phaseSuffix ends the name of a row whose cells have a part for each phase.
const phaseSuffix = " before / during / after"

var measures = slices.Concat([]measure{
	{Name: "origin loads against the ideal", Better: table.Lower, Optional: true,
		Of: func(x column) table.Cell {
			v := float64(x.againstIdeal())
			return table.Number(v).As(fmt.Sprintf("x%.2f", v))
		},
		Meaning: "1 is the best there is: as many loads as one cache for all nodes would need that " +
			"never fails and never evicts. A key counts once for each time that it is fetched and its " +
			"last load is older than --ttl. Below 1 where loads take long, as a TTL begins when its load " +
			"has ended"},
	{Name: "origin loads against no cluster", Better: table.Lower, Optional: true,
		Of: func(x column) table.Cell {
			v := x.of.againstNone(x.Run)
			return table.Percent(float64(v)).As(percentText(v))
		},
		Meaning: "of the loads that such fetches cause where each node has a cache of its own; needs " +
			"none in --ownership"},
	{Name: "origin loads, all / ideal", Better: table.Lower,
		Of:      func(x column) table.Cell { return table.Counts(x.Loads.Total, x.Loads.Ideal) },
		Meaning: "what the two rows above were made of"},
	{Name: "origin loads per key", Better: table.Lower, Optional: true,
		Of:      func(x column) table.Cell { return table.Number(float64(x.Loads.PerKey)) },
		Meaning: "the mean over the keys that were loaded at all"},
	{Name: "loaded once / twice / more within a TTL", Of: loadedAgain,
		Meaning: "how often a key was loaded so many times before its value was older than --ttl; " +
			"calm, only once is right"},
	{Name: "loads/s" + phaseSuffix, Of: rates,
		Meaning: "of the origin, before, during and after the disturbance"},
},
	latencies("before", "from when a fetch was to begin until its caller had the value; of fetches "+
		"before the disturbance", func(x column) Phase { return x.Before }),
	latencies("during", "the same of those within it", func(x column) Phase { return x.During }),
	latencies("after", "the same of those after it", func(x column) Phase { return x.After }),
	[]measure{
		{Name: "fetches begun", Of: func(x column) table.Cell { return table.Counts(x.Fetches) },
			Meaning: "on all nodes together"},
		{Name: "errors" + phaseSuffix, Better: table.Lower,
			Of: func(x column) table.Cell {
				return table.Counts(x.errors()).As(table.Counts(x.Before.errors(), x.During.errors(),
					x.After.errors()).String())
			},
			Meaning: "fetches that ended in an error; of which kind stands below the table"},
		{Name: "lost while a node did not run",
			Of: func(x column) table.Cell { return table.Counts(x.Lost) },
			Meaning: "fetches that were under way on a node when it was killed or stopped, or would have " +
				"begun while it was stopped or the machine too busy for it"},
		{Name: "local hits / asked a node",
			Of: func(x column) table.Cell { return table.Counts(x.Stats.Hits, x.Stats.Asked) },
			Meaning: "where values came from without a load here: what the node has, its own entries and " +
				"short-lived copies of others' values, or the owner"},
		{Name: "loads by owners / without the owner",
			Of: func(x column) table.Cell {
				return table.Counts(x.Stats.Loads-min(x.Stats.Loads, x.Stats.LocalLoads), x.Stats.LocalLoads)
			},
			Meaning: "as the nodes that are left counted them; without the owner: it was asked and did " +
				"not answer, so the node loaded for itself"},
		{Name: "asks that failed", Better: table.Lower,
			Of:      func(x column) table.Cell { return table.Counts(x.Stats.AskFailures) },
			Meaning: "the owner was silent for --peer-timeout, could not be reached, or was busy"},
		{Name: "names claimed / lost to another node",
			Of: func(x column) table.Cell { return table.Counts(x.Stats.Moved, x.Stats.Lost) },
			Meaning: "after the run's first second: of keys that are new, or whose owner was gone; and " +
				"names that two nodes had claimed, so that one gave up"},
		{Name: "time to heal", Better: table.Lower,
			Of: func(x column) table.Cell { return table.Seconds(float64(x.Heal)) },
			Meaning: "from the end of the disturbance (for kill: from the kill) until loads, errors and " +
				"latency were as before, and stayed so; a dash: not within the run"},
		{Name: "nodes that the poisoned key ended", Better: table.Lower, Optional: true,
			Of: ofPoison(func(z *PoisonResult) table.Cell { return table.Count(z.Deaths) }),
			Meaning: "their processes have ended while they loaded it; two is the most that a cluster " +
				"loses to it"},
		{Name: "errors of that key / of others", Better: table.Lower, Optional: true,
			Of: ofPoison(func(z *PoisonResult) table.Cell {
				return table.Counts(z.Others).As(table.Counts(z.Refused, z.Others).String())
			}),
			Meaning: "fetches of the poisoned key that failed, since no node loads it in quarantine; and " +
				"fetches of all other keys that failed"},
		{Name: "the key served again after", Better: table.Lower, Optional: true,
			Of:      ofPoison(func(z *PoisonResult) table.Cell { return table.Seconds(float64(z.Again)) }),
			Meaning: "from when its load was harmless; a dash: not within the run"},
		{Name: "loads without a reason", Better: table.Lower, Optional: true,
			Of: func(x column) table.Cell {
				if len(x.Loads.Reasons) == 0 {
					return table.Missing()
				}
				return table.Counts(x.Loads.Reasons[reasonNone])
			},
			Meaning: "that were made though a value was there, or on its way, where the node that loaded " +
				"should have got it; must be 0. A dash: --capacity is below --key-count"},
		{Name: "wrong values", Better: table.Lower,
			Of:      func(x column) table.Cell { return table.Counts(x.Wrong) },
			Meaning: "that the origin never issued for that key; must be 0"},
		{Name: "stale values", Better: table.Lower,
			Of:      func(x column) table.Cell { return table.Counts(x.Stale) },
			Meaning: "that were older than --ttl allows; must be 0"},
		{Name: "late fetches", Better: table.Lower,
			Of:      func(x column) table.Cell { return table.Counts(x.Late) },
			Meaning: "that had not ended by --timeout, with some tolerance; must be 0"},
	})

// latencies returns the rows of one phase: the latency that is often seen, compared by the 99th
// percentile, and that of the slowest, compared by what all but one in a thousand do not exceed.
func latencies(phase, meaning string, of func(column) Phase) []measure {
	cell := func(compared, first, second measured.Value) table.Cell {
		return table.Seconds(float64(compared)).As(human.Seconds(float64(first)) + " / " +
			human.Seconds(float64(second)))
	}
	row := func(name, meaning string, cell func(Phase) table.Cell) measure {
		return measure{Name: "latency " + phase + ": " + name, Better: table.Lower, Optional: true,
			Meaning: meaning, Of: func(x column) table.Cell {
				if of(x).Latency.Count == 0 {
					return table.Missing()
				}
				return cell(of(x))
			}}
	}
	return []measure{
		row("p50 / p99", meaning, func(p Phase) table.Cell {
			return cell(p.Latency.P99, p.Latency.P50, p.Latency.P99)
		}),
		row("p99.9 / max", "of the same, what all but one in a thousand did not exceed, and the slowest",
			func(p Phase) table.Cell { return cell(p.P999, p.P999, p.Latency.Max) }),
	}
}

// loadedAgain sums up how often keys were loaded once, twice and more often within one TTL.
func loadedAgain(x column) table.Cell {
	same, more := slices.Concat(x.Loads.Same, []uint64{0, 0}), uint64(0)
	for _, n := range same[2:] {
		more += n
	}
	return table.Counts(same[1] + more).As(table.Counts(same[0], same[1], more).String())
}

// rates shows the loads per second in the three phases.
func rates(x column) table.Cell {
	var words []string
	for _, p := range x.phases() {
		word := human.Missing
		if p.Seconds.Exists() && p.Seconds > 0 {
			word = human.Number(math.Round(float64(p.Loads) / float64(p.Seconds)))
		}
		words = append(words, word)
	}
	return table.Counts(x.Before.Loads).As(strings.Join(words, " / "))
}

// ofPoison makes a cell of what became of the poisoned key, if there was one.
func ofPoison(cell func(*PoisonResult) table.Cell) func(column) table.Cell {
	return func(x column) table.Cell {
		if x.Poison == nil {
			return table.Missing()
		}
		return cell(x.Poison)
	}
}

// percentText has no decimals: they differ from run to run.
func percentText(v measured.Value) string { return fmt.Sprintf("%.0f %%", 100*float64(v)) }

// calmly returns a row of a run that nobody disturbs: such a run has no phases, and does not heal.
func calmly(m measure) measure {
	of, phases := m.Of, strings.HasSuffix(m.Name, phaseSuffix)
	m.Name = strings.Replace(strings.TrimSuffix(m.Name, phaseSuffix), " before:", ":", 1)
	m.Optional = true
	m.Of = func(x column) table.Cell {
		cell := of(x)
		if !phases {
			return cell
		}
		first, _, _ := strings.Cut(cell.String(), " / ")
		return cell.As(first)
	}
	return m
}

// table shows the runs side by side.
func (r *Result) table(p *Params) *table.Table {
	heads, columns := []string{"measure"}, []column{}
	for _, x := range r.Runs {
		heads, columns = append(heads, x.Ownership.column()), append(columns, column{x, r})
	}
	rows := slices.Clone(measures)
	if p.Disturb == lab.Calm {
		for i, m := range rows {
			rows[i] = calmly(m)
		}
	}
	t := table.New(title(p, r), heads...)
	if len(columns) > 0 {
		lab.Compare(t, columns, rows)
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

// errorWords say what the kinds of errors are.
var errorWords = map[string]string{errorLoad: "by the origin", errorDeadline: "past the deadline",
	errorQuarantined: "of the key in quarantine"}

// errorList lists the errors of a run by their kind, most first.
func (x *Run) errorList() string {
	all := x.kinds()
	words := slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		return cmp.Or(cmp.Compare(all[b], all[a]), strings.Compare(a, b))
	})
	for i, kind := range words {
		words[i] = human.Count(all[kind]) + " " + cmp.Or(errorWords[kind], kind)
	}
	return strings.Join(words, ", ")
}
