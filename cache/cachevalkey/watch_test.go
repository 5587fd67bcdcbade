package cachevalkey

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/internal/valkeytest"
)

// A listener collects notices.
type listener struct {
	mu      sync.Mutex // guards the following
	keys    []string
	tags    []string
	all     int
	calls   int
	inside  bool
	changed chan struct{} // is closed at the next notice
}

// listen watches until the end of the test.
func listen(tb testing.TB, s *Storage) *listener {
	tb.Helper()
	l := &listener{changed: make(chan struct{})}
	tb.Cleanup(s.Watch(func(n cache.Notice) {
		l.mu.Lock()
		if l.inside {
			tb.Error("two calls at a time")
		}
		l.inside = true
		l.mu.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.inside = false
		l.calls++
		l.keys = append(l.keys, n.Keys...)
		l.tags = append(l.tags, n.Tags...)
		if n.All {
			l.all++
		}
		close(l.changed)
		l.changed = make(chan struct{})
	}))
	return l
}

// until waits until cond holds.
func (l *listener) until(tb testing.TB, cond func() bool) {
	tb.Helper()
	ctx := within(tb)
	for {
		l.mu.Lock()
		ok, changed := cond(), l.changed
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			l.mu.Lock()
			text := fmt.Sprintf("keys %q, tags %q, all %d", l.keys, l.tags, l.all)
			l.mu.Unlock()
			tb.Fatal(text)
		}
	}
}

func (l *listener) hasKey(key string) func() bool {
	return func() bool { return slices.Contains(l.keys, key) }
}

func (l *listener) hasTag(tag string) func() bool {
	return func() bool { return slices.Contains(l.tags, tag) }
}

// settle makes other delete a key and waits for the notice: whatever was to be reported before has
// been.
func (l *listener) settle(tb testing.TB, other *Storage, key string) {
	tb.Helper()
	require.NoError(tb, other.Delete(within(tb), []string{key}))
	l.until(tb, l.hasKey(key))
}

func TestNotices(t *testing.T) {
	server, a := start(t)
	b := open(t, at(server.Addr()))
	atA, atB := listen(t, a), listen(t, b)

	require.NoError(t, a.Delete(within(t), []string{"k", "", "\x00\xff"}))
	require.NoError(t, a.Invalidate(within(t), []string{"x", ""}))
	atB.until(t, atB.hasTag("x"))
	atB.settle(t, a, "end")
	atA.settle(t, b, "b's")

	// A fill is nobody's business, nor is a lease, nor what one has deleted oneself.
	store(t, b, "filled", "v", fence(t, b, "filled"))
	atA.settle(t, b, "b's end")

	atA.mu.Lock()
	defer atA.mu.Unlock()
	require.Equal(t, []string{"b's", "b's end"}, atA.keys)
	require.Empty(t, atA.tags)
	require.Zero(t, atA.all)
	atB.mu.Lock()
	defer atB.mu.Unlock()
	require.ElementsMatch(t, []string{"k", "", "\x00\xff", "end"}, atB.keys)
	require.ElementsMatch(t, []string{"x", ""}, atB.tags)
	require.Zero(t, atB.all)
}

// What two delete at about the same time is reported to both: each may have loaded the key again
// between its own delete and that of the other.
func TestBothDelete(t *testing.T) {
	server, a := start(t)
	b := open(t, at(server.Addr()))
	atA, atB := listen(t, a), listen(t, b)
	require.NoError(t, a.Delete(within(t), []string{"k"}))
	require.NoError(t, b.Delete(within(t), []string{"k"}))
	atA.until(t, atA.hasKey("k"))
	atB.until(t, atB.hasKey("k"))
}

// The announcement of a change takes no polling. The test fails in time by its own clock alone: the
// poll would come first if there were no announcements, and is prevented here.
func TestNoticesAreAnnounced(t *testing.T) {
	server, a := start(t)
	b := open(t, at(server.Addr()))
	l := listen(t, b)
	l.settle(t, a, "first")
	reads := func() int64 {
		info, _ := do(t, server, "INFO", "commandstats").(string)
		for line := range strings.Lines(info) {
			if strings.HasPrefix(line, "cmdstat_evalsha:") {
				var n int64
				_, err := fmt.Sscanf(line, "cmdstat_evalsha:calls=%d,", &n)
				require.NoError(t, err)
				return n
			}
		}
		return 0
	}
	// Each delete costs one call of the deleter and at most two of the watcher, one of which may be
	// a poll. Without announcements all deletes of five seconds would cost one.
	before := reads()
	const deletes = 50
	for i := range deletes {
		l.settle(t, a, fmt.Sprint("k", i))
	}
	require.GreaterOrEqual(t, reads()-before, int64(2*deletes))
	clients, _ := do(t, server, "CLIENT", "LIST").(string)
	require.Contains(t, clients, "B", "a client tracks in broadcast mode")
}

// Many deletes are few notices.
func TestNoticesCoalesce(t *testing.T) {
	server, a := start(t)
	b := open(t, at(server.Addr()))
	l := &listener{changed: make(chan struct{})}
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	stop := b.Watch(func(n cache.Notice) {
		once.Do(func() {
			close(entered)
			<-release
		})
		l.mu.Lock()
		defer l.mu.Unlock()
		l.calls++
		l.keys = append(l.keys, n.Keys...)
		close(l.changed)
		l.changed = make(chan struct{})
	})
	defer stop()
	require.NoError(t, a.Delete(within(t), []string{"first"}))
	<-entered
	for i := range 100 {
		require.NoError(t, a.Delete(within(t), []string{fmt.Sprint("k", i%10)}))
	}
	close(release)
	l.settle(t, a, "last")
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Len(t, l.keys, 12)
	require.LessOrEqual(t, l.calls, 3)
}

// What is deleted while the connection is down is reported once it is up.
func TestNoticesAfterDisconnect(t *testing.T) {
	server, a := start(t)
	p := newProxy(t, server.Addr())
	var log logLines
	o := at(p.addr)
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	b := open(t, o)
	l := listen(t, b)
	l.settle(t, a, "before")
	p.cut(true)
	log.until(t, "what others delete can't be read")
	require.NoError(t, a.Delete(within(t), []string{"meanwhile"}))
	require.NoError(t, a.Invalidate(within(t), []string{"tag"}))
	require.NoError(t, a.Delete(within(t), []string{"before"}))
	p.cut(false)
	l.until(t, l.hasTag("tag"))
	log.until(t, "can be read again")
	l.settle(t, a, "after")
	l.mu.Lock()
	defer l.mu.Unlock()
	require.ElementsMatch(t, []string{"before", "before", "meanwhile", "after"}, l.keys)
	require.Zero(t, l.all)
}

// logLines collects what is logged.
type logLines struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logLines) until(tb testing.TB, text string) {
	tb.Helper()
	ctx := within(tb)
	for {
		l.mu.Lock()
		ok := strings.Contains(l.text.String(), text)
		l.mu.Unlock()
		if ok {
			return
		}
		require.NoError(tb, ctx.Err(), text)
		time.Sleep(time.Millisecond)
	}
}

// Who has missed what the log does not have any more is told that it may be anything.
func TestMissedTooMuch(t *testing.T) {
	server := valkeytest.Run(t, valkeytest.Options{})
	p := newProxy(t, server.Addr())
	o := at(server.Addr())
	o.LogSize = 10
	a := open(t, o)
	o = at(p.addr)
	o.LogSize = 10
	b := open(t, o)
	l := listen(t, b)
	l.settle(t, a, "before")
	p.cut(true)
	for i := range 20 {
		require.NoError(t, a.Delete(within(t), []string{fmt.Sprint("k", i)}))
	}
	p.cut(false)
	l.until(t, func() bool { return l.all == 1 })
	l.settle(t, a, "after")
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Equal(t, []string{"before", "after"}, l.keys)
}

func TestNoticesOfLoss(t *testing.T) {
	server, a := start(t)
	b := open(t, at(server.Addr()))
	l := listen(t, b)
	l.settle(t, a, "before")
	want := 0
	for _, lose := range []func(){
		func() { do(t, server, "FLUSHALL") },
		func() { do(t, server, "DEL", "{snowfence:1}:notices") },
		func() { do(t, server, "SET", "{snowfence:1}:notices", "garbage") },
		func() { do(t, server, "ZADD", "{snowfence:1}:notices", "inf", "garbage") },
		func() { require.NoError(t, server.Restart(within(t))) },
	} {
		lose()
		want++
		l.until(t, func() bool { return l.all == want })
		l.settle(t, a, fmt.Sprint("after", want))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Equal(t, want, l.all)
}

// A server that can't be reached when Watch is called is watched later, and whatever came between
// may have been missed.
func TestWatchStartsLate(t *testing.T) {
	server, a := start(t)
	p := newProxy(t, server.Addr())
	p.cut(true)
	b := open(t, at(p.addr))
	l := &listener{changed: make(chan struct{})}
	w := &watcher{
		s: b, tracked: true, began: time.Now().Add(-2 * promptStart), // it is late
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		notify: func(n cache.Notice) { l.all++; require.True(t, n.All) },
	}
	w.connect()
	defer func() { w.conn.close() }()
	require.Error(t, w.catchUp(within(t)))
	require.NoError(t, a.Delete(within(t), []string{"k"}))
	p.cut(false)
	require.NoError(t, w.catchUp(within(t)))
	require.Equal(t, 1, l.all)
	require.NoError(t, w.catchUp(within(t)))
	require.Equal(t, 1, l.all)

	// A log that ends before what was read is another one.
	w.last = 1 << 51
	require.NoError(t, w.catchUp(within(t)))
	require.Equal(t, 2, l.all)
	require.NoError(t, w.catchUp(within(t)))
	require.Equal(t, 2, l.all)
}

// A server, or a client, without client-side caching is polled.
func TestPolling(t *testing.T) {
	server, a := start(t)
	o := at(server.Addr())
	var log logLines
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	o.Client.AlwaysRESP2 = true
	b := open(t, o)
	store(t, b, "k", "v", fence(t, b, "k"))
	require.Equal(t, "v", data(t, b, "k"))
	l := listen(t, b)
	l.settle(t, a, "k")
	log.until(t, "the log is polled")
}

// So is one that refuses client-side caching, as some managed servers do. All else works.
func TestTrackingIsForbidden(t *testing.T) {
	server, a := start(t)
	read(t, a, "k") // connected
	do(t, server, "ACL", "SETUSER", "default", "-client|tracking")
	o := at(server.Addr())
	var log logLines
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	b := open(t, o)
	require.NoError(t, b.Check(within(t)))
	l := listen(t, b)
	l.settle(t, a, "k")
	log.until(t, "the log is polled")
}

func TestStop(t *testing.T) {
	server, a := start(t)
	b := open(t, at(server.Addr()))
	calls := 0
	stop := b.Watch(func(cache.Notice) { calls++ })
	stop()
	stop() // changes nothing
	seen := calls
	l := listen(t, b)
	l.settle(t, a, "k")
	require.Equal(t, seen, calls)

	require.NoError(t, b.Close(), "it stops those who watch")
}
