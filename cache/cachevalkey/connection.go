package cachevalkey

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/valkey-io/valkey-go"
)

// maxCalls bounds the calls of a connection that are under way. It is below the number of places
// in the queue of a valkey.Client, since a caller that waits for such a place does not heed its
// context.
const maxCalls = 256

// closeGrace bounds the wait for calls that were cancelled before the client is closed.
const closeGrace = time.Second

// A connection is a valkey.Client that is made at the first call, and again after that has failed.
// Each call runs in a goroutine of its own, which goes on if the caller leaves. So no caller waits
// longer than its context lives, while the client dials or its queue is full. And no caller who is
// in a hurry makes the attempt to connect again fail for all, as it would with its own context.
type connection struct {
	option valkey.ClientOption
	places chan struct{} // holds an element for each call, those included whose callers have left
	life   context.Context
	end    context.CancelFunc

	mu      sync.Mutex // guards the following, and running from growing once life has ended
	client  valkey.Client
	attempt *attempt // to make the client; nil: none is under way

	running sync.WaitGroup // calls and attempts
}

// An attempt to make a client. The fields are set before done is closed.
type attempt struct {
	done   chan struct{}
	client valkey.Client
	err    error
}

func newConnection(life context.Context, option valkey.ClientOption) *connection {
	c := &connection{option: option, places: make(chan struct{}, maxCalls)}
	c.life, c.end = context.WithCancel(life)
	return c
}

// call calls f with the client and waits until it has returned or ctx has ended.
func call[T any](
	ctx context.Context, c *connection, f func(context.Context, valkey.Client) (T, error),
) (result T, err error) {
	client, err := c.get(ctx)
	if err != nil {
		return result, err
	}
	select {
	case c.places <- struct{}{}:
	case <-ctx.Done():
		return result, fmt.Errorf("cachevalkey: %d calls wait for the server: %w", maxCalls, ctx.Err())
	}
	if !c.begin() {
		<-c.places
		return result, ErrClosed
	}
	type outcome struct {
		result T
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		defer c.running.Done()
		defer func() { <-c.places }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.longest())
		defer cancel()
		defer context.AfterFunc(c.life, cancel)()
		defer func() { // a malformed redirection makes the client panic
			if p := recover(); p != nil {
				done <- outcome{err: fmt.Errorf("cachevalkey: the client panicked: %v", p)}
			}
		}()
		result, err := f(ctx, client)
		if err != nil && c.life.Err() != nil {
			err = ErrClosed
		}
		done <- outcome{result, err}
	}()
	select {
	case o := <-done:
		return o.result, o.err
	case <-ctx.Done():
		return result, fmt.Errorf("cachevalkey: the server has not answered: %w", ctx.Err())
	}
}

// longest bounds a call whose caller has left: for as long the client may take to connect, and to
// find out that nothing comes.
func (c *connection) longest() time.Duration {
	return c.option.Dialer.Timeout + c.option.ConnWriteTimeout
}

// get returns the client. It waits for one that is being made until ctx ends.
func (c *connection) get(ctx context.Context) (valkey.Client, error) {
	c.mu.Lock()
	if c.life.Err() != nil {
		c.mu.Unlock()
		return nil, ErrClosed
	}
	if c.client != nil {
		defer c.mu.Unlock()
		return c.client, nil
	}
	if c.attempt == nil {
		c.attempt = &attempt{done: make(chan struct{})}
		c.running.Add(1)
		go c.connect(c.attempt)
	}
	a := c.attempt
	c.mu.Unlock()
	select {
	case <-a.done:
		return a.client, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("cachevalkey: connecting to %v: %w", c.option.InitAddress, ctx.Err())
	}
}

// connect makes the client. The time-outs of its option bound how long that takes.
func (c *connection) connect(a *attempt) {
	defer c.running.Done()
	client, err := valkey.NewClient(c.option)
	if err != nil {
		if client != nil {
			client.Close()
		}
		a.err = fmt.Errorf("cachevalkey: connecting to %v: %w", c.option.InitAddress, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempt = nil
	switch {
	case err != nil:
	case c.life.Err() != nil:
		client.Close()
		a.err = ErrClosed
	default:
		a.client, c.client = client, client
	}
	close(a.done)
}

// begin counts a call, unless close was called.
func (c *connection) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil {
		return false
	}
	c.running.Add(1)
	return true
}

// close cancels all calls and waits until no goroutine is left.
func (c *connection) close() {
	c.mu.Lock()
	c.end()
	client := c.client
	c.client = nil
	c.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		c.running.Wait()
		close(idle)
	}()
	// A client that is closed while it dials forgets the new connection.
	late := time.NewTimer(closeGrace)
	defer late.Stop()
	select {
	case <-idle:
	case <-late.C:
	}
	if client != nil {
		client.Close()
	}
	<-idle
}
