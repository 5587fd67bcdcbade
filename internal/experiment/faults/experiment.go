package faults

import (
	"fmt"
	"strings"
	"time"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/table"
	"github.com/snowfence/snowfence/internal/verdict"
)

// Params are the parameters of the experiment.
type Params struct {
	Callers int `name:"callers" min:"2" max:"100000" help:"how many callers wait for each load"`
	// Timeout is a caller's own deadline, from the time at which the fault strikes or, where
	// callers keep coming, from its call. It is below courier.DefaultTimeout, which applies there.
	Timeout      time.Duration `name:"timeout" above:"0s" below:"30s" help:"a caller's own deadline"`
	FetchTimeout time.Duration `name:"fetch-timeout" above:"0s" help:"the flight's time-out, below --timeout; with the fix off there is none"`
	SoftTimeout  time.Duration `name:"soft-timeout" above:"0s" help:"how long a caller that can have a stale value waits; half of --fetch-timeout unless given"`
}

// Experiment is "cachebench faults".
var Experiment = &lab.Experiment[Params, Matrix]{
	Name:  "faults",
	Short: "Show what every fault does to its callers",
	Long: `Faults lets one load go wrong in every known way while many callers wait for it,
with the courier's fix off and on, and with the fix on and a stale value there,
and prints what the callers got, and how long after the fault.

"Own deadline" means that nothing told the caller what became of the load: in a
service this caller would have held a worker all along.`,
	Example: `  cachebench faults
  cachebench faults --callers 1000 --timeout 2s --fetch-timeout 1s
  cachebench faults --check --json
  cachebench faults --out out/faults`,
	Topics: []lab.Topic{{Name: "rows", Short: "how to read the tables", Text: rows}},
	Defaults: func() Params {
		return Params{Callers: 50, Timeout: 200 * time.Millisecond, FetchTimeout: 100 * time.Millisecond,
			SoftTimeout: 50 * time.Millisecond}
	},
	Complete: func(p *Params, s *params.Set) {
		if !s.Given("soft-timeout") {
			p.SoftTimeout = max(1, p.FetchTimeout/2)
			s.Derive("soft-timeout")
		}
	},
	Rules: func(p *Params, c *params.Checker) {
		c.Check(p.Timeout > p.SoftTimeout, "timeout", "must be above %s (%v), got %v",
			c.Call("soft-timeout"), p.SoftTimeout, p.Timeout)
		c.Check(p.Timeout > p.FetchTimeout, "timeout", "must be above %s (%v), got %v",
			c.Call("fetch-timeout"), p.FetchTimeout, p.Timeout)
	},
	Run:  Run,
	Page: page,
}

const rows = `
In each trial the first caller of a key starts its load, the load waits until all
others have joined, and then the fault strikes. The first table says what the
callers saw, and how long after the fault they knew, at the median and at most:

  value          the value
  error, panic, goexit, deadlock
                 an error that says what became of the load
  time-out       the flight's time was up (--fetch-timeout): the load was stuck
  own deadline   nothing told the caller; its own deadline passed (--timeout,
                 from when the fault struck)
  cancelled      the caller itself had left
  stale          the last good value, whose TTL is over

The second table is of callers that can have a stale value
(cache.Options.StaleFor). They get that instead of an error, and of a load that
hangs or is slow they wait for the soft time-out at most (--soft-timeout). Fresh
after is how long after the next caller one got a fresh value: stale ones are given
at once for as long as the soft time-out after a load has failed (StaleRetry), or
while it is known to be late.

The last table is what came after: one more caller, whose fetch function works. If
that one sees "own deadline" too, the key is dead for good. Loads counts the fetch
functions that were called in all.

One row is another experiment. In "hang, callers keep coming" the courier has its
default options. The first load hangs, and later ones would work. The callers come
in five waves, each when the one before knows, while one more caller, which is not
counted, waits all along. Their time counts from their own calls.

With the fix on, no cell may be "own deadline": each is a value or an error that the
fault itself brought (hang and slow: the flight's time-out). Where callers keep
coming the first wave alone may, since until a deadline has passed nothing tells a
load that hangs from one that works. With a stale value there no caller may get an
error, but the one that left; these callers have no deadline, and one that is not
answered within --timeout is "cancelled". --check exits with 1 and names each cell
that is not so. Times are shown and not judged: they are the machine's, too. A
deadline passes only while this process gets to run, so that a busy machine is not
taken for a fault.`

// page returns the page of a matrix.
func page(p *Params, m *Matrix) *lab.Page {
	what := table.New("The faults", "fault", "what happens")
	for _, row := range m.Rows {
		what.Add(table.Text(row.Fault), table.Text(row.What))
	}
	finding := fmt.Sprintf("With the fix on the callers of all %d loads got what they should, "+
		"and every key worked again.", len(m.Rows))
	if len(m.Rows) < len(faults) {
		finding = fmt.Sprintf("The run ended after %d of %d faults. ", len(m.Rows), len(faults)) + finding
	}
	checks := m.Checks(p)
	for _, c := range checks {
		if !c.OK && c.Detail != untried {
			finding = fmt.Sprintf("What did not hold: %s: %s.", c.Name, c.Detail)
			break
		}
	}
	return &lab.Page{
		Title: "Faults: what a load that goes wrong does to its callers",
		Story: fmt.Sprintf("%s callers wait for one load, which then goes wrong in every known way, "+
			"with the courier's fix off and on, and with a stale value there. "+
			"\"Own deadline\" means that nothing told the caller: in a service it would have held "+
			"a worker until then.", human.Count(int64(p.Callers))),
		Finding: finding,
		Partial: len(m.Rows) < len(faults),
		Tables:  []*table.Table{m.callers(p), m.stale(p), m.afterwards()},
		More:    []*table.Table{what},
		Checks:  checks,
	}
}

// callers returns a table of the outcomes with the fix off and on.
func (m *Matrix) callers(p *Params) *table.Table {
	t := table.New(fmt.Sprintf("What %s callers of one load saw, and how long after the fault they "+
		"knew", human.Count(int64(p.Callers))),
		"fault", "fix off", "median", "max", "fix on", "median", "max")
	highlight(t, 4)
	for _, row := range m.Rows {
		cells := []table.Cell{table.Text(row.Fault)}
		for _, c := range []*Cell{row.Off, row.On} {
			cells = append(cells, table.Text(saw(c)), table.Duration(c.Median.Duration()),
				table.Duration(c.Max.Duration()))
		}
		t.Add(cells...)
	}
	t.Note("The callers' own deadline is %s; with the fix on, the flight's time-out in hang and "+
		"slow is %s.",
		human.Duration(p.Timeout), human.Duration(p.FetchTimeout))
	t.Note("Where callers keep coming the courier has its options as they come, and times count " +
		"from each call.")
	for _, row := range m.Rows {
		if longer := row.On.FetchTimeout.Duration(); longer > p.FetchTimeout {
			t.Note("Of %s it is %s, since the callers did not come together within less.",
				row.Fault, human.Duration(longer))
		}
	}
	return t
}

// stale returns a table of the outcomes of callers that can have a stale value.
func (m *Matrix) stale(p *Params) *table.Table {
	t := table.New("The same with the fix on and a stale value there",
		"fault", "stale value there", "median", "max", "next caller", "fresh after", "loads")
	highlight(t, 1)
	for _, row := range m.Rows {
		c := row.Stale
		again := table.Missing()
		if c.FreshAfter != nil {
			again = table.Duration(c.FreshAfter.Duration())
		}
		t.Add(table.Text(row.Fault), table.Text(saw(c)),
			table.Duration(c.Median.Duration()), table.Duration(c.Max.Duration()),
			table.Text(saw1(c.Next)), again, table.Count(int64(c.Loads)))
	}
	t.Note("In hang, slow and where callers keep coming, the soft time-out is %s; "+
		"elsewhere callers wait until the load ends.", human.Duration(p.SoftTimeout))
	for _, row := range m.Rows {
		if longer := row.Stale.SoftTimeout.Duration(); longer > p.SoftTimeout {
			t.Note("Of %s it is %s, since the callers did not come together within less.",
				row.Fault, human.Duration(longer))
		}
	}
	return t
}

// afterwards returns a table of the next callers.
func (m *Matrix) afterwards() *table.Table {
	t := table.New("Afterwards: one more caller, whose fetch function works", "fault", "fix off",
		"took", "loads", "fix on", "took", "loads")
	highlight(t, 4)
	for _, row := range m.Rows {
		cells := []table.Cell{table.Text(row.Fault)}
		for _, c := range []*Cell{row.Off, row.On} {
			cells = append(cells, table.Text(saw1(c.Next)), table.Duration(c.Next.Took.Duration()),
				table.Count(int64(c.Loads)))
		}
		t.Add(cells...)
	}
	t.Note("Loads: fetch functions called in all, for the callers above and this one.")
	return t
}

func highlight(t *table.Table, from int) {
	for i := from; i < len(t.Columns); i++ {
		t.Columns[i].Highlight = true
	}
}

func saw(c *Cell) string {
	var parts []string
	for _, seen := range c.Saw {
		parts = append(parts, human.Count(int64(seen.Count))+" "+kindText(seen.Kind))
	}
	return strings.Join(parts, ", ")
}

func saw1(n Next) string {
	if n.Value != "" {
		return n.Value
	}
	return kindText(n.Kind)
}

func kindText(k verdict.Kind) string {
	if k == verdict.Deadline {
		return "own deadline"
	}
	return string(k)
}
