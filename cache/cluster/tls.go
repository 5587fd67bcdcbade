package cluster

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"net/url"

	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
)

// SharedKeyTLS returns the TLS configuration for the server of [Cache.Handler], made of the same
// keys as Options.SharedKeys: put it into http.Server.TLSConfig and call ListenAndServeTLS("", "").
// It refuses every connection of somebody without a key, so the server is for the nodes alone.
// There are no certificates to issue, and none expires.
//
// The error is an [*OptionError] if there is no key, or if one is too short.
func SharedKeyTLS(keys ...[]byte) (*tls.Config, error) {
	if len(keys) == 0 {
		return nil, &OptionError{"SharedKeys", "none", "one key at least"}
	}
	if err := checkSharedKeys(keys); err != nil {
		return nil, err
	}
	identity, err := peer.NewIdentity(keys)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	return identity.Config(), nil
}

func checkSharedKeys(keys [][]byte) error {
	for i, k := range keys {
		if len(k) < MinSharedKey {
			return &OptionError{
				fmt.Sprintf("SharedKeys[%d]", i), fmt.Sprintf("%d bytes", len(k)),
				fmt.Sprintf("at least %d", MinSharedKey),
			}
		}
	}
	return nil
}

// warnIfOpen logs a warning if nothing keeps strangers out, unless only this machine reaches this
// node.
func (c *Cache[V]) warnIfOpen() {
	if len(c.o.SharedKeys) > 0 || c.o.TLS != nil || c.o.Authorize != nil || isLoopback(c.o.URL) {
		return
	}
	c.log.Warn("this cache is open: whoever reaches its handler can read it and delete from it, and "+
		"whoever can register in the registry, or answers in place of a node, can serve forged values "+
		"to all: set Options.SharedKeys or TLS, or Authorize", "url", c.o.URL)
}

func isLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback() || u.Hostname() == "localhost"
}
