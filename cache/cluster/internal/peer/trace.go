package peer

import (
	"context"
	"net/http"
	"net/textproto"
	"strings"
)

// maxTrace bounds the headers, in bytes, that a Propagator may add to a request.
const maxTrace = 8 << 10

// trace returns the headers of the Propagator for a request. It leaves out those that are too
// large, malformed, or reserved: a trace never keeps a request from being sent.
func (c *Client) trace(ctx context.Context) http.Header {
	p := c.config.Propagator
	if p == nil {
		return nil
	}
	h := make(http.Header)
	p.Inject(ctx, h)
	size := 0
	kept := make(http.Header, len(h))
	for name, values := range h {
		name = textproto.CanonicalMIMEHeaderKey(name)
		if !IsWord(name) || isReserved(name) {
			continue
		}
		for _, v := range values {
			if size += len(name) + len(v); size > maxTrace || !isHeaderValue(v) {
				size -= len(name) + len(v)
				continue
			}
			kept[name] = append(kept[name], v)
		}
	}
	return kept
}

// isReserved reports whether a header has a meaning in HTTP or in this protocol.
func isReserved(name string) bool {
	switch name {
	case "Accept-Encoding", "Authorization", "Connection", "Cookie", "Expect", "Host", "Keep-Alive",
		"Te", "Trailer",
		"Transfer-Encoding", "Upgrade":
		return true
	}
	return strings.HasPrefix(name, headerPrefix) || strings.HasPrefix(name, "Content-") ||
		strings.HasPrefix(name, "Proxy-")
}

// IsWord reports whether s is not empty and has only letters, digits, dots, dashes and underscores.
func IsWord(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_',
			c == '.':
		default:
			return false
		}
	}
	return s != ""
}

func isHeaderValue(v string) bool {
	for _, c := range []byte(v) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
