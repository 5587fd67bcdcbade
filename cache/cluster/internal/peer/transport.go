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
// A connection on which nothing arrives for half a second is pinged, and closed a second later: so one that a firewall
// has forgotten is not used for long, and a node that can be reached again is reached by a new one.
func DefaultTransport(config *tls.Config) *http.Transport {
	p := new(http.Protocols)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	if config != nil {
		config = config.Clone()
	}
	return &http.Transport{
		Protocols:           p,
		HTTP2:               HTTP2(),
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

// HTTP2 returns how connections between nodes are watched: for http.Transport.HTTP2 and http.Server.HTTP2. A server
// without it does not notice that a connection is dead until TCP does, which can take a quarter of an hour.
func HTTP2() *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams:      1024,
		MaxReadFrameSize:          256 << 10,
		MaxReceiveBufferPerStream: 4<<20 - 1,
		SendPingTimeout:           500 * time.Millisecond,
		PingTimeout:               time.Second,
		WriteByteTimeout:          5 * time.Second,
	}
}
