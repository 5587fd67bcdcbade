package main

import (
	"net/http"
	"sync"
	"time"

	"github.com/snowfence/snowfence/internal/measured"
)

// A tally counts the requests that are due from one time of the traffic to another.
type tally struct {
	from, to time.Duration

	mu       sync.Mutex
	times    *measured.Times // from due to the answer; of a lost request, to the end
	good     uint64          // answered with the status 200
	failed   uint64          // answered with another one
	lost     uint64          // not answered
	answered uint64          // good ones whose answer came from from to to, whenever they were due

	opened int             // connections
	late   *measured.Times // from due to when the request was given to a connection
}

// gave notes that a request was given to a connection.
func (t *tally) gave(due, now time.Duration) {
	if due >= t.from {
		t.late.Add(now - due)
	}
}

// end notes how a request ended. A status of 0 means that it got no answer.
func (t *tally) end(due, now time.Duration, status int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if status == http.StatusOK && now >= t.from && now < t.to {
		t.answered++
	}
	if due < t.from {
		return
	}
	t.times.Add(now - due)
	switch status {
	case http.StatusOK:
		t.good++
	case 0:
		t.lost++
	default:
		t.failed++
	}
}
