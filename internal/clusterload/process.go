package clusterload

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/snowfence/snowfence/internal/lab/proc"
	"github.com/snowfence/snowfence/registry"
)

// A processNode is a node in a process of its own, which runs [Serve].
type processNode struct {
	*proc.Process
	addr string

	mu      sync.Mutex // guards all below
	last    uint64
	waiting map[uint64]chan<- response
}

// closePatience is how long a process may take to end by itself.
const closePatience = 5 * time.Second

// openProcess starts a node as a process with the command line given.
func openProcess(ctx context.Context, command []string, c nodeConfig) (*processNode, error) {
	p := &processNode{waiting: make(map[uint64]chan<- response)}
	var err error
	if p.Process, err = proc.Start("node "+c.Name, command, p.answer); err != nil {
		return nil, err
	}
	a, err := p.call(ctx, request{Op: opOpen, Config: &c})
	if err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	p.addr = a.Addr
	return p, nil
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

func (p *processNode) call(ctx context.Context, r request) (a response, err error) {
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
		return a, errorOf(a.Error)
	}
	return a, nil
}

func (p *processNode) Addr() string { return p.addr }

func (p *processNode) Register(
	ctx context.Context, name string, id claimID,
) (registry.Timestamp, error) {
	a, err := p.call(ctx, request{Op: opRegister, Name: name, Claim: id})
	if err != nil || a.Time == nil {
		return registry.Timestamp{}, err
	}
	return *a.Time, nil
}

func (p *processNode) Release(ctx context.Context, id claimID) error {
	_, err := p.call(ctx, request{Op: opRelease, Claim: id})
	return err
}

func (p *processNode) Cut(ctx context.Context, addrs []string) error {
	_, err := p.call(ctx, request{Op: opCut, Addrs: addrs})
	return err
}

func (p *processNode) Skew(ctx context.Context, d time.Duration) error {
	_, err := p.call(ctx, request{Op: opSkew, Skew: d})
	return err
}

func (p *processNode) Observe(ctx context.Context) (observation, error) {
	a, err := p.call(ctx, request{Op: opObserve})
	if err != nil || a.Observation == nil {
		return observation{}, err
	}
	return *a.Observation, nil
}

func (p *processNode) View(ctx context.Context) (map[string]claimID, error) {
	a, err := p.call(ctx, request{Op: opView})
	return a.View, err
}

// Kill implements node.
func (p *processNode) Kill() error {
	p.Process.Kill()
	return nil
}

// Close implements node.
func (p *processNode) Close() error { return p.Process.Close(closePatience) }
