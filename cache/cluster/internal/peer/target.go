package peer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/sync/semaphore"
)

const (
	// maxFailures failures in a row make a Client pass a node over.
	maxFailures = 5
	// rest is the minimum time for which it is passed over; twice that is the maximum. Each Client and
	// address has its own time, so that the nodes of a cluster don't all try at once.
	rest = time.Second
)

var (
	errNotTLS = errors.New("its URL is http, and this node has Options.SharedKeys or TLS, " +
		"so nothing is sent to it")
	errTooManyRequests = errors.New("the maximum number of requests to it is under way")
	// for the breaker: the request counts neither way
	errNoOutcome = errors.New("peer: the caller has left")
)

// target is a Client's state of one address.
type target struct {
	to      Address
	urls    map[endpoint]*url.URL
	header  http.Header // of each request; immutable
	rt      http.RoundTripper
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	err     error // why it can't be asked; nil if it can

	conns       *semaphore.Weighted     // a connection for each request for values, maxConns at most
	signsLost   atomic.Bool             // some of its life signs have not arrived
	logged      atomic.Uint32           // what was logged since it last worked, a bit for each Reason
	lastFailure atomic.Pointer[failure] // how it failed last
}

// newTarget returns the state of an address that is asked by rt. If rt is nil it has a transport of
// its own, so that its idle connections can be closed without those of other nodes.
func newTarget(c *Config, to Address, rt http.RoundTripper) *target {
	t := &target{to: to, rt: rt, conns: semaphore.NewWeighted(maxConns)}
	base, err := url.Parse(to.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		t.err = fmt.Errorf("URL %q: want an absolute http or https URL", to.URL)
		return t
	}
	t.urls = make(map[endpoint]*url.URL, len(endpoints))
	for _, e := range endpoints {
		u := *base
		u.Path = strings.TrimRight(u.Path, "/") + "/v" + version + "/" + string(e)
		u.RawPath, u.RawQuery, u.Fragment = "", "", ""
		t.urls[e] = &u
	}
	if rt == nil {
		config := c.TLS
		if c.Identity != nil {
			config = c.Identity.Config()
		}
		t.rt = DefaultTransport(config)
	}
	t.header = http.Header{
		headerRequest:  {requestHeader(c, to.Incarnation)},
		"Content-Type": {contentType},
		// A proxy must not compress answers: their lengths are checked.
		"Accept-Encoding": {"identity"},
	}
	t.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1,
		Timeout:     rest + rand.N(rest), //nolint:gosec // not a secret: it spreads the tries
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= maxFailures },
		IsExcluded:  func(err error) bool { return errors.Is(err, errNoOutcome) },
	})
	return t
}

// passedOver returns the error for a request that is not sent since the node has failed too often.
func (t *target) passedOver() error {
	const text = "it has failed too often, and is tried again soon"
	err := errors.New(text)
	if last := t.lastFailure.Load(); last != nil {
		// Not wrapped: it is the error of another request.
		err = fmt.Errorf(text+"; last: %v: %v", last.reason, last.err)
	}
	return &UnavailableError{Node: t.to.Node, Reason: PassedOver, Err: err}
}

// closeIdle closes the connections of rt that no request uses.
func closeIdle(rt http.RoundTripper) {
	if t, ok := rt.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}
