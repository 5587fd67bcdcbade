package clustertest

import (
	"net"
	"net/http"
)

// transport is what the cache would use by itself.
func transport() *http.Transport {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return &http.Transport{Protocols: p, DialContext: (&net.Dialer{}).DialContext}
}
