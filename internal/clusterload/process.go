package clusterload

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/snowfence/snowfence/registry"
)

// A processNode is a node in a process of its own, which runs [Serve].
type processNode struct {
	name  string
	addr  string
	cmd   *exec.Cmd
	noise *head // what the process wrote to standard error

	writing sync.Mutex // keeps requests whole; taken before mu
	stdin   io.WriteCloser
	out     *json.Encoder

	mu      sync.Mutex // guards all below
	last    uint64
	waiting map[uint64]chan response
	err     error // why there are no more answers

	gone chan struct{} // closed when the process has ended
}

// closePatience is how long a process may take to end by itself.
const closePatience = 5 * time.Second

// openProcess starts a node as a process with the command line given.
func openProcess(ctx context.Context, command []string, c nodeConfig) (*processNode, error) {
	p := &processNode{name: c.Name, noise: &head{}, waiting: make(map[uint64]chan response),
		gone: make(chan struct{})}
	//nolint:gosec,noctx // our own program; its life is not that of ctx
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Stderr = p.noise
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("node %s: %w", c.Name, err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", c.Name, err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("node %s: %w", c.Name, err)
	}
	p.out = json.NewEncoder(p.stdin)
	go p.read(stdout) // ends with the process, for which Kill and Close wait
	a, err := p.call(ctx, request{Op: opOpen, Config: &c})
	if err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	p.addr = a.Addr
	return p, nil
}

// read hands answers to those who wait for them, until the process ends.
func (p *processNode) read(stdout io.Reader) {
	defer close(p.gone)
	d := json.NewDecoder(bufio.NewReaderSize(stdout, 1<<16))
	var err error
	for {
		var a response
		if err = d.Decode(&a); err != nil {
			break
		}
		p.mu.Lock()
		waiting := p.waiting[a.ID]
		delete(p.waiting, a.ID)
		p.mu.Unlock()
		if waiting != nil {
			waiting <- a
		}
	}
	if !errors.Is(err, io.EOF) {
		// What it writes can't be understood, so it must not go on.
		_ = p.cmd.Process.Kill()
	}
	waitErr := p.cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = fmt.Errorf("node %s: its process has ended", p.name)
	switch text := p.noise.String(); {
	case text != "":
		p.err = fmt.Errorf("%w: %s", p.err, text)
	case waitErr != nil:
		p.err = fmt.Errorf("%w: %w", p.err, waitErr)
	}
	for _, waiting := range p.waiting {
		close(waiting)
	}
	p.waiting = nil
}

func (p *processNode) call(ctx context.Context, r request) (response, error) {
	answer := make(chan response, 1)
	p.mu.Lock()
	if p.err != nil {
		defer p.mu.Unlock()
		return response{}, p.err
	}
	p.last++
	r.ID = p.last
	p.waiting[r.ID] = answer
	p.mu.Unlock()
	if deadline, ok := ctx.Deadline(); ok {
		r.Limit = max(time.Until(deadline), time.Nanosecond)
	}
	p.writing.Lock()
	err := p.out.Encode(r)
	p.writing.Unlock()
	if err != nil {
		p.forget(r.ID)
		return response{}, fmt.Errorf("node %s: %w", p.name, err)
	}
	select {
	case a, ok := <-answer:
		if !ok {
			p.mu.Lock()
			defer p.mu.Unlock()
			return a, p.err
		}
		if a.Error != "" {
			return a, errorOf(a.Error)
		}
		return a, nil
	case <-ctx.Done():
		p.forget(r.ID)
		return response{}, context.Cause(ctx)
	}
}

func (p *processNode) forget(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, id)
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

// Kill is kill -9.
func (p *processNode) Kill() error {
	// It fails if the process has ended already, which is what is wanted.
	_ = p.cmd.Process.Kill()
	<-p.gone
	return nil
}

// Close ends the process's input, upon which it closes the node and ends.
func (p *processNode) Close() error {
	p.writing.Lock()
	err := p.stdin.Close()
	p.writing.Unlock()
	late := time.NewTimer(closePatience)
	defer late.Stop()
	select {
	case <-p.gone:
		return err
	case <-late.C:
		return errors.Join(err, p.Kill(),
			fmt.Errorf("node %s: did not end within %v and was killed", p.name, closePatience))
	}
}

// A head keeps the first lines that were written to it: what a process that fails has to say.
type head struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (h *head) Write(b []byte) (int, error) {
	const most = 2000
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf.Write(b[:min(len(b), max(0, most-h.buf.Len()))])
	return len(b), nil
}

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.TrimSpace(h.buf.String())
}
