package clustertest

import (
	"fmt"
	"strings"
	"sync"

	"github.com/stretchr/testify/assert"
)

// finish closes all running nodes in order, and checks that nothing is left: no name in the
// registry, and no goroutine, connection or file in any process. It is called at the end of each
// test.
func (c *testCluster) finish() {
	if c.tb.Failed() {
		return
	}
	c.heal()
	var running []*process
	for _, p := range c.nodes {
		if p.alive() {
			running = append(running, p)
		}
	}
	c.each(running, "close cache", func(p *process, r *reply) {
		assert.Empty(c.tb, r.Error, "%s closes its cache", p.spec.Name)
	})
	if c.tb.Failed() {
		return
	}
	waitUntil(c.tb, "all names are gone", func() string {
		for _, p := range running {
			r, err := p.do(command{Op: "state"})
			if err != nil {
				c.tb.Fatal(err)
			}
			for name, holder := range r.State.Names {
				if strings.HasPrefix(name, "cache/") {
					return fmt.Sprintf("%s still sees %q held by %s, and %d names in all", p.spec.Name, name,
						holder, len(r.State.Names))
				}
			}
			if held := r.State.Stats.Held; held != 0 {
				return fmt.Sprintf("%s still holds %d", p.spec.Name, held)
			}
		}
		return ""
	})
	c.each(running, "close", func(p *process, r *reply) {
		assert.Empty(c.tb, r.Error, "%s closes", p.spec.Name)
		assert.Empty(c.tb, r.Left, "what is left on %s", p.spec.Name)
	})
	for _, p := range running {
		p.queue.put(&command{Op: "exit"})
		<-p.gone
		assert.Zero(c.tb, p.cmd.ProcessState.ExitCode(), "%s exits", p.spec.Name)
	}
}

// each sends nodes the same command at the same time.
func (c *testCluster) each(nodes []*process, op string, f func(*process, *reply)) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, p := range nodes {
		wg.Go(func() {
			r, err := p.do(command{Op: op})
			mu.Lock()
			defer mu.Unlock()
			if assert.NoError(c.tb, err, "%s: %s", p.spec.Name, op) {
				f(p, r)
			}
		})
	}
	wg.Wait()
}
