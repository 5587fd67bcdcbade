package stalltest

import (
	"fmt"
	"strings"
	"time"
)

// An Outcome is the kind of result of one caller.
type Outcome string

// The outcomes, the worst first.
const (
	Hang      Outcome = "hang"      // it did not return, even past its deadline
	Killed    Outcome = "killed"    // its goroutine was ended
	Panicked  Outcome = "panic"     // a panic, in its goroutine
	Zero      Outcome = "zero"      // no value and no error
	Wrong     Outcome = "wrong"     // the value of another key
	Cancelled Outcome = "cancelled" // another caller's cancellation, or its deadline
	Late      Outcome = "late"      // a value, but only past its deadline
	Deadline  Outcome = "deadline"  // an error at its deadline
	Error     Outcome = "error"     // an error before its deadline
	Stale     Outcome = "stale"     // the value of before, which has expired
	Value     Outcome = "value"
)

var outcomes = []Outcome{
	Hang, Killed, Panicked, Zero, Wrong, Cancelled, Late, Deadline, Error, Stale, Value,
}

// A Verdict says whether a subject did what the case wants.
type Verdict string

// The verdicts. None means that the subject has no such call, and is no failure.
const (
	Pass Verdict = "pass"
	Fail Verdict = "fail"
	None Verdict = "none"
)

// A Result holds what was seen of one subject in one case.
type Result struct {
	Subject string  `json:"subject,omitempty"` // its name
	Case    string  `json:"case"`              // its name
	Verdict Verdict `json:"verdict"`
	// Seen describes the result in a few words. These are outcomes, with the number of callers
	// before each unless all had the same; "n of m" for m callers of which n got a value; "no load"
	// if no load began; "dies" if the process ended; a few words of single cases, which Case.What
	// explains; and "–" for None. A "†" follows if the key fails the next caller, too.
	Seen string `json:"seen"`
	Why  string `json:"why,omitempty"` // what was not as it should be; or what the subject has not

	Callers map[Outcome]int `json:"callers,omitempty"`
	Longest time.Duration   `json:"longest_ns,omitempty"`  // of the callers, from the fault
	Next    Outcome         `json:"next_caller,omitempty"` // of a caller that came afterwards
	Loads   int             `json:"loads,omitempty"`       // load functions called, in all
	Message string          `json:"message,omitempty"`     // first line of what a process wrote that died
}

// String returns the result in one line.
func (r *Result) String() string {
	s := fmt.Sprintf("%s: %s: %s", r.Case, r.Verdict, r.Seen)
	if r.Subject != "" {
		s = r.Subject + ", " + s
	}
	if r.Why != "" {
		s += " (" + r.Why + ")"
	}
	return s
}

const (
	dies    = "dies"      // what is seen of a process that ended
	silent  = "no answer" // and of one that was ended after processLimit
	nothing = "–"
	dead    = " †"
)

// words describes the outcomes. Values and errors that came in time are left out beside others.
func (r *Result) words() string {
	var parts []string
	for _, o := range outcomes {
		switch n := r.Callers[o]; {
		case n > 0 && len(r.Callers) == 1:
			return string(o)
		case n > 0 && o != Error && o != Value:
			parts = append(parts, fmt.Sprintf("%d %s", n, o))
		}
	}
	if len(parts) == 0 {
		return "value or error"
	}
	return strings.Join(parts, ", ")
}

// reasons say why an outcome is a failure where the case does not want it.
var reasons = map[Outcome]string{
	Hang:      "a caller hangs",
	Killed:    "a caller's goroutine was ended",
	Panicked:  "a caller panicked",
	Zero:      "a caller got neither a value nor an error",
	Wrong:     "a caller got the value of another key",
	Cancelled: "a caller got the end of another caller's context",
	Late:      "a caller got its value only past its deadline",
	Deadline:  "a caller learned nothing before its deadline",
	Error:     "a caller got an error although there was a value for it",
	Stale:     "a caller got an expired value",
	Value:     "a caller got a value that could not be there",
}
