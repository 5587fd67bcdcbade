package clustertest

import (
	"net/http"
	"time"

	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
)

// transport is what the cache uses by itself.
func transport(silence time.Duration) *http.Transport { return peer.DefaultTransport(nil, silence) }
