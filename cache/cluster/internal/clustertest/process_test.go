package clustertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is a node as the test sees it.
type process struct {
	spec        spec
	incarnation int // counts the node's processes
	cmd         *exec.Cmd
	origin      *origin
	log         *tail
	queue       *queue
	gone        chan struct{} // closed when the process has ended
	opened      chan *reply

	mu      sync.Mutex // guards all below
	last    uint64
	waiting map[uint64]chan *reply
	ended   bool
	stopped bool // by SIGSTOP
}

var (
	errEnded     = errors.New("the process has ended")
	errSilent    = errors.New("the process does not answer")
	errDuplicate = errors.New("the name is taken")
	errNoPause   = fmt.Errorf("pausing a process needs SIGSTOP, which %s lacks", runtime.GOOS)
)

// startProcess runs the test binary again, as a node, and waits until it is open.
func startProcess(tb testing.TB, s *spec, run int, o *origin) (*process, error) {
	tb.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{
		spec: *s, incarnation: run, origin: o, log: newTail(tb, s.Name), gone: make(chan struct{}),
		opened: make(chan *reply, 1), waiting: make(map[uint64]chan *reply),
		//nolint:noctx // killed by its owner, also when the test's context has ended
		cmd: exec.Command(self),
	}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(text), "GOMAXPROCS=2")
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.queue = newQueue(in)
	go p.read(out)
	tb.Cleanup(p.kill)
	opened, err := p.await(p.opened)
	if err != nil {
		p.kill()
		return nil, err
	}
	if opened.Duplicate {
		p.kill()
		return nil, fmt.Errorf("%w: %s", errDuplicate, opened.Error)
	}
	if opened.Error != "" {
		p.kill()
		return nil, errors.New(opened.Error)
	}
	return p, nil
}

// read takes what the process writes, until its end.
func (p *process) read(out io.Reader) {
	dec := json.NewDecoder(out)
	for {
		var m message
		if dec.Decode(&m) != nil {
			break
		}
		switch {
		case m.Load != nil:
			p.origin.load(p, m.Load)
		case m.Left != 0:
			p.origin.left(p, m.Left)
		case m.Reply != nil && m.Reply.ID == 0:
			p.opened <- m.Reply
		case m.Reply != nil:
			p.mu.Lock()
			waiting := p.waiting[m.Reply.ID]
			delete(p.waiting, m.Reply.ID)
			p.mu.Unlock()
			if waiting != nil {
				waiting <- m.Reply
			}
		}
	}
	_ = p.cmd.Wait() // fails if it was killed
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.queue.close()
	p.origin.ended(p)
	close(p.gone)
}

func (p *process) await(replies <-chan *reply) (*reply, error) {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case r := <-replies:
		return r, nil
	case <-p.gone:
		return nil, errEnded
	case <-t.C:
		p.log.grow()
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // the runtime shows in the log where it hangs
		return nil, errSilent
	}
}

// A call is a command whose reply is still to come.
type call struct {
	p     *process
	id    uint64
	reply chan *reply
}

// begin sends a command.
func (p *process) begin(c command) *call {
	replies := make(chan *reply, 1)
	p.mu.Lock()
	p.last++
	c.ID = p.last
	p.waiting[c.ID] = replies
	p.mu.Unlock()
	p.queue.put(&c)
	return &call{p, c.ID, replies}
}

func (c *call) wait() (*reply, error) {
	r, err := c.p.await(c.reply)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", c.p.spec.Name, err)
	}
	for i := range r.Results {
		r.Results[i].Node, r.Results[i].Incarnation = c.p.spec.Name, c.p.incarnation
	}
	return r, nil
}

func (p *process) do(c command) (*reply, error) { return p.begin(c).wait() }

// alive reports whether the process runs, and is not stopped.
func (p *process) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.ended && !p.stopped
}

// kill kills the process with SIGKILL.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails if it has ended
	<-p.gone
}

// pause stops the process with SIGSTOP, resume lets it go on.
func (p *process) pause() error {
	if stopSignal == nil {
		return errNoPause
	}
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	return p.cmd.Process.Signal(stopSignal)
}

func (p *process) resume() error {
	p.mu.Lock()
	p.stopped = false
	p.mu.Unlock()
	return p.cmd.Process.Signal(continueSignal)
}

// A queue writes commands to a process without blocking those that put them, since a stopped
// process reads nothing.
type queue struct {
	mu   sync.Mutex // guards list and done
	cond *sync.Cond
	list []*command
	done bool
}

func newQueue(in io.WriteCloser) *queue {
	q := new(queue)
	q.cond = sync.NewCond(&q.mu)
	go func() {
		defer func() { _ = in.Close() }()
		enc := json.NewEncoder(in)
		for {
			q.mu.Lock()
			for len(q.list) == 0 && !q.done {
				q.cond.Wait()
			}
			list, done := q.list, q.done
			q.list = nil
			q.mu.Unlock()
			for _, c := range list {
				if enc.Encode(c) != nil {
					return // it has ended
				}
			}
			if done {
				return
			}
		}
	}()
	return q
}

func (q *queue) put(c *command) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.done {
		q.list = append(q.list, c)
		q.cond.Signal()
	}
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.done = true
	q.cond.Signal()
}

// A tail keeps the end of a node's log, and shows it if the test fails.
type tail struct {
	mu  sync.Mutex // guards what follows
	buf bytes.Buffer
	max int
}

const tailBytes = 16 << 10

// grow keeps more from now on.
func (t *tail) grow() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.max = 1 << 20
}

func newTail(tb testing.TB, node string) *tail {
	tb.Helper()
	t := &tail{max: tailBytes}
	tb.Cleanup(func() {
		if tb.Failed() {
			t.mu.Lock()
			defer t.mu.Unlock()
			tb.Logf("the log of node %s ends:\n%s", node, t.buf.String())
		}
	})
	return t
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(b)
	if over := t.buf.Len() - t.max; over > 0 {
		t.buf.Next(over)
	}
	return len(b), nil
}
