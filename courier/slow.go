package courier

import (
	"cmp"
	"slices"
	"time"
)

// The slowest flights are kept for each minute of the last five, so that old ones go.
const (
	slowAtLeast = time.Millisecond
	slowWindows = 5
	slowWindow  = instant(time.Minute)
	maxSlowest  = 20 // in all; so each shard keeps as many of each window
)

type slowFlight[K comparable] struct {
	key  K
	hash uint32
	took time.Duration
	end  FlightEnd
	at   instant
}

// slowerFirst orders flights by their durations.
func slowerFirst[K comparable](a, b slowFlight[K]) int { return cmp.Compare(b.took, a.took) }

// slowFlights hold the slowest flights of a shard. The shard's lock guards them.
type slowFlights[K comparable] struct {
	windows [slowWindows]struct {
		began   instant
		flights []slowFlight[K] // sorted
	}
}

// add adds f, if it is one of the slowest of its minute.
func (t *slowFlights[K]) add(f slowFlight[K]) {
	began := f.at - f.at%slowWindow
	w := &t.windows[(began/slowWindow%slowWindows+slowWindows)%slowWindows]
	if w.began != began {
		w.began, w.flights = began, nil
	}
	if len(w.flights) == maxSlowest {
		if f.took <= w.flights[maxSlowest-1].took {
			return
		}
		w.flights = w.flights[:maxSlowest-1]
	}
	at, _ := slices.BinarySearchFunc(w.flights, f, slowerFirst[K])
	w.flights = slices.Insert(w.flights, at, f)
}

// appendSince appends the flights that have ended since then.
func (t *slowFlights[K]) appendSince(to []slowFlight[K], since instant) []slowFlight[K] {
	if t == nil {
		return to
	}
	for i := range t.windows {
		for _, f := range t.windows[i].flights {
			if f.at >= since {
				to = append(to, f)
			}
		}
	}
	return to
}
