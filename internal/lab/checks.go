package lab

import (
	"fmt"

	"github.com/snowfence/snowfence/internal/report"
)

// Checks collects what a result is held to.
type Checks []report.Check

// Add adds a check. The format and the arguments say what was seen.
func (c *Checks) Add(ok bool, name, format string, args ...any) {
	*c = append(*c, report.Check{Name: name, OK: ok, Detail: fmt.Sprintf(format, args...)})
}

// ChecksOfRuns returns the checks of runs, and one that does not hold if there are fewer than
// wanted. Where several are wanted, the name of a check begins with the title of its run.
func ChecksOfRuns[R any](runs []R, wanted int, title func(R) string, of func(R) Checks) Checks {
	var all Checks
	for _, r := range runs {
		for _, c := range of(r) {
			if wanted > 1 {
				c.Name = title(r) + ": " + c.Name
			}
			all = append(all, c)
		}
	}
	if missing := wanted - len(runs); missing > 0 {
		all.Add(false, "every run took place", "%d did not", missing)
	}
	return all
}
