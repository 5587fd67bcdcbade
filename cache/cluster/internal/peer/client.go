package peer

import (
	"context"
	"crypto/tls"
	"net/http"
)

// An Address is where one run of a node is reached.
type Address struct {
	Node string
	URL  string // what its Server is mounted under
	Run  uint64
}

// A Client asks other nodes' Servers. Its methods may be called at the same time.
type Client struct {
	config Config
	rt     http.RoundTripper
}

// NewClient makes a Client which sends its requests by rt, see DefaultTransport.
func NewClient(c Config, rt http.RoundTripper) *Client {
	return &Client{config: c.withDefaults(), rt: rt}
}

// Fetch asks for the value of key. It blocks until there is an answer, the other node is silent for Config.Silence, or ctx ends.
//
// The error is a *MisplacedError, a *LoadError, an *UnavailableError, or the cause of ctx if that has ended.
func (c *Client) Fetch(ctx context.Context, to Address, key string, after []byte) (Value, error) {
	return Value{}, &UnavailableError{Node: to.Node, Reason: Unreachable, Err: errNotYet}
}

// Exchange sends a message about deletes, and returns the one that comes back. It blocks like Fetch, and its error is an
// *UnavailableError, or the cause of ctx if that has ended.
func (c *Client) Exchange(ctx context.Context, to Address, message []byte) ([]byte, error) {
	return nil, &UnavailableError{Node: to.Node, Reason: Unreachable, Err: errNotYet}
}

// Breaker returns "closed" if the node is asked, "open" if it is passed over, "half-open" if one request tries it.
func (c *Client) Breaker(to Address) string { return "closed" }

// Forget drops what is known of the nodes that keep does not return true for.
func (c *Client) Forget(keep func(Address) bool) {}

// Close ends the requests that are under way, and closes idle connections. Requests made later fail with Reason Closing.
func (c *Client) Close() {}

// DefaultTransport returns how nodes are reached unless the user has a transport of their own.
func DefaultTransport(config *tls.Config) *http.Transport {
	return &http.Transport{TLSClientConfig: config}
}
