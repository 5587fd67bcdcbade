package stacks

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"time"
)

// Label is the key of the pprof label that identifies a flight.
const Label = "flight"

const (
	// maxGoroutines bounds the goroutines of a process of which a profile is taken. With 10,000
	// that takes a tenth of a second, with 100,000 more than a second.
	maxGoroutines = 10_000

	// minRest and restPerCost bound the rest after a profile: at least minRest, and so long that
	// profiles take one hundredth of the time. In a bubble of testing/synctest it is bubbleRest at
	// first.
	minRest     = time.Second
	bubbleRest  = time.Hour
	restPerCost = 100

	// maxStacks and maxFrames bound the text of a flight.
	maxStacks = 8
	maxFrames = 64
)

// A Snapshot holds the stacks of all flights of the process at one time.
type Snapshot struct {
	at      time.Time // when it was begun
	flights map[string]*Flight
	err     error
}

// A Flight holds the stacks of the goroutines of a flight: its function and its linked children.
type Flight struct {
	// Text has the stacks in the form of runtime/debug.Stack, the innermost call first, without the
	// frames of the runtime's scheduler and those of the courier below the function. Where several
	// goroutines have the same stack, it has that once.
	Text []byte

	// Where names the line in which the function is, in one line: the innermost call outside of the
	// standard library and, if that is another one, the function's own.
	Where string

	// Leaked reports that a goroutine of the flight can never go on, as the runtime's detector of
	// leaked goroutines (golang/go#74609) has found.
	Leaked bool
}

// Of returns the stacks of the flight with that label, which began then. The error says why there
// are none.
func (s *Snapshot) Of(label string, began time.Time) (*Flight, error) {
	switch f := s.flights[label]; {
	case s.err != nil:
		return nil, s.err
	case !began.Before(s.at): // another flight may have had the label
		return nil, ErrTooSoon
	case f == nil:
		return nil, errGone
	default:
		return f, nil
	}
}

var (
	// ErrTooSoon is the error of a flight that is younger than the last profile, if another
	// profile would come too soon.
	ErrTooSoon = errors.New("the last goroutine profile was taken a short time ago")

	errGone = errors.New("no goroutine of it was found")
)

// A Source takes snapshots, with rests between them. The zero value is ready to use.
type Source struct {
	// BubbleRest is the first rest in a bubble of testing/synctest. 0 means an hour.
	BubbleRest time.Duration

	mu   sync.Mutex // guards the following
	last *Snapshot
	next time.Time // no other is taken before
	rest time.Duration
}

// process is the source of all couriers, except for those in bubbles of testing/synctest.
var process Source

// Recent returns the last snapshot of the process or, if its rest is over, a new one. Of several
// callers at the same time one takes it and the others wait. The rest is a second, or 100 times as
// long as the profile took. In a process with more than 10,000 goroutines there is no profile; the
// error of Snapshot.Of says so.
//
// In a bubble of testing/synctest, whose clock can't be compared with others and stands still while
// a profile is taken, Recent uses bubble instead. The rest is then its BubbleRest at first, and
// doubles each time, so that tests with many time-outs stay fast.
//
// Recent blocks while a profile is taken: a millisecond with few goroutines, a tenth of a second
// with 10,000.
func Recent(bubble *Source) *Snapshot {
	s := &process
	inBubble := time.Now().Before(processStart) // it starts in the year 2000
	if inBubble {
		s = bubble
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.last == nil || !now.Before(s.next) {
		s.last = take(now)
		if inBubble {
			s.rest = max(cmp.Or(s.BubbleRest, bubbleRest), 2*s.rest)
		} else {
			s.rest = max(minRest, restPerCost*time.Since(now))
		}
		s.next = now.Add(s.rest)
	}
	return s.last
}

var processStart = time.Now()

// take takes a snapshot.
func take(now time.Time) *Snapshot {
	s := &Snapshot{at: now, flights: map[string]*Flight{}}
	if n := runtime.NumGoroutine(); n > maxGoroutines {
		s.err = fmt.Errorf("%d goroutines are too many for a profile, of which %d are the most", n,
			maxGoroutines)
		return s
	}
	var groups []group
	if groups, s.err = read(pprof.Lookup("goroutine")); s.err != nil {
		return s
	}
	stacks := map[string][]group{}
	for _, g := range groups {
		if g.trim() {
			label := g.labels[Label]
			stacks[label] = append(stacks[label], g)
		}
	}
	for label, groups := range stacks {
		slices.SortStableFunc(groups, functionFirst)
		s.flights[label] = newFlight(groups)
	}
	s.findLeaks()
	return s
}

// findLeaks marks the flights that can't go on, where the runtime can say so: as of Go 1.26 if the
// program was built with GOEXPERIMENT=goroutineleakprofile.
func (s *Snapshot) findLeaks() {
	leaks := pprof.Lookup("goroutineleak")
	if leaks == nil || len(s.flights) == 0 {
		return
	}
	groups, err := read(leaks)
	if err != nil {
		return
	}
	for _, g := range groups {
		if f := s.flights[g.labels[Label]]; f != nil && g.trim() {
			f.Leaked = true
		}
	}
}

// functionFirst orders the goroutine of the function before those of linked children.
func functionFirst(a, b group) int { return cmp.Compare(a.kind, b.kind) }

// newFlight makes the text of groups, the goroutines of one flight.
func newFlight(groups []group) *Flight {
	var text strings.Builder
	for i, g := range groups {
		if i == maxStacks {
			fmt.Fprintf(&text, "\n… and %d more\n", len(groups)-i)
			break
		}
		if i > 0 {
			text.WriteByte('\n')
		}
		switch {
		case g.count > 1:
			fmt.Fprintf(&text, "%d linked children:\n", g.count)
		case g.kind == child:
			text.WriteString("a linked child:\n")
		}
		for j, f := range g.frames {
			if j == maxFrames {
				fmt.Fprintf(&text, "… and %d more calls\n", len(g.frames)-j)
				break
			}
			fmt.Fprintf(&text, "%s(...)\n\t%s:%d\n", f.function, f.file, f.line)
		}
	}
	return &Flight{Text: []byte(text.String()), Where: where(groups[0].frames)}
}
