package peer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/courier"
)

// An Address is where one run of a node is reached.
type Address struct {
	Node string
	URL  string // what its Server is mounted under
	Run  uint64
}

// A Client asks other nodes' Servers. Its methods may be called at the same time. There must be one Client for a run at
// most: two would send the same counters, and be taken for each other's replay.
type Client struct {
	config  Config
	rt      http.RoundTripper
	signer  *signer // nil: requests are not signed
	counter atomic.Uint64

	closed context.Context
	close  context.CancelCauseFunc

	mu      sync.RWMutex
	targets map[Address]*target
}

// NewClient makes a Client which sends its requests by rt, see DefaultTransport.
func NewClient(c Config, rt http.RoundTripper) *Client {
	k := &Client{config: c.withDefaults(), rt: rt, targets: make(map[Address]*target)}
	if len(c.Keys) > 0 {
		k.signer = newSigner(c.Keys[0])
	}
	k.closed, k.close = context.WithCancelCause(context.Background())
	return k
}

// Fetch asks for the value of key, from a node which must have applied the deletes that after stands for before it
// answers. It blocks until there is an answer, the other node is silent for Config.Silence, or ctx ends.
//
// The error is a *MisplacedError, a *LoadError, an *UnavailableError, or the cause of ctx if that has ended.
func (c *Client) Fetch(ctx context.Context, to Address, key string, after []byte) (Value, error) {
	a, err := c.ask(ctx, to, fetchEndpoint, encodeFetch(key, after, courier.LateAge(ctx)), c.config.MaxValue)
	if err != nil {
		return Value{}, err
	}
	switch a.kind {
	case misplaced:
		return Value{}, &MisplacedError{Node: to.Node, Owner: string(a.body)}
	case failed:
		e := a.failure
		e.Node, e.Key = to.Node, key
		return Value{}, e
	}
	return Value{Data: a.body, Keep: a.keep}, nil
}

// Exchange sends a message about deletes, and returns the one that comes back. It blocks like Fetch, and its error is
// an *UnavailableError, or the cause of ctx if that has ended.
func (c *Client) Exchange(ctx context.Context, to Address, message []byte) ([]byte, error) {
	a, err := c.ask(ctx, to, deletesEndpoint, message, c.config.MaxMessage)
	if err != nil {
		return nil, err
	}
	switch a.kind {
	case failed:
		err = fmt.Errorf("it failed: %s: %s", a.failure.Kind, a.failure.Message)
	case misplaced:
		err = errors.New("an answer that is one to another request")
	default:
		return a.body, nil
	}
	return nil, &UnavailableError{Node: to.Node, Reason: Rubbish, Err: err}
}

// ask sends one request, unless the node is passed over, and tells the breaker what became of it.
func (c *Client) ask(ctx context.Context, to Address, e endpoint, body []byte, limit int) (reply, error) {
	if ctx.Err() != nil {
		return reply{}, context.Cause(ctx)
	}
	if c.closed.Err() != nil {
		return reply{}, &UnavailableError{Node: to.Node, Reason: Closing, Err: ErrClosing}
	}
	t := c.target(to)
	if t.err != nil {
		return reply{}, &UnavailableError{Node: to.Node, Reason: Unreachable, Err: t.err}
	}
	trace := c.trace(ctx)
	done, err := t.breaker.Allow()
	if err != nil {
		return reply{}, &UnavailableError{Node: to.Node, Reason: PassedOver, Err: errTooOften}
	}
	health := errAsAbsent
	defer func() { done(health) }() // also if the RoundTripper panics
	a, err := c.attempt(ctx, t, e, body, limit, trace)
	if err == nil && a.kind == signAgain {
		// It has dropped what it knew of our counters, or this request was overtaken by too many others.
		t.epoch.Store(a.epoch)
		a, err = c.attempt(ctx, t, e, body, limit, trace)
		if err == nil && a.kind == signAgain {
			err = fail(Denied, errors.New("it wants the request to be signed again, twice"))
		}
	}
	if err == nil {
		health = nil
		return a, nil
	}
	switch {
	case ctx.Err() != nil:
		return reply{}, context.Cause(ctx)
	case c.closed.Err() != nil:
		return reply{}, &UnavailableError{Node: to.Node, Reason: Closing, Err: ErrClosing}
	}
	var f *failure
	if !errors.As(err, &f) {
		f = fail(Unreachable, err)
	}
	health = f.health()
	return reply{}, &UnavailableError{Node: to.Node, Reason: f.reason, Err: f.err}
}

// Breaker returns "closed" if the node is asked, "open" if it is passed over, "half-open" if one request tries it.
func (c *Client) Breaker(to Address) string {
	c.mu.RLock()
	t := c.targets[to]
	c.mu.RUnlock()
	if t == nil || t.breaker == nil {
		return "closed"
	}
	return t.breaker.State().String()
}

// Forget drops what is known of the addresses that keep does not return true for. keep must not call the Client.
func (c *Client) Forget(keep func(Address) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for a := range c.targets {
		if !keep(a) {
			delete(c.targets, a)
		}
	}
}

// Close ends the requests that are under way, and closes idle connections. They fail with Reason Closing, as do those
// that are made later. It does not block.
func (c *Client) Close() {
	c.close(ErrClosing)
	if t, ok := c.rt.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// target returns what is known of an address.
func (c *Client) target(to Address) *target {
	c.mu.RLock()
	t := c.targets[to]
	c.mu.RUnlock()
	if t != nil {
		return t
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t = c.targets[to]; t == nil {
		t = newTarget(&c.config, to)
		c.targets[to] = t
	}
	return t
}

// failure is why there is no answer, before it is known whether the caller has left.
type failure struct {
	reason   Reason
	err      error
	harmless bool // it says nothing against the node
}

func fail(r Reason, err error) *failure { return &failure{reason: r, err: err} }

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// health is what the breaker is told.
func (f *failure) health() error {
	if f.harmless || f.reason == Busy || f.reason == Closing {
		return nil
	}
	return f.err
}

// silence is at least so long that a timer makes sense.
func (c *Client) silence() time.Duration { return max(c.config.Silence, time.Millisecond) }
