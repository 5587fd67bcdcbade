package peer

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
)

const (
	windowSize = 4096 // how far requests may overtake each other
	maxWindows = 4096 // how many runs are remembered
)

// windowWords has one word more than the window needs, so that words can be cleared whole when it moves (RFC 6479).
const windowWords = windowSize/64 + 1

// window knows which counters of one run were used: all up to top, but for those among the last windowSize whose bit is
// not set. It is the anti-replay window of RFC 4303, appendix A2.
type window struct {
	top  uint64
	used [windowWords]uint64
}

// verdict is what a counter is.
type verdict uint8

const (
	fresh    verdict = iota + 1
	replayed         // it was used
	stale            // nobody knows any more
)

// take uses n up.
func (w *window) take(n uint64) verdict {
	if n <= w.top && w.top-n >= windowSize {
		return stale
	}
	word, bit := n/64, uint64(1)<<(n%64)
	if n > w.top {
		for i := range min(word-w.top/64, windowWords) {
			w.used[(word-i)%windowWords] = 0
		}
		w.top = n
	}
	if w.used[word%windowWords]&bit != 0 {
		return replayed
	}
	w.used[word%windowWords] |= bit
	return fresh
}

// replays finds requests that come a second time, without clocks and in bounded memory. Each run that has sent an
// authentic request has a window. When there are too many of them all are dropped, and a new epoch begins, a random
// number that every request must name: so what was sent in an older one is refused for ever, and senders are told to
// sign again. The first epoch is the node's run.
type replays struct {
	mu      sync.Mutex
	epoch   uint64
	windows map[uint64]*window
	max     int
}

func newReplays(run uint64) *replays {
	return &replays{epoch: run, windows: make(map[uint64]*window), max: maxWindows}
}

// take uses up a stamp that was sent by run and is known to be authentic. It returns the epoch that requests must name.
func (r *replays) take(run uint64, t stamp) (verdict, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.windows[run]
	if w == nil && len(r.windows) >= r.max {
		// Before the epoch is looked at, so that who signs again finds room.
		clear(r.windows)
		r.epoch = newEpoch()
	}
	if t.epoch != r.epoch {
		return stale, r.epoch
	}
	if w == nil {
		w = new(window)
		r.windows[run] = w
	}
	return w.take(t.counter), r.epoch
}

func newEpoch() uint64 {
	var b [8]byte
	rand.Read(b[:]) // it never fails: crypto/rand ends the process instead
	return binary.BigEndian.Uint64(b[:])
}
