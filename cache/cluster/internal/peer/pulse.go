package peer

import (
	"net/http"
	"sync"
	"time"
)

// chunk is the part of an answer, in bytes, that must go out within partTimeout.
const chunk = 64 << 10

// pulse keeps the time of one request at a Server, and is the only one that writes the response.
// While the body arrives, it bounds the time for that. While the Backend is at work, it sends life
// signs, four in each peer time-out of the asker. While the answer goes out, it bounds the time for
// each part. So neither an asker that is slow on purpose nor one that has stopped holds a place for
// ever.
type pulse struct {
	rw          http.ResponseWriter
	ctl         *http.ResponseController
	partTimeout time.Duration

	mu           sync.Mutex // also held while an interim answer is written
	phase        phase
	since        time.Time // when phase began
	signInterval time.Duration
	timer        *time.Timer
	timed        bool // there is a deadline for writing
	signs        int  // life signs sent; constant once the answer has begun
}

type phase uint8

const (
	before phase = iota
	reading
	working
	answering
	over
)

func newPulse(rw http.ResponseWriter, peerTimeout time.Duration) *pulse {
	return &pulse{rw: rw, ctl: http.NewResponseController(rw), partTimeout: partTimeout(peerTimeout)}
}

// partTimeout returns how long a Server waits for an asker that has stopped to read or send. An
// honest asker gives up after its peer time-out, so it never stops for longer.
func partTimeout(peerTimeout time.Duration) time.Duration {
	return max(4*boundPeerTimeout(peerTimeout), time.Second)
}

var past = time.Unix(1, 0)

// fire runs when the timer fires.
func (p *pulse) fire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	// An error means that the writer does not support deadlines, as one that a middleware has wrapped.
	// There is no other way then.
	switch p.phase {
	case reading:
		_ = p.ctl.SetReadDeadline(past)
	case working:
		// This replaces the deadlines of the http.Server, which does not know that loads may take long.
		_ = p.ctl.SetReadDeadline(time.Time{})
		_ = p.ctl.SetWriteDeadline(time.Now().Add(p.partTimeout))
		p.timed = true
		p.rw.WriteHeader(http.StatusProcessing)
		p.signs++
		p.timer.Reset(p.signInterval)
	case answering:
		if time.Since(p.since) < p.partTimeout {
			return // it fired for the phase before, which has just ended
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

// read begins the phase in which the body arrives.
func (p *pulse) read() { p.enter(reading, p.partTimeout) }

// work begins the phase in which the Backend is at work, for an asker with this peer time-out.
func (p *pulse) work(peerTimeout time.Duration) {
	p.signInterval = boundPeerTimeout(peerTimeout) / 4
	p.enter(working, p.signInterval)
}

// answer begins the phase of the answer, and returns its header, which nothing else uses from now
// on.
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

// stop ends the pulse. Nothing writes to the response after it has returned. net/http ends the
// deadlines with the request.
func (p *pulse) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.phase = over
	if p.timer != nil {
		p.timer.Stop()
	}
}
