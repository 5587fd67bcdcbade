package clustertest

import (
	"net/http"

	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
)

// transport is what the cache uses by itself.
func transport() *http.Transport { return peer.DefaultTransport(nil) }
