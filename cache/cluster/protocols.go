package cluster

import "net/http"

// Protocols are what a server that [Cache.Handler] is mounted on should speak: HTTP/1 and HTTP/2, the latter also without TLS. Put
// them into http.Server.Protocols.
func Protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return p
}
