package cluster

import (
	"net/http"

	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
)

// Protocols are what a server that [Cache.Handler] is mounted on should speak: HTTP/1 and HTTP/2, the latter also without TLS. Put
// them into http.Server.Protocols.
func Protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// HTTP2 has a server notice that a node which asked it is cut off or stopped: it pings connections that are silent. Put it into
// http.Server.HTTP2. Without it the places that such a node's requests take (Options.MaxPeerRequests) stay taken until TCP gives up.
func HTTP2() *http.HTTP2Config { return peer.HTTP2() }
