package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/snowfence/snowfence/internal/lab/proc"
)

// A process is a node in a process of its own, which runs Serve.
type process struct {
	*proc.Process
	name           string
	registry, http string // addresses

	mu      sync.Mutex // guards what follows
	last    nodeReport // without Ended
	records []record   // all that ended
	views   []view     // when other nodes came or went, as this one saw it
	letDown []record   // fetches whose deadlines passed
	givenUp []givenUp  // loads that were given up
	first   Stats      // of a second after the beginning
	stopped bool       // by SIGSTOP
	leaving bool       // it was told to end, or killed
	left    time.Time  // when
}

// patience is how long a node may take to be ready, to see the others, or to end.
const patience = 20 * time.Second

// startProcess starts a node, and waits until it is ready.
func startProcess(ctx context.Context, command []string, c nodeConfig) (*process, error) {
	p := &process{name: c.Name}
	ready := make(chan nodeReport, 1)
	first := true
	var err error
	p.Process, err = proc.Start("node "+c.Name, command, func(r nodeReport) {
		if first {
			first = false
			ready <- r
			return
		}
		p.take(r)
	})
	if err != nil {
		return nil, err
	}
	// A process that ends at once may do so before it was told: what it says then is the error.
	sent := p.Send(c)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case r := <-ready:
		p.registry, p.http = r.Registry, r.HTTP
		return p, nil
	case <-p.Gone():
		return nil, p.Ended()
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timer.C:
		err = errors.Join(sent, fmt.Errorf("node %s: not ready after %v", c.Name, patience))
	}
	p.kill()
	return nil, err
}

// take adds up the process's reports.
func (p *process) take(r nodeReport) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.records = append(p.records, r.Ended...)
	p.views = append(p.views, r.Views...)
	p.letDown, p.givenUp = append(p.letDown, r.LetDown...), append(p.givenUp, r.GivenUp...)
	r.Ended, r.Views, r.LetDown, r.GivenUp = nil, nil, nil, nil
	p.last = r
}

// seen returns the last report.
func (p *process) seen() nodeReport {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// pause halts the process, or lets it go on.
func (p *process) pause(stop bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = stop
	if stop {
		return p.Pause()
	}
	return p.Resume()
}

// runs reports whether the node serves, as far as is known.
func (p *process) runs() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.stopped && !p.leaving
}

// mark notes that the process is going to end, or has ended.
func (p *process) mark() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.leaving {
		p.leaving, p.left = true, time.Now()
	}
}

func (p *process) kill() {
	p.mark()
	p.Kill()
}

// leave makes the node end in good order.
func (p *process) leave() error {
	p.mark()
	return p.Close(patience)
}
