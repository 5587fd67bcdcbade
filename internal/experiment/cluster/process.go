package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/snowfence/snowfence/internal/lab/proc"
)

// A process is a node in a process of its own, which runs Serve.
type process struct {
	*proc.Process
	name           string
	ready          chan struct{} // closed after the first report
	registry, http string        // addresses, from then on

	mu      sync.Mutex // guards what follows
	last    nodeReport // without the lists, which are collected below
	records []record   // all that ended
	views   []view     // when other nodes came or went, as this one saw it
	letDown []record   // fetches whose deadlines passed
	givenUp []givenUp  // loads that were given up
	moved   uint64     // names that were claimed within the first second
	paused  bool
	leaving bool      // it is to end, or has ended
	left    time.Time // when
}

// patience bounds how long a node may take to be ready, to see the others, or to end.
const patience = 20 * time.Second

// startProcess starts a node, and waits until it is ready.
func startProcess(ctx context.Context, command []string, c nodeConfig) (*process, error) {
	p := &process{name: c.Name, ready: make(chan struct{})}
	var err error
	if p.Process, err = proc.Start("node "+c.Name, command, p.take); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience,
		fmt.Errorf("node %s: not ready after %v", c.Name, patience))
	defer cancel()
	_ = p.Send(c) // where this fails, what follows does too, and says more
	select {
	case <-p.ready:
		return p, nil
	case <-p.Gone():
		return nil, p.Ended()
	case <-ctx.Done():
		p.kill()
		return nil, context.Cause(ctx)
	}
}

// take collects what the process reports.
func (p *process) take(r nodeReport) {
	if r.HTTP != "" {
		p.registry, p.http = r.Registry, r.HTTP
		close(p.ready)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.records, p.views = append(p.records, r.Ended...), append(p.views, r.Views...)
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
func (p *process) pause(on bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = on
	if on {
		return p.Pause()
	}
	return p.Resume()
}

// runs reports whether the node serves, as far as is known.
func (p *process) runs() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.paused && !p.leaving
}

// mark notes that the process is going to end, or has ended. It returns false if it is paused.
func (p *process) mark() (listens bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.leaving {
		p.leaving, p.left = true, time.Now()
	}
	return !p.paused
}

func (p *process) kill() {
	p.mark()
	p.Kill()
}

// leave makes the node end in good order, or kills one that is paused.
func (p *process) leave() error {
	if !p.mark() {
		p.Kill()
		return nil
	}
	return p.Close(patience)
}
