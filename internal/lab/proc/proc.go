// Package proc runs programs that read lines of JSON from their standard input and write lines of
// JSON to their standard output.
package proc

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A Process is a running program. Its methods are safe for concurrent use.
type Process struct {
	name   string
	cmd    *exec.Cmd
	stderr head

	writing sync.Mutex // serialises writes to the input
	stdin   io.WriteCloser

	gone chan struct{}
	err  error // set before gone is closed
}

// Start runs a command line and calls take with each line that the program writes, one after the
// other. The name is for errors. The caller must wait until the process is gone.
func Start[T any](name string, command []string, take func(T)) (*Process, error) {
	p := &Process{name: name, gone: make(chan struct{})}
	p.cmd = exec.Command(command[0], command[1:]...) //nolint:gosec,noctx // our own program; see Kill
	p.cmd.Stderr = &p.stderr
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() { // until the process ends
		defer close(p.gone)
		d := json.NewDecoder(bufio.NewReaderSize(stdout, 1<<16))
		var err error
		for {
			var line T
			if err = d.Decode(&line); err != nil {
				break
			}
			take(line)
		}
		p.err = p.wait(err)
	}()
	return p, nil
}

// wait waits for the end of a process whose output ended with the given error.
func (p *Process) wait(output error) error {
	garbage := !errors.Is(output, io.EOF) && !errors.Is(output, io.ErrUnexpectedEOF)
	if garbage {
		_ = p.cmd.Process.Kill() // otherwise it would block on its output
	}
	err := p.cmd.Wait()
	switch text := p.stderr.String(); {
	case garbage:
		err = fmt.Errorf("its output is no JSON: %w", output)
	case err == nil:
		return nil
	case text != "":
		err = errors.New(text)
	}
	return fmt.Errorf("%s: its process has ended: %w", p.name, err)
}

// Send writes a value as a line of JSON to the program's input.
func (p *Process) Send(line any) error {
	b, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	select {
	case <-p.gone:
		return p.Ended()
	default:
	}
	p.writing.Lock()
	defer p.writing.Unlock()
	if _, err = p.stdin.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// Gone returns a channel that is closed when the process has ended and take has returned for its
// last line.
func (p *Process) Gone() <-chan struct{} { return p.gone }

// Err waits until the process is gone. It returns nil if the exit status was 0, and otherwise an
// error with the beginning of what the program wrote to standard error.
func (p *Process) Err() error {
	<-p.gone
	return p.err
}

// Ended returns Err for callers that did not expect the end: it never returns nil.
func (p *Process) Ended() error {
	return cmp.Or(p.Err(), fmt.Errorf("%s: its process has ended", p.name))
}

// Kill kills the process (kill -9) and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it fails if the process has ended
	<-p.gone
}

// Close closes the program's input, upon which the program should end. If the process is not gone
// after patience, Close kills it and returns an error.
func (p *Process) Close(patience time.Duration) error {
	p.writing.Lock()
	err := p.stdin.Close()
	p.writing.Unlock()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-p.gone:
		return nil
	case <-late.C:
		p.Kill()
		return errors.Join(err, fmt.Errorf("%s: did not end within %v and was killed", p.name, patience))
	}
}

// A head keeps the first bytes written to it.
type head struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

// Write implements io.Writer.
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
