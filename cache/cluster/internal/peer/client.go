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

// An Address is where one run of a node is reached.
type Address struct {
	Node        string
	URL         string // what its Server is mounted under
	Incarnation uint64
}

// A Client asks other nodes' Servers. Its methods may be called at the same time.
type Client struct {
	config Config
	rt     http.RoundTripper // nil: each target has one of its own

	closed context.Context
	close  context.CancelCauseFunc

	mu      sync.RWMutex // guards targets
	targets map[Address]*target
}

// NewClient makes a Client which sends its requests by rt or, if that is nil, to each node by a
// DefaultTransport.
func NewClient(c Config, rt http.RoundTripper) *Client {
	k := &Client{config: c.withDefaults(), rt: rt, targets: make(map[Address]*target)}
	k.closed, k.close = context.WithCancelCause(context.Background())
	return k
}

// Fetch asks for the value of key, from a node which must have applied the deletes that after
// stands for before it answers. It blocks until there is an answer, the other node is silent for
// Config.Silence, or ctx ends.
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

// Try is Fetch for a key whose load may end the node: the node is to load it though it may not own
// it, and gets what is known here of that.
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

// Exchange sends a message about deletes, and returns the one that comes back, also to a node that
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
		err = errors.New("an answer that is one to another request")
	default:
		return a.body, nil
	}
	return nil, &UnavailableError{Node: to.Node, Reason: Rubbish, Err: err}
}

// question holds one request.
type question struct {
	endpoint endpoint
	body     []byte
	node     string
	limit    int                // bytes of the value, or message, that comes back
	decode   func([]byte) error // reads that before it counts as an answer; nil: nothing to read
}

// ask sends one request, unless the node is passed over, and tells the breaker what became of it.
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
		// nobody waits in vain for it, and it is to arrive as soon as it can
		done = func(error) {}
	default:
		return reply{}, t.passedOver()
	}
	health, f := errNoOutcome, (*failure)(nil)
	defer func() { // also if the RoundTripper panics
		done(health)
		c.note(t, health, f)
	}()
	a, err := c.attempt(ctx, t, q, trace)
	if errors.As(err, &f) && f.stale && ctx.Err() == nil {
		// The node has closed the connection before: it is idle, or was restarted. A request may be
		// done twice.
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
		closeIdle(t.rt) // they are as dead, if the line is
	}
	return reply{}, &UnavailableError{Node: to.Node, Reason: f.reason, Err: f.err}
}

// takeConn takes one of the connections to a node. It waits for half of Config.Silence if all are
// in use, as in a burst: if they are still after that, as by loads that take long, the caller is no
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
	return &UnavailableError{Node: t.to.Node, Reason: Busy, Err: errUnderWay}
}

// Breaker returns "closed" if the node is asked, "open" if it is passed over, "half-open" if one
// request tries it.
func (c *Client) Breaker(to Address) string {
	c.mu.RLock()
	t := c.targets[to]
	c.mu.RUnlock()
	if t == nil || t.breaker == nil {
		return "closed"
	}
	return t.breaker.State().String()
}

// Failure returns how requests to a node failed last, or "" if it is asked.
func (c *Client) Failure(to Address) string {
	c.mu.RLock()
	t := c.targets[to]
	c.mu.RUnlock()
	if t == nil {
		return ""
	}
	if t.err != nil {
		return t.err.Error()
	}
	last := t.lastFailure.Load()
	if last == nil || t.breaker.State() == gobreaker.StateClosed {
		return ""
	}
	return last.reason.String() + ": " + last.Error()
}

// Forget drops what is known of the addresses that keep does not return true for. keep must not
// call the Client.
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

// Close ends the requests that are under way, and closes idle connections. They fail with Reason
// Closing, as do those that are made later. It does not block.
func (c *Client) Close() {
	c.close(ErrClosing)
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, t := range c.targets {
		closeIdle(t.rt)
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
		t = newTarget(&c.config, to, c.rt)
		c.targets[to] = t
	}
	return t
}

// failure is why there is no answer, before it is known whether the caller has left.
type failure struct {
	reason     Reason
	err        error
	nodeIsWell bool // it says nothing against the node
	stale      bool // the connection was used before, and nothing came back over it
	// restarted: another incarnation of the node has answered
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

// note logs that a node is passed over, and why, or that it works again: each once until the other.
func (c *Client) note(t *target, health error, f *failure) {
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

// silence is at least so long that a timer makes sense.
func (c *Client) peerTimeout() time.Duration { return max(c.config.PeerTimeout, time.Millisecond) }
