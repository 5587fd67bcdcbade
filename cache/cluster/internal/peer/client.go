package peer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/snowfence/snowfence/courier"
)

// An Address says where one incarnation of a node is reached.
type Address struct {
	Node        string
	URL         string // that its Server is mounted under
	Incarnation uint64
}

// A Client asks the Servers of other nodes. Its methods may be called by several goroutines at a
// time.
type Client struct {
	config Config
	rt     http.RoundTripper // nil if each target has one of its own

	closed context.Context
	close  context.CancelCauseFunc

	mu      sync.RWMutex // guards targets
	targets map[Address]*target
}

// NewClient returns a Client that sends its requests by rt or, if rt is nil, to each node by a
// DefaultTransport.
func NewClient(c Config, rt http.RoundTripper) *Client {
	k := &Client{config: c, rt: rt, targets: make(map[Address]*target)}
	k.closed, k.close = context.WithCancelCause(context.Background())
	return k
}

// Fetch asks a node for the value of key. The node must have applied the deletes that after stands
// for before it answers. Fetch blocks until there is an answer, the node has been silent for
// Config.PeerTimeout, or ctx ends.
//
// The error is a *MisplacedError, a *SuspectError, a *LoadError, an *UnavailableError, or the cause
// of ctx if that has ended.
func (c *Client) Fetch(ctx context.Context, to Address, key string, after []byte) (Value, error) {
	body := encodeFetch(key, after, courier.LateAge(ctx))
	a, err := c.ask(ctx, to, question{fetchEndpoint, body, to.Node, c.config.MaxValue, nil})
	if err != nil {
		return Value{}, err
	}
	return a.result(to.Node, key)
}

// Try does what Fetch does for a key whose load may end the node. The node is to load it though it
// may not own it, and gets record, which is what this node knows of the key.
func (c *Client) Try(
	ctx context.Context, to Address, key string, after, record []byte,
) (Value, error) {
	body := append(appendPart(nil, record), encodeFetch(key, after, courier.LateAge(ctx))...)
	a, err := c.ask(ctx, to, question{tryEndpoint, body, to.Node, c.config.MaxValue, nil})
	if err != nil {
		return Value{}, err
	}
	return a.result(to.Node, key)
}

// Exchange sends a message about deletes, and returns the answering one. It also asks a node that
// is passed over. It blocks like Fetch, and its error is an *UnavailableError, or the cause of ctx
// if that has ended.
func (c *Client) Exchange(ctx context.Context, to Address, message []byte) ([]byte, error) {
	a, err := c.ask(ctx, to, question{deletesEndpoint, message, to.Node, c.config.MaxMessage, nil})
	if err != nil {
		return nil, err
	}
	switch a.kind {
	case failed:
		err = fmt.Errorf("it failed: %s: %s", a.failure.Kind, a.failure.Message)
	case misplaced:
		err = errors.New("an answer to another kind of request")
	default:
		return a.body, nil
	}
	return nil, &UnavailableError{Node: to.Node, Reason: Rubbish, Err: err}
}

// question is one request, and the limits of its answer.
type question struct {
	endpoint endpoint
	body     []byte
	node     string
	limit    int                // bytes of the value, or message, that comes back
	decode   func([]byte) error // decodes the value before it counts as an answer; may be nil
}

// ask sends one request, unless the node is passed over, and gives the breaker its outcome.
func (c *Client) ask(ctx context.Context, to Address, q question) (reply, error) {
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
	if q.endpoint != deletesEndpoint {
		if err := c.takeConn(ctx, t); err != nil {
			return reply{}, err
		}
		defer t.conns.Release(1)
	}
	trace := c.trace(ctx)
	done, err := t.breaker.Allow()
	switch {
	case err == nil:
	case q.endpoint == deletesEndpoint:
		// no caller waits for it, and it has to arrive as soon as possible
		done = func(error) {}
	default:
		return reply{}, t.passedOver()
	}
	health, f := errNoOutcome, (*failure)(nil)
	defer func() { // also if the RoundTripper panics
		done(health)
		c.logHealth(t, health, f)
	}()
	a, err := c.attempt(ctx, t, q, trace)
	if errors.As(err, &f) && f.stale && ctx.Err() == nil {
		// The node closed the connection before this request: the connection was idle, or the node has
		// restarted. A request may be done twice.
		f = nil
		closeIdle(t.rt)
		a, err = c.attempt(ctx, t, q, trace)
		if errors.As(err, &f) && (f.reason == NotListening || f.restarted) {
			f.reason = Lost // the process that had the first request is gone
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
	if !errors.As(err, &f) {
		f = fail(Unreachable, err)
	}
	if health = f.health(); health != nil {
		t.lastFailure.Store(f)
	}
	if f.reason == Silent || f.reason == NoLifeSigns {
		closeIdle(t.rt) // they are dead too if the line is
	}
	return reply{}, &UnavailableError{Node: to.Node, Reason: f.reason, Err: f.err}
}

// takeConn takes one of the connections to a node. If all are in use, as in a burst, it waits for
// half of Config.PeerTimeout. If they are still in use then, as by long loads, the caller is no
// worse off without the node.
func (c *Client) takeConn(ctx context.Context, t *target) error {
	if t.conns.TryAcquire(1) {
		return nil
	}
	wait, stop := context.WithTimeout(ctx, c.peerTimeout()/2)
	defer stop()
	switch {
	case t.conns.Acquire(wait, 1) == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return &UnavailableError{Node: t.to.Node, Reason: Busy, Err: errTooManyRequests}
}

// Breaker returns "closed" if the node is asked, "open" if it is passed over, and "half-open" if
// one request tries it.
func (c *Client) Breaker(to Address) string {
	t := c.known(to)
	if t == nil || t.breaker == nil {
		return "closed"
	}
	return t.breaker.State().String()
}

// Failure returns how the last failed request to a node failed, or "" if the node is asked.
func (c *Client) Failure(to Address) string {
	t := c.known(to)
	switch {
	case t == nil:
		return ""
	case t.err != nil:
		return t.err.Error()
	}
	last := t.lastFailure.Load()
	if last == nil || t.breaker.State() == gobreaker.StateClosed {
		return ""
	}
	return last.reason.String() + ": " + last.Error()
}

// Forget drops the state of the addresses for which keep returns false. keep must not call the
// Client.
func (c *Client) Forget(keep func(Address) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for a, t := range c.targets {
		if !keep(a) {
			closeIdle(t.rt)
			delete(c.targets, a)
		}
	}
}

// Close ends the requests that are under way, and closes idle connections. These requests, and
// later ones, fail with Reason Closing. It does not block.
func (c *Client) Close() {
	c.close(ErrClosing)
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, t := range c.targets {
		closeIdle(t.rt)
	}
}

// known returns the state of an address that was asked before, or nil.
func (c *Client) known(to Address) *target {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.targets[to]
}

// target returns the state of an address, a new one if it was not asked before.
func (c *Client) target(to Address) *target {
	if t := c.known(to); t != nil {
		return t
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.targets[to]
	if t == nil {
		t = newTarget(&c.config, to, c.rt)
		c.targets[to] = t
	}
	return t
}

// failure says why there is no answer, before it is known whether the caller has left.
type failure struct {
	reason     Reason
	err        error
	nodeIsWell bool // the breaker counts it as a success
	stale      bool // the connection had been used before, and no byte of a response came
	// another incarnation of the node has answered
	restarted bool
}

func fail(r Reason, err error) *failure { return &failure{reason: r, err: err} }

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// health returns the outcome that the breaker counts.
func (f *failure) health() error {
	if f.nodeIsWell || f.reason == Busy || f.reason == Closing || f.reason == Unsendable {
		return nil
	}
	return f.err
}

// logHealth logs that a node is passed over, and why, or that it works again. Each is logged once
// until the other.
func (c *Client) logHealth(t *target, health error, f *failure) {
	log := c.config.Logger.With
	switch {
	case health == nil:
		if t.logged.Load() != 0 && t.breaker.State() == gobreaker.StateClosed && t.logged.Swap(0) != 0 {
			log("peer", t.to.Node, "url", t.to.URL).Info("a node of this cache works again")
		}
	case f != nil && t.breaker.State() == gobreaker.StateOpen:
		bit := uint32(1) << f.reason
		if t.logged.Or(bit)&bit != 0 {
			return
		}
		log := log("peer", t.to.Node, "url", t.to.URL, "reason", f.reason.String(), "error", f.err)
		if advice := f.reason.Advice(); advice != "" {
			log.Warn("a node of this cache can't be asked", "advice", advice)
		} else {
			log.Info("a node of this cache does not answer and is passed over")
		}
	}
}

// peerTimeout returns Config.PeerTimeout, or the shortest one for which a timer makes sense.
func (c *Client) peerTimeout() time.Duration { return max(c.config.PeerTimeout, time.Millisecond) }
