package peer

import (
	"net/http"
	"sync"
	"time"
)

// chunk is the part of an answer, in bytes, that must go out within the pulse's limit.
const chunk = 64 << 10

// pulse is the clock of one request at a Server, and what may write to it. While the body arrives
// it sets the time for that. While the Backend is at work it tells the asker so, several times per
// silence of the asker's. While the answer goes out it sets the time for each part of it. So
// neither an asker that is slow on purpose nor one that has stopped holds a place for ever.
type pulse struct {
	rw          http.ResponseWriter
	ctl         *http.ResponseController
	partTimeout time.Duration

	mu    sync.Mutex // also held while an interim answer is written
	phase phase
	since time.Time // when phase began
	every time.Duration
	timer *time.Timer
	timed bool // whether there is a deadline for writing
	signs int  // how many 102s were sent; it stays as it is once the answer has begun
}

type phase uint8

const (
	before phase = iota
	reading
	working
	answering
	over
)

func newPulse(rw http.ResponseWriter, silence time.Duration) *pulse {
	return &pulse{rw: rw, ctl: http.NewResponseController(rw), partTimeout: partTimeout(silence)}
}

// patience is how long a Server lets an asker stop. The asker itself gives up after its silence, so
// an honest one never stops for longer than that.
func partTimeout(silence time.Duration) time.Duration {
	return max(4*boundPeerTimeout(silence), time.Second)
}

var past = time.Unix(1, 0)

// fire is called by the timer.
func (p *pulse) fire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Errors mean that the writer knows no deadlines, as one that a middleware has wrapped: there
	// is no other way then.
	switch p.phase {
	case reading:
		_ = p.ctl.SetReadDeadline(past)
	case working:
		// This replaces the deadlines of the http.Server, which knows nothing of loads that take
		// long.
		_ = p.ctl.SetReadDeadline(time.Time{})
		_ = p.ctl.SetWriteDeadline(time.Now().Add(p.partTimeout))
		p.timed = true
		p.rw.WriteHeader(http.StatusProcessing)
		p.signs++
		p.timer.Reset(p.every)
	case answering:
		if time.Since(p.since) < p.partTimeout {
			return // the timer had fired for the phase before, which has ended at this moment
		}
		_ = p.ctl.SetWriteDeadline(past)
	case before, over:
	}
}

func (p *pulse) enter(next phase, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.phase, p.since = next, time.Now()
	if p.timer == nil {
		p.timer = time.AfterFunc(d, p.fire)
		return
	}
	p.timer.Reset(d)
}

// read begins the time for the body.
func (p *pulse) read() { p.enter(reading, p.partTimeout) }

// work begins the time in which an asker that is silent for silence must hear something.
func (p *pulse) work(silence time.Duration) {
	p.every = boundPeerTimeout(silence) / 4
	p.enter(working, p.every)
}

// answer ends what came before, and returns the header for the answer, which nobody else uses from
// now on.
func (p *pulse) answer() http.Header {
	p.enter(answering, p.partTimeout)
	return p.rw.Header()
}

func (p *pulse) answered() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phase >= answering
}

// send writes the answer. It blocks until all of it is on its way, or the asker has stopped for too
// long.
func (p *pulse) send(status int, body []byte) (err error) {
	defer p.stop()
	p.renew()
	p.rw.WriteHeader(status)
	for len(body) > 0 && err == nil {
		n := min(len(body), chunk)
		p.renew()
		_, err = p.rw.Write(body[:n])
		body = body[n:]
	}
	return err
}

func (p *pulse) renew() {
	p.timer.Reset(p.partTimeout)
	if p.timed {
		_ = p.ctl.SetWriteDeadline(time.Now().Add(p.partTimeout))
	}
}

// stop ends the pulse. Nothing writes once it has returned. A deadline that was set ends with the
// request: net/http sees to it.
func (p *pulse) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.phase = over
	if p.timer != nil {
		p.timer.Stop()
	}
}
