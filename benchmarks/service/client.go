package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/snowfence/snowfence/internal/lab/pace"
)

// An arrival is a request that is due.
type arrival struct {
	due time.Duration
	id  uint64
}

// A pool has connections to one server, which it keeps alive. The one that was used last is used
// next, as http.Transport does. It is not used here, since its processor time would be as much as
// the server's, on the same cores.
type pool struct {
	address string
	most    int // connections
	clock   pace.Clock
	tally   *tally
	clients sync.WaitGroup

	mu      sync.Mutex
	opened  int
	idle    []*client
	waiting []arrival // for a connection, while all are busy
	done    bool
}

// A client has one connection and a goroutine, which ends when next is closed.
type client struct {
	address string
	next    chan arrival // with room for one, since an idle client gets only one
	request []byte
	conn    net.Conn // nil: there is none
	reader  *bufio.Reader
}

// give sends a request by a connection that is idle or new, or makes it wait for one.
func (p *pool) give(ctx context.Context, a arrival) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch last := len(p.idle) - 1; {
	case last >= 0:
		p.idle[last].next <- a
		p.idle = p.idle[:last]
	case p.opened < p.most:
		p.opened++
		c := &client{address: p.address, next: make(chan arrival, 1)}
		c.next <- a
		p.clients.Go(func() { p.run(ctx, c) })
	default:
		p.waiting = append(p.waiting, a)
	}
}

// finish waits for the answers to what was given. Nothing may be given from then on.
func (p *pool) finish() {
	p.mu.Lock()
	p.done = true
	for _, c := range p.idle {
		close(c.next)
	}
	p.mu.Unlock()
	p.clients.Wait()
	p.tally.opened = p.opened
}

func (p *pool) run(ctx context.Context, c *client) {
	defer c.close()
	for a := range c.next {
		for more := true; more; a, more = p.rest(c) {
			status, err := c.get(ctx, a.id)
			if err != nil {
				status = 0
			}
			p.tally.end(a.due, p.clock.Now(), status)
		}
	}
}

// rest returns a request that waits for a connection. If there is none, the client is idle.
func (p *pool) rest(c *client) (a arrival, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case len(p.waiting) > 0:
		a, p.waiting = p.waiting[0], p.waiting[1:]
		return a, true
	case p.done:
		close(c.next)
	default:
		p.idle = append(p.idle, c)
	}
	return arrival{}, false
}

// get asks for a row and returns the status of the answer. After an error, the next call opens
// another connection.
func (c *client) get(ctx context.Context, id uint64) (status int, err error) {
	if err := c.dial(ctx); err != nil {
		return 0, err
	}
	status, err = c.ask(id)
	if err != nil {
		c.close()
	}
	return status, err
}

// dial opens a connection, unless there is one. It is closed when ctx ends.
func (c *client) dial(ctx context.Context) (err error) {
	if c.conn != nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if c.conn, err = new(net.Dialer).DialContext(ctx, "tcp", c.address); err != nil {
		c.conn = nil
		return err
	}
	conn := c.conn
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	c.reader = bufio.NewReader(conn)
	return nil
}

func (c *client) ask(id uint64) (status int, err error) {
	c.request = fmt.Appendf(slices.Grow(c.request[:0], 64),
		"GET /rows/%d HTTP/1.1\r\nHost: %s\r\n\r\n", id, c.address)
	if _, err := c.conn.Write(c.request); err != nil {
		return 0, err
	}
	answer, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return 0, err
	}
	return answer.StatusCode, nil
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}
