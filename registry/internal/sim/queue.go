package sim

import (
	"time"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// An event is something that happens to a node at a moment.
type event struct {
	at   time.Duration
	turn uint64 // orders events of the same moment
	do   action
	part int8
	node int32 // to whom it happens
	from int32 // whose message, or which node's membership
	life uint32
	wall int64 // deliver: the sender's wall clock
	msg  replica.Message
}

type action uint8

const (
	deliver action = iota // msg arrives
	tick                  // time passes, for node's cores
	check                 // node looks whether from is up
	churn                 // node releases a name and registers another
)

// queue is a binary heap of events, the next one first.
type queue []event

func (e *event) before(f *event) bool {
	return e.at < f.at || e.at == f.at && e.turn < f.turn
}

func (q *queue) push(e event) {
	h := append(*q, e)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !e.before(&h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = e
	*q = h
}

func (q *queue) pop() event {
	h := *q
	top, last := h[0], h[len(h)-1]
	h[len(h)-1] = event{}
	h = h[:len(h)-1]
	if len(h) > 0 {
		i := 0
		for {
			down := 2*i + 1
			if down >= len(h) {
				break
			}
			if r := down + 1; r < len(h) && h[r].before(&h[down]) {
				down = r
			}
			if !h[down].before(&last) {
				break
			}
			h[i] = h[down]
			i = down
		}
		h[i] = last
	}
	*q = h
	return top
}
