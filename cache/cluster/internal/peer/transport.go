package peer

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// maxConns bounds the requests for values that a Client has under way to one node.
const maxConns = 128

// DefaultTransport returns a transport for requests to one node: HTTP/1.1, over TLS with config for
// https URLs. In Go it costs about half of what HTTP/2 does, and any server speaks it. Each request
// under way has a connection to itself, which is reused unless the request was cancelled. No proxy
// is used, since a node's URL is where it listens.
//
// There are at most maxConns connections to a node, and all are kept for the next burst: over TLS a
// new connection costs as much as ten requests.
func DefaultTransport(config *tls.Config) *http.Transport {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	if config != nil {
		config = config.Clone()
	}
	return &http.Transport{
		Protocols:       p,
		TLSClientConfig: config,
		DialContext: (&net.Dialer{Timeout: 2 * time.Second,
			KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		MaxIdleConnsPerHost: maxConns,
		DisableCompression:  true,
		// The headers of this protocol are far smaller.
		MaxResponseHeaderBytes: 32 << 10,
	}
}
