package cachevalkey

import (
	"testing"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachetest"
	"github.com/snowfence/snowfence/internal/valkeytest"
)

func TestConformance(t *testing.T) {
	server := valkeytest.Run(t, valkeytest.Options{})
	cachetest.TestStorage(t, func(t *testing.T) (a, b cache.Storage) {
		t.Helper()
		do(t, server, "FLUSHALL")
		return open(t, at(server.Addr())), open(t, at(server.Addr()))
	})
}

func TestConformanceOfCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("TestCluster finds the common mistakes")
	}
	servers := valkeytest.RunCluster(t, 3, valkeytest.Options{})
	cachetest.TestStorage(t, func(t *testing.T) (a, b cache.Storage) {
		t.Helper()
		for _, server := range servers.Servers {
			do(t, server, "FLUSHALL")
		}
		return open(t, at(servers.Addrs()...)), open(t, at(servers.Addrs()...))
	})
}
