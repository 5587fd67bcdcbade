package registry

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/snowfence/snowfence/internal/lab/proc"
)

// A processNode is a node in a process of its own, which runs [Serve].
type processNode struct {
	*proc.Process

	mu      sync.Mutex // guards all below
	last    uint64
	waiting map[uint64]chan<- response
}

// closePatience is how long a process may take to end by itself.
const closePatience = 5 * time.Second

// openProcess starts a node as a process with the command line given.
func openProcess(ctx context.Context, command []string, c nodeConfig) (node, string, error) {
	p := &processNode{waiting: make(map[uint64]chan<- response)}
	var err error
	if p.Process, err = proc.Start("node "+c.Name, command, p.answer); err != nil {
		return nil, "", err
	}
	a, err := p.do(ctx, request{Op: opOpen, Config: &c})
	if err != nil {
		return nil, "", errors.Join(err, p.kill())
	}
	return p, a.Addr, nil
}

// answer hands an answer to the call that waits for it.
func (p *processNode) answer(a response) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if waiting := p.waiting[a.ID]; waiting != nil {
		waiting <- a // it has room for one
	}
	delete(p.waiting, a.ID)
}

func (p *processNode) do(ctx context.Context, r request) (a response, err error) {
	answer := make(chan response, 1)
	p.mu.Lock()
	p.last++
	r.ID = p.last
	p.waiting[r.ID] = answer
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.waiting, r.ID)
	}()
	if deadline, ok := ctx.Deadline(); ok {
		r.Limit = max(time.Until(deadline), time.Nanosecond)
	}
	if err := p.Send(r); err != nil {
		return response{}, err
	}
	select {
	case a = <-answer:
	case <-p.Gone():
		select {
		case a = <-answer:
		default:
			return response{}, p.Ended()
		}
	case <-ctx.Done():
		return response{}, context.Cause(ctx)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

func (p *processNode) kill() error {
	p.Kill()
	return nil
}

func (p *processNode) close() error { return p.Close(closePatience) }
