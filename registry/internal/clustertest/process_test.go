package clustertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// A process is a node in a process of its own.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	enc   *json.Encoder
	reply chan *reply // closed when the process has ended
	done  chan struct{}
	log   *tail
	endings
}

// startProcess runs the test binary again, as a node, and waits until it is open.
func startProcess(tb testing.TB, s *spec) (caller, string, error) {
	tb.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		return nil, "", err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	args := []string{self}
	if s.Namespace != "" {
		// ip replaces itself with the command
		args = append([]string{"ip", "netns", "exec", s.Namespace}, args...)
	}
	p := &process{
		//nolint:noctx // killed by its owner, even after the test's context has ended
		cmd:   exec.Command(args[0], args[1:]...),
		reply: make(chan *reply, 1), done: make(chan struct{}), log: newTail(tb, s.Name),
	}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(text), "GOMAXPROCS=2")
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, "", err
	}
	p.enc = json.NewEncoder(p.in)
	if err := p.cmd.Start(); err != nil {
		return nil, "", err
	}
	go p.read(out)
	tb.Cleanup(func() { _ = p.kill() })
	opened, err := p.await()
	if err != nil {
		return nil, "", err
	}
	return p, opened.Addr, nil
}

// read reads the output of the process until its end.
func (p *process) read(out io.Reader) {
	dec := json.NewDecoder(out)
	for {
		var l line
		if dec.Decode(&l) != nil {
			break
		}
		if l.Ended != nil {
			p.add(*l.Ended)
		}
		if l.Reply != nil {
			p.reply <- l.Reply
		}
	}
	_ = p.cmd.Wait() // the error is that it was killed
	close(p.reply)
	close(p.done)
}

var errEnded = errors.New("the process has ended")

func (p *process) await() (*reply, error) {
	select {
	case r, ok := <-p.reply:
		switch {
		case !ok:
			return nil, errEnded
		case r.Duplicate:
			return nil, fmt.Errorf("%w: %s", errDuplicate, r.Error)
		case r.Error != "":
			return nil, errors.New(r.Error)
		}
		return r, nil
	case <-time.After(patience):
		return nil, errors.New("the process does not answer")
	}
}

func (p *process) call(q *request) (*reply, error) {
	if err := p.enc.Encode(q); err != nil {
		return nil, err
	}
	return p.await()
}

// kill kills the process (SIGKILL).
func (p *process) kill() error {
	err := p.cmd.Process.Kill()
	<-p.done
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// exit makes the process end by itself.
func (p *process) exit() error {
	if err := p.enc.Encode(&request{Op: "exit"}); err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		return errors.New("the process does not end")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the process ended with %d", code)
	}
	return nil
}

// A tail keeps the end of a node's log, and shows it if the test fails.
type tail struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

const tailBytes = 16 << 10

func newTail(tb testing.TB, node string) *tail {
	tb.Helper()
	t := new(tail)
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
	if over := t.buf.Len() - tailBytes; over > 0 {
		t.buf.Next(over)
	}
	return len(b), nil
}
