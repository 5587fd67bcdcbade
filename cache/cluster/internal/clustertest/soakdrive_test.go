package clustertest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// drivers are callers on all nodes, which fetch all the time, and delete now and then.
type drivers struct {
	c     *testCluster
	book  *ledger
	nodes []atomic.Pointer[process] // nil if the node must not be called
	quit  chan struct{}
	wg    sync.WaitGroup
}

const driversPerNode = 4

func newDrivers(c *testCluster, book *ledger) *drivers {
	return &drivers{c: c, book: book, nodes: make([]atomic.Pointer[process], len(c.nodes)),
		quit: make(chan struct{})}
}

func (d *drivers) drive(seed uint64) {
	for i := range d.c.nodes {
		d.resume(i)
		for k := range driversPerNode {
			//nolint:gosec // small
			d.wg.Go(func() { d.run(i, rand.New(rand.NewPCG(seed, uint64(1+i*driversPerNode+k)))) })
		}
	}
}

func (d *drivers) end() {
	close(d.quit)
	d.wg.Wait()
}

// stop lets no caller call a node from now on, since it is about to end. Calls under way go on.
func (d *drivers) stop(i int) {
	d.book.closing(d.c.nodes[i])
	d.nodes[i].Store(nil)
}

// resume lets callers call a node again, whose process is a new one.
func (d *drivers) resume(i int) {
	d.book.started(d.c.nodes[i])
	d.nodes[i].Store(d.c.nodes[i])
}

// run calls a node until end.
func (d *drivers) run(i int, r *rand.Rand) {
	for {
		key, second, callers := anyKey(r), anyKey(r), 1+r.IntN(6)
		limit, removes := soakDeadline, r.IntN(12) == 0
		if r.IntN(10) == 0 {
			limit = between(r, 50*time.Millisecond, 3*time.Second)
		}
		select {
		case <-d.quit:
			return
		case <-time.After(time.Duration(r.Int64N(int64(30 * time.Millisecond)))):
		}
		p := d.nodes[i].Load()
		if p == nil {
			continue
		}
		if removes {
			d.remove(p, []string{"delete", "tag"}[r.IntN(2)], key)
			continue
		}
		what := command{Op: "fetch", Keys: []string{key, second}, Callers: callers, Deadline: limit}
		if r.IntN(4) == 0 {
			what.Op, what.Callers = "fetch many", 0
			for range r.IntN(20) {
				what.Keys = append(what.Keys, anyKey(r))
			}
		}
		reply, err := p.do(what)
		if err != nil {
			if !d.book.mayEnd(p) {
				d.c.tb.Errorf("%v", err)
				return
			}
			continue
		}
		for k := range reply.Results {
			d.book.got(p, reply.Results[k], limit)
		}
	}
}

// anyKey draws a key; a few keys are drawn often.
func anyKey(r *rand.Rand) string {
	n := soakKeys
	if r.IntN(2) == 0 {
		n = 10
	}
	return fmt.Sprintf("soak/%d", r.IntN(n))
}

// remove deletes a key, by itself or by its tag, or all.
func (d *drivers) remove(p *process, op, key string) {
	before := d.book.incarnations()
	reply, err := p.do(command{Op: op, Keys: []string{key}, Deadline: soakDeadline})
	if err != nil {
		if !d.book.mayEnd(p) {
			d.c.tb.Errorf("%v", err)
		}
		return
	}
	d.book.removed(p, op, key, reply, before)
}
