package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRefused(t *testing.T) {
	a := openReal(t, "a", nil)
	w := a.Watch(t.Context())
	for _, test := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Partitions = 8 }, `partitions is "16" there, "8" here`},
		{func(c *Config) { c.Resolver = KeepOldest },
			`resolver is "keep-newest" there, "keep-oldest" here`},
		{func(c *Config) { c.Cluster = "other" }, `cluster is "snowfence" there, "other" here`},
	} {
		c := Config{NodeName: "b", Seeds: []string{a.Addr()}}
		quick(&c)
		test.change(&c)
		_, err := Open(t.Context(), c)
		var mismatch *MismatchError
		require.ErrorAs(t, err, &mismatch)
		require.ErrorContains(t, err, test.want)
		var join *JoinError
		require.ErrorAs(t, err, &join)
		require.Equal(t, c.Seeds, join.Seeds)

		e, err := w.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, NodeRefused, e.Kind)
		require.Equal(t, "b", e.Node)
		require.ErrorAs(t, e.Err, &mismatch)
		require.Len(t, mismatch.Differences, 1)
	}

	c := Config{NodeName: "a", Seeds: []string{a.Addr()}}
	_, err := Open(t.Context(), c)
	var duplicate *DuplicateNameError
	require.ErrorAs(t, err, &duplicate)
	require.Equal(t, "a", duplicate.Name)
	require.Len(t, a.Members(), 1)
}

func TestKeys(t *testing.T) {
	old, next := []byte("0123456789abcdef"), []byte("fedcba9876543210")
	with := func(keys ...[]byte) func(*Config) { return func(c *Config) { c.Keys = keys } }
	a := openReal(t, "a", nil, with(old))
	b := openReal(t, "b", []string{a.Addr()}, with(old))
	for _, wrong := range [][][]byte{nil, {next}} {
		c := Config{NodeName: "c", Seeds: []string{a.Addr()}, Keys: wrong}
		quick(&c)
		_, err := Open(t.Context(), c)
		require.ErrorContains(t, err, "the encryption keys don't match")
	}
	for _, step := range []func(*Registry) error{
		func(r *Registry) error { return r.InstallKey(next) },
		func(r *Registry) error { return r.UseKey(next) },
		func(r *Registry) error { return r.RemoveKey(old) },
	} {
		for _, r := range []*Registry{a, b} {
			require.NoError(t, step(r))
		}
	}
	require.Equal(t, [][]byte{next}, a.Keys())
	_, err := a.Register(t.Context(), "x", nil)
	require.NoError(t, err)
	eventually(t, "they still understand each other", func() bool { return holderOf(b, "x") == "a" })
	openReal(t, "c", []string{b.Addr()}, with(next))
	require.Error(t, a.InstallKey([]byte("short")))
	require.Error(t, a.RemoveKey(next), "the key is in use")
}

func TestOpenFails(t *testing.T) {
	quiet, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := quiet.Addr().String()
	require.NoError(t, quiet.Close())

	rubbish, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := rubbish.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("SSH-2.0-OpenSSH_9.9\r\n"))
			_ = conn.Close()
		}
	})
	defer wg.Wait()
	defer func() { require.NoError(t, rubbish.Close()) }()

	for _, seed := range []string{nobody, rubbish.Addr().String()} {
		c := Config{NodeName: "a", Seeds: []string{seed}}
		quick(&c)
		_, err := Open(t.Context(), c)
		var join *JoinError
		require.ErrorAs(t, err, &join)
		var s *SeedError
		require.ErrorAs(t, err, &s)
		require.Equal(t, seed, s.Seed)
		t.Log(err)
	}

	a := openReal(t, "a", nil)
	_, port, err := net.SplitHostPort(a.Addr())
	require.NoError(t, err)
	var n int
	_, err = fmt.Sscan(port, &n)
	require.NoError(t, err)
	_, err = Open(t.Context(), Config{NodeName: "b", BindPort: n})
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.ErrorContains(t, err, port)
	t.Log(err)

	// The first node of a cluster may get the same list as all others.
	b := openReal(t, "b", nil)
	addr := b.Addr()
	require.NoError(t, b.Close())
	_, port, _ = net.SplitHostPort(addr)
	_, err = fmt.Sscan(port, &n)
	require.NoError(t, err)
	first := openReal(t, "first", []string{nobody, addr}, func(c *Config) { c.BindPort = n })
	require.Len(t, first.Members(), 1)

	ended, cancel := context.WithCancelCause(t.Context())
	gaveUp := errors.New("gave up")
	cancel(gaveUp)
	_, err = Open(ended, Config{Seeds: []string{a.Addr()}})
	require.ErrorIs(t, err, gaveUp)
}
