package peer

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// DefaultTransport returns how nodes are reached unless the user has a transport of their own: HTTP/2 and nothing else,
// over TLS or, for http URLs, without. With HTTP/1 each request that is under way has a connection to itself, and one
// that is cancelled, as those for a value that nobody waits for any more, loses it. No proxy is used: nodes are reached
// where they say they are.
//
// net/http opens a connection for each request that finds none, and notices only then that one would do for all:
// without a bound, 2,000 requests at once made 5,000 connections. MaxConnsPerHost of 8 makes about 10 of it, and leaves
// room for 2,000 requests under way at a server of net/http's defaults (250 for each connection).
//
// A connection on which nothing arrives for half a second is pinged, and closed a second later, or once silence has
// passed if that is longer: so one that a firewall has forgotten is not used for long, and a node that can be reached again is
// reached by a new one. All requests on it fail then, so that must not come before a single one would be given up.
func DefaultTransport(config *tls.Config, silence time.Duration) *http.Transport {
	p := new(http.Protocols)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	if config != nil {
		config = config.Clone()
	}
	return &http.Transport{
		Protocols:           p,
		HTTP2:               watched(max(time.Second, silence)),
		TLSClientConfig:     config,
		DialContext:         (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		MaxConnsPerHost:     8,
		MaxIdleConnsPerHost: 8,
		DisableCompression:  true,
		// All headers of this protocol together are far smaller.
		MaxResponseHeaderBytes: 32 << 10,
	}
}

// HTTP2 returns how a server watches connections of other nodes, for http.Server.HTTP2. Without it the server does not
// notice that a connection is dead until TCP does, which can take a quarter of an hour. It does not know how much
// silence the other side allows, and to wait costs it a place among those of its requests, so it has more patience.
func HTTP2() *http.HTTP2Config { return watched(5 * time.Second) }

// watched has connections pinged that are silent, and closed if that is not answered in time.
func watched(answer time.Duration) *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams:      1024,
		MaxReadFrameSize:          256 << 10,
		MaxReceiveBufferPerStream: 4<<20 - 1,
		SendPingTimeout:           500 * time.Millisecond,
		PingTimeout:               answer,
		WriteByteTimeout:          5 * time.Second,
	}
}
