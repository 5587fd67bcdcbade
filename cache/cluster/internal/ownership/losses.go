package ownership

import "sync"

// losses tell of units that were lost, many at a time: after a split thousands are lost at once,
// and who is told may have to look through all its entries each time.
type losses struct {
	tell    func(units []string)
	running *sync.WaitGroup

	mu      sync.Mutex
	units   []string
	telling bool
	closed  bool
}

// add has tell called with the units, and with those that come while it runs in one more call. It
// does not wait.
func (l *losses) add(units ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(units) == 0 {
		return
	}
	l.units = append(l.units, units...)
	if !l.telling {
		l.telling = true
		l.running.Go(l.run)
	}
}

func (l *losses) run() {
	for {
		l.mu.Lock()
		units := l.units
		l.units = nil
		l.telling = len(units) > 0
		l.mu.Unlock()
		if len(units) == 0 {
			return
		}
		l.tell(units)
	}
}

// close has nothing more be added. What was is still told.
func (l *losses) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}
