package valkeytest

import (
	"context"
	"errors"
)

// TB is what Run needs of testing.TB. So programs that use this package do not link testing.
type TB interface {
	Helper()
	Cleanup(f func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// Run starts a server for a test. It is closed when the test ends. The test is skipped if no server
// is installed.
func Run(tb TB, o Options) *Server {
	tb.Helper()
	s, err := Start(context.Background(), o)
	check(tb, err)
	tb.Cleanup(func() { closed(tb, s.Close()) })
	return s
}

// RunCluster is like Run, for a cluster of n servers.
func RunCluster(tb TB, n int, o Options) *Cluster {
	tb.Helper()
	c, err := StartCluster(context.Background(), n, o)
	check(tb, err)
	tb.Cleanup(func() { closed(tb, c.Close()) })
	return c
}

func check(tb TB, err error) {
	tb.Helper()
	if errors.Is(err, ErrNotInstalled) {
		tb.Skipf("skipped: %v", err)
	}
	if err != nil {
		tb.Fatalf("%v", err)
	}
}

func closed(tb TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Errorf("%v", err)
	}
}
