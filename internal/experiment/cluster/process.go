package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A process is a node in a process of its own, which runs Serve.
type process struct {
	name           string
	registry, http string // addresses
	cmd            *exec.Cmd
	noise          *head // what it wrote to standard error

	writing sync.Mutex // keeps orders whole
	stdin   io.WriteCloser
	gone    chan struct{} // closed when the process has ended

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
	p := &process{name: c.Name, noise: &head{}, gone: make(chan struct{})}
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
	ready := make(chan nodeReport, 1)
	go p.read(stdout, ready) // ends with the process, for which kill and leave wait
	// A process that ends at once may do so before it was told: what it says then is the error.
	sent := p.send(c)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case r := <-ready:
		p.registry, p.http = r.Registry, r.HTTP
		return p, nil
	case <-p.gone:
		return nil, fmt.Errorf("node %s: its process has ended: %s", c.Name, p.noise)
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timer.C:
		err = errors.Join(sent, fmt.Errorf("node %s: not ready after %v", c.Name, patience))
	}
	p.kill()
	return nil, err
}

// read takes reports until the process ends.
func (p *process) read(stdout io.Reader, ready chan<- nodeReport) {
	defer close(p.gone)
	d := json.NewDecoder(bufio.NewReaderSize(stdout, 1<<16))
	for first := true; ; first = false {
		var r nodeReport
		if err := d.Decode(&r); err != nil {
			break
		}
		if first {
			ready <- r
			continue
		}
		p.mu.Lock()
		p.records = append(p.records, r.Ended...)
		p.views = append(p.views, r.Views...)
		p.letDown, p.givenUp = append(p.letDown, r.LetDown...), append(p.givenUp, r.GivenUp...)
		r.Ended, r.Views, r.LetDown, r.GivenUp = nil, nil, nil, nil
		p.last = r
		p.mu.Unlock()
	}
	_ = p.cmd.Process.Kill() // what it writes can't be understood, or it has ended
	_ = p.cmd.Wait()         // how it ended does not matter: its reports tell what is missing
}

func (p *process) send(line any) error {
	b, err := json.Marshal(line)
	if err != nil {
		return err
	}
	p.writing.Lock()
	defer p.writing.Unlock()
	if _, err = p.stdin.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("node %s: %w", p.name, err)
	}
	return nil
}

// seen returns the last report.
func (p *process) seen() nodeReport {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func (p *process) signal(s os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = s == stopSignal
	return p.cmd.Process.Signal(s)
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

// kill is kill -9.
func (p *process) kill() {
	p.mark()
	_ = p.cmd.Process.Kill() // it fails if the process has ended already, which is what is wanted
	_ = p.stdin.Close()
	<-p.gone
}

// leave has the node end in good order.
func (p *process) leave() error {
	p.mark()
	err := p.send(order{Leave: true})
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.gone:
		_ = p.stdin.Close()
		return nil
	case <-timer.C:
		p.kill()
		return errors.Join(err, fmt.Errorf("node %s: did not end within %v and was killed", p.name,
			patience))
	}
}

// A head keeps the first bytes that were written to it: what a process that fails has to say.
type head struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (h *head) Write(b []byte) (int, error) {
	const most = 2000
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text.Write(b[:min(len(b), max(0, most-h.text.Len()))])
	return len(b), nil
}

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.TrimSpace(h.text.String())
}
