package cachevalkey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valkey-io/valkey-go"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/internal/valkeytest"
)

// everyCall calls each method that sends something.
func everyCall(ctx context.Context, s *Storage) map[string]error {
	_, err := s.Read(ctx, []string{"k", "l"}, 0)
	return map[string]error{
		"Read":       err,
		"Write":      s.Write(ctx, []cache.Record{{Key: "k", Data: []byte("v")}}),
		"Delete":     s.Delete(ctx, []string{"k"}),
		"Invalidate": s.Invalidate(ctx, []string{"x"}),
		"Check":      s.Check(ctx),
	}
}

// pause stops a server, and continues it before the Storages of the test are closed.
func pause(tb testing.TB, server *valkeytest.Server) {
	tb.Helper()
	if !valkeytest.Pausable {
		tb.Skip("no SIGSTOP")
	}
	require.NoError(tb, server.Pause())
	tb.Cleanup(func() { require.NoError(tb, server.Resume()) })
}

// patient returns options of a client that itself gives up nothing.
func patient(addr string) Options {
	o := at(addr)
	o.Client.ConnWriteTimeout = time.Hour
	o.Client.Dialer.Timeout = time.Hour
	o.Client.Dialer.KeepAlive = time.Hour
	return o
}

// The end of a context alone ends a call to a server that hangs, however many there are.
func TestHangingServer(t *testing.T) {
	server := valkeytest.Run(t, valkeytest.Options{})
	p := newProxy(t, server.Addr())
	fresh, known := open(t, patient(server.Addr())), open(t, patient(server.Addr()))
	lost := open(t, patient(p.addr))
	read(t, known, "k")
	read(t, lost, "k")
	pause(t, server)
	p.cut(false) // it has to connect again, which the next call may learn by failing
	for err := error(nil); !errors.Is(err, context.DeadlineExceeded); {
		ctx, cancel := context.WithTimeout(within(t), 20*time.Millisecond)
		_, err = lost.Read(ctx, nil, 0)
		cancel()
	}

	for name, s := range map[string]*Storage{"fresh": fresh, "known": known, "lost": lost} {
		// The first caller has longer than the others. They must not have to wait with it.
		first, leave := context.WithCancel(within(t))
		ctx, cancel := context.WithTimeout(within(t), 50*time.Millisecond)
		t.Cleanup(cancel)
		firstDone := make(chan error, 1)
		go func() {
			_, err := s.Read(first, []string{"k"}, 0)
			firstDone <- err
		}()
		var callers sync.WaitGroup
		for range 3000 {
			callers.Go(func() {
				_, err := s.Read(ctx, []string{"k"}, 0)
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		callers.Wait()
		for method, err := range everyCall(ctx, s) {
			require.ErrorIs(t, err, context.DeadlineExceeded, "%s: %s", name, method)
		}
		select {
		case err := <-firstDone:
			t.Fatalf("%s: the first caller has got %v", name, err)
		default:
		}
		leave()
		require.ErrorIs(t, <-firstDone, context.Canceled)
	}
}

// A caller who is in a hurry does not end, for a patient one, the attempt to connect again.
func TestImpatientCaller(t *testing.T) {
	server := valkeytest.Run(t, valkeytest.Options{})
	p := newProxy(t, server.Addr())
	o := patient(p.addr)
	o.Client.PipelineMultiplex = -1 // both use the same connection
	s := open(t, o)
	store(t, s, "k", "v", "")
	if !valkeytest.Pausable {
		t.Skip("no SIGSTOP")
	}
	require.NoError(t, server.Pause())
	p.cut(false)
	impatient := func() error {
		ctx, cancel := context.WithTimeout(within(t), 50*time.Millisecond)
		defer cancel()
		_, err := s.Read(ctx, nil, 0)
		return err
	}
	for !errors.Is(impatient(), context.DeadlineExceeded) { // perhaps EOF, once
	}
	calls := len(s.conn.places)
	hurried := make(chan error, 1)
	go func() { hurried <- impatient() }()
	for len(s.conn.places) == calls {
		time.Sleep(time.Millisecond)
	}
	done := make(chan error, 1)
	go func() {
		r, err := s.Read(within(t), []string{"k"}, 0)
		if err == nil && string(r.Stored[0].Data) != "v" {
			err = errors.New("it has read something else")
		}
		done <- err
	}()
	require.ErrorIs(t, <-hurried, context.DeadlineExceeded)
	require.NoError(t, server.Resume())
	require.NoError(t, <-done)
}

// A server that goes on after a pause is used again, on the same connection, and late replies are
// nobody's.
func TestAfterPause(t *testing.T) {
	if !valkeytest.Pausable {
		t.Skip("no SIGSTOP")
	}
	server := valkeytest.Run(t, valkeytest.Options{})
	s := open(t, patient(server.Addr()))
	store(t, s, "k", "v", "")
	store(t, s, "l", "other", "")
	require.NoError(t, server.Pause())
	ctx, cancel := context.WithTimeout(within(t), 20*time.Millisecond)
	defer cancel()
	for method, err := range everyCall(ctx, s) {
		require.ErrorIs(t, err, context.DeadlineExceeded, method)
	}
	_, err := s.Read(ctx, []string{"l"}, 0)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, server.Resume())
	require.Equal(t, "other", data(t, s, "l"))
}

// Close does not wait for a server that hangs longer than the client's time-outs say.
func TestCloseWhileHanging(t *testing.T) {
	server := valkeytest.Run(t, valkeytest.Options{})
	known, fresh := open(t, at(server.Addr())), open(t, at(server.Addr()))
	read(t, known, "k")
	l := listen(t, known)
	l.settle(t, fresh, "k")
	fresh = open(t, at(server.Addr()))
	pause(t, server)
	var callers sync.WaitGroup
	for _, s := range []*Storage{known, fresh} {
		for range 600 {
			callers.Go(func() {
				_, err := s.Read(within(t), []string{"k"}, 0)
				if err == nil {
					t.Error("it was read")
				}
			})
		}
	}
	require.NoError(t, known.Close())
	require.NoError(t, fresh.Close())
	callers.Wait()
}

// The server is down at first, and again later.
func TestServerIsDown(t *testing.T) {
	server := valkeytest.Run(t, valkeytest.Options{})
	for range 2 {
		s := open(t, at(server.Addr()))
		for range 2 {
			server.Kill()
			for err := error(nil); !errors.Is(err, syscall.ECONNREFUSED); { // perhaps EOF, once
				_, err = s.Read(within(t), nil, 0)
				require.Error(t, err)
			}
			for method, err := range everyCall(within(t), s) {
				require.ErrorIs(t, err, syscall.ECONNREFUSED, method)
			}
			require.NoError(t, server.Restart(within(t)))
			store(t, s, "k", "v", fence(t, s, "k"))
			require.Equal(t, "v", data(t, s, "k"))
		}
	}
}

// A connection that has died without a sign is given up.
func TestHalfOpen(t *testing.T) {
	server := valkeytest.Run(t, valkeytest.Options{})
	p := newProxy(t, server.Addr())
	o := at(p.addr)
	o.Client.Dialer.KeepAlive = 10 * time.Millisecond // between two PINGs
	o.Client.ConnWriteTimeout = 500 * time.Millisecond
	s := open(t, o)
	store(t, s, "k", "v", "")
	l := listen(t, s)
	other := open(t, at(server.Addr()))
	l.settle(t, other, "before")
	p.swallow()
	require.NoError(t, other.Delete(within(t), []string{"meanwhile"}))
	l.until(t, l.hasKey("meanwhile"))
	for ctx := within(t); ; {
		attempt, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		_, err := s.Read(attempt, []string{"k"}, 0)
		cancel()
		if err == nil {
			break
		}
		require.NoError(t, ctx.Err())
	}
	require.Equal(t, "v", data(t, s, "k"))
}

func TestOutOfMemory(t *testing.T) {
	server, s := start(t)
	store(t, s, "old", "v", "")
	leased := fence(t, s, "leased")
	tags := top(read(t, s))
	do(t, server, "CONFIG", "SET", "maxmemory", "1")
	r := read(t, s, "none", "old", "leased")
	require.Nil(t, r.Stored[0].Data)
	require.Equal(t, "v", string(r.Stored[1].Data))
	require.Equal(t, leased, r.Stored[2].Fence)

	err := s.Write(within(t), []cache.Record{{Key: "none"}, {Key: "leased", Fence: leased}})
	require.ErrorContains(t, err, "writing 2 of 2 records: OOM")
	refusal := new(valkey.ValkeyError)
	require.ErrorAs(t, err, &refusal)
	require.NoError(t, s.Delete(within(t), []string{"old"}))
	require.NoError(t, s.Invalidate(within(t), []string{"x"}))
	do(t, server, "SCRIPT", "FLUSH")
	require.NoError(t, s.Invalidate(within(t), []string{"y"}))
	require.Equal(t, "nothing", data(t, s, "old"))
	require.Greater(t, top(read(t, s)), tags)

	do(t, server, "CONFIG", "SET", "maxmemory", "0")
	store(t, s, "none", "late", r.Stored[0].Fence)
	require.Equal(t, "nothing", data(t, s, "none"), "without a lease no fence holds")
	store(t, s, "none", "new", fence(t, s, "none"))
	require.Equal(t, "new", data(t, s, "none"))
}

// A server that drops data to stay within its memory drops records and fences alike.
func TestEviction(t *testing.T) {
	server := valkeytest.Run(t, valkeytest.Options{Args: []string{
		"--maxmemory", "4mb", "--maxmemory-policy", "allkeys-lru",
	}})
	s := open(t, at(server.Addr()))
	value := strings.Repeat("v", 10_000)
	found := 0
	for i := range 600 {
		key := fmt.Sprint("key", i)
		store(t, s, key, value, fence(t, s, key))
		if got := data(t, s, key); got != "nothing" {
			require.Equal(t, value, got)
			found++
		}
	}
	require.Positive(t, found)
}

func TestScriptsAreForgotten(t *testing.T) {
	server, s := start(t)
	other := open(t, at(server.Addr()))
	l := listen(t, other)
	for _, forget := range []string{"first", "second"} {
		do(t, server, "SCRIPT", "FLUSH")
		for method, err := range everyCall(within(t), s) {
			require.NoError(t, err, method)
		}
		do(t, server, "SCRIPT", "FLUSH")
		store(t, s, "k", forget, fence(t, s, "k"))
		require.Equal(t, forget, data(t, s, "k"))
		do(t, server, "SCRIPT", "FLUSH")
		l.settle(t, s, forget)
	}
}

func TestCluster(t *testing.T) {
	servers := valkeytest.RunCluster(t, 3, valkeytest.Options{})
	a, b := open(t, at(servers.Addrs()[:1]...)), open(t, at(servers.Addrs()...))
	b.pollEvery = 100 * time.Millisecond
	l := listen(t, b)
	var keys []string
	for i := range 100 {
		keys = append(keys, fmt.Sprint("key", i))
	}
	fill := func() {
		var records []cache.Record
		for i, stored := range read(t, a, keys...).Stored {
			records = append(records, cache.Record{
				Key: keys[i], Data: []byte(keys[i]), Fence: stored.Fence, Keep: time.Hour,
			})
		}
		require.NoError(t, a.Write(within(t), records))
		for i, stored := range read(t, b, keys...).Stored {
			require.Equal(t, keys[i], string(stored.Data))
		}
	}
	fill()
	late := read(t, b, keys...).Stored
	require.NoError(t, a.Delete(within(t), keys))
	for i := range keys {
		l.until(t, l.hasKey(keys[i]))
		store(t, b, keys[i], "late", late[i].Fence)
		require.Equal(t, "nothing", data(t, b, keys[i]))
	}
	require.NoError(t, a.Invalidate(within(t), []string{"x"}))
	l.until(t, l.hasTag("x"))
	fill()
	checkOrder(t, servers, a)

	// The slot of the log moves to another server while all are in use.
	owner := logServer(t, servers)
	moveLog(t, servers, owner, (owner+1)%3)
	fill()
	l.settle(t, a, "moved")
	require.NoError(t, a.Invalidate(within(t), []string{"y"}))
	l.until(t, l.hasTag("y"))
	require.Contains(t, tagNames(read(t, b)), "x")
	l.mu.Lock()
	require.Zero(t, l.all)
	l.mu.Unlock()

	// The keys of a server that is down are left out, and written to no more. The others work on.
	servers.Servers[owner].Kill()
	var r cache.Reading
	eventually(t, func() (err error) { // the clients learn within a second where the slot is now
		r, err = b.Read(within(t), keys, 0)
		return err
	})
	found := 0
	for i, stored := range r.Stored {
		if stored.Data != nil {
			found++
		}
		if err := b.Write(within(t), []cache.Record{{Key: keys[i], Fence: stored.Fence}}); err != nil {
			t.Errorf("%s: %v", keys[i], err)
		}
	}
	require.NotZero(t, found)
	require.Less(t, found, len(keys))
	for i, stored := range r.Stored {
		if stored.Data != nil {
			continue
		}
		_, err := b.Read(within(t), keys[i:i+1], 0)
		require.Error(t, err)
		require.Error(t, b.Write(within(t), []cache.Record{{Key: keys[i]}}))
		require.Error(t, b.Delete(within(t), keys[i:i+1]))
		break
	}
	// The key is one of a server that is up.
	eventually(t, func() error { return a.Delete(within(t), []string{"without one"}) })
	l.until(t, l.hasKey("without one"))
}

// checkOrder checks that nobody is notified of a delete before the record is gone.
func checkOrder(t *testing.T, c *valkeytest.Cluster, s *Storage) {
	t.Helper()
	if !valkeytest.Pausable {
		return
	}
	logs := c.Servers[logServer(t, c)]
	key := ""
	for i := 0; key == ""; i++ {
		_, err := logs.Do(within(t), "EXISTS", fmt.Sprint("snowfence:1:k:order", i))
		if err != nil { // it is elsewhere
			key = fmt.Sprint("order", i)
		}
	}
	for _, server := range c.Servers {
		if server != logs {
			require.NoError(t, server.Pause())
		}
	}
	ctx, cancel := context.WithTimeout(within(t), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Delete(ctx, []string{key}), context.DeadlineExceeded)
	notices := fmt.Sprint(do(t, logs, "ZRANGE", "{snowfence:1}:notices", "0", "-1"))
	require.NotContains(t, notices, key)
	for _, server := range c.Servers {
		if server != logs {
			require.NoError(t, server.Resume())
		}
	}
}

// eventually calls f until it returns nil.
func eventually(tb testing.TB, f func() error) {
	tb.Helper()
	ctx := within(tb)
	for err := f(); err != nil; err = f() {
		require.NotErrorIs(tb, ctx.Err(), context.DeadlineExceeded, err)
		time.Sleep(10 * time.Millisecond)
	}
}

func tagNames(r cache.Reading) (tags []string) {
	for _, i := range r.Log {
		tags = append(tags, i.Tag)
	}
	return tags
}

// logServer returns which server has the logs.
func logServer(tb testing.TB, c *valkeytest.Cluster) int {
	tb.Helper()
	return slices.IndexFunc(c.Servers, func(s *valkeytest.Server) bool {
		_, err := s.Do(within(tb), "ZCARD", "{snowfence:1}:tags")
		return err == nil
	})
}

// moveLog moves the slot of the logs from one server to another.
func moveLog(tb testing.TB, c *valkeytest.Cluster, from, to int) {
	tb.Helper()
	source, target := c.Servers[from], c.Servers[to]
	slot := fmt.Sprint(do(tb, source, "CLUSTER", "KEYSLOT", "{snowfence:1}:tags"))
	sourceID := fmt.Sprint(do(tb, source, "CLUSTER", "MYID"))
	targetID := fmt.Sprint(do(tb, target, "CLUSTER", "MYID"))
	do(tb, target, "CLUSTER", "SETSLOT", slot, "IMPORTING", sourceID)
	do(tb, source, "CLUSTER", "SETSLOT", slot, "MIGRATING", targetID)
	host, port, _ := strings.Cut(target.Addr(), ":")
	do(tb, source, "MIGRATE", host, port, "", "0", "60000", "KEYS",
		"{snowfence:1}:tags", "{snowfence:1}:notices")
	for _, s := range []*valkeytest.Server{target, source} {
		do(tb, s, "CLUSTER", "SETSLOT", slot, "NODE", targetID)
	}
}
