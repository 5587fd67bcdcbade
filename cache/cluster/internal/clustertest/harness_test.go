package clustertest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
)

// These tests check the tools of the tests in the other files.

// A served is a server behind a saboteur, and a client behind links.
type served struct {
	addr     string
	links    *links
	sab      *saboteur
	client   *http.Client
	requests chan string // those that arrived
}

func serveHTTP(t *testing.T) *served {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &served{addr: l.Addr().String(), sab: newSaboteur(l), requests: make(chan string, 100)}
	s.sab.next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests <- r.URL.Path
		_, _ = fmt.Fprint(w, "the answer")
	})
	server := &http.Server{Handler: s.sab, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(s.sab)
	}()
	s.links, err = listen(0)
	require.NoError(t, err)
	tr := peer.DefaultTransport(nil)
	tr.DialContext = s.links.dial(tr.DialContext)
	s.client = &http.Client{Transport: tr}
	t.Cleanup(func() {
		close(s.sab.quit)
		s.links.abandon()
		tr.CloseIdleConnections()
		assert.NoError(t, server.Close())
		assert.NoError(t, s.links.Shutdown())
		<-done
	})
	return s
}

// get asks for a path, and returns what it gets within a time.
func (s *served) get(path string, d time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+path, http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return string(b), err
}

// TestCutConnections checks what arrives over links that are cut.
func TestCutConnections(t *testing.T) {
	t.Parallel()
	s := serveHTTP(t)
	const soon = 300 * time.Millisecond
	ask := func(path string, d time.Duration) <-chan error {
		done := make(chan error, 1)
		go func() {
			text, err := s.get(path, d)
			if err == nil && text != "the answer" {
				err = fmt.Errorf("got %q", text)
			}
			done <- err
		}()
		return done
	}
	there := []string{s.addr}
	require.NoError(t, <-ask("/calm", patience))
	require.Equal(t, "/calm", <-s.requests)

	s.links.set(linkState{HTTPIn: there})
	answer := ask("/in", patience)
	require.Equal(t, "/in", <-s.requests, "requests arrive")
	select {
	case err := <-answer:
		t.Fatalf("an answer came over a link that is cut: %v", err)
	case <-time.After(soon):
	}
	s.links.set(linkState{})
	require.NoError(t, <-answer, "it comes when the link heals")

	s.links.set(linkState{HTTPOut: there})
	require.ErrorIs(t, <-ask("/out", soon), context.DeadlineExceeded)
	require.Empty(t, s.requests, "no request arrives")
	s.links.set(linkState{})
	require.NoError(t, <-ask("/healed", patience))

	s.links.set(linkState{HTTPOut: there, Refuse: true})
	start := time.Now()
	require.Error(t, <-ask("/refused", patience))
	require.Less(t, time.Since(start), patience/2, "a connection that is refused is no wait")
	s.links.set(linkState{HTTPOut: []string{"127.0.0.1:1"}, HTTPIn: []string{"127.0.0.1:1"}})
	require.NoError(t, <-ask("/other", patience), "another link is cut")
}

// TestSaboteur checks what a client sees of a server behind a saboteur.
func TestSaboteur(t *testing.T) {
	t.Parallel()
	s := serveHTTP(t)
	for _, x := range []struct {
		mode string
		ok   func(text string, err error) bool
	}{
		{"", func(text string, err error) bool { return err == nil && text == "the answer" }},
		{"raw", func(_ string, err error) bool { return err != nil }},
		{"html", func(text string, err error) bool { return err == nil && text != "the answer" }},
		{"fault", func(text string, err error) bool { return err == nil && text != "the answer" }},
		{"noise", func(text string, err error) bool { return err == nil && text != "the answer" }},
		{"endless", func(text string, err error) bool { return err == nil && len(text) == 1<<20 }},
		{"cut", func(_ string, err error) bool { return err != nil }},
		{"half", func(text string, err error) bool { return err == nil && text == "the a" }},
		{"working", func(_ string, err error) bool { return err != nil }},
		{"silent", func(_ string, err error) bool { return err != nil }},
		{"", func(text string, err error) bool { return err == nil && text == "the answer" }},
	} {
		s.sab.set(x.mode)
		d := patience
		if x.mode == "working" || x.mode == "silent" {
			d = 300 * time.Millisecond
		}
		var text string
		var err error
		for range 5 { // a connection of the mode before may still be taken for open
			if text, err = s.get("/", d); x.ok(text, err) {
				break
			}
		}
		require.True(t, x.ok(text, err), "%q: %q, %v", x.mode, text, err)
	}
}

// A mistakes collects what a ledger reports.
type mistakes struct {
	testing.TB
	list []string
}

func (m *mistakes) Helper() {}

func (m *mistakes) Errorf(format string, args ...any) {
	m.list = append(m.list, fmt.Sprintf(format, args...))
}

// TestLedger checks that a ledger finds each kind of mistake, and none where there is none.
func TestLedger(t *testing.T) {
	t.Parallel()
	const node, by, key = "n1", "n2", "k"
	at := time.Now().Add(-time.Hour).UnixNano()
	second := int64(time.Second)
	confirmed := func(nodes ...string) *reply {
		return &reply{Begin: at, End: at + second, Peers: nodes}
	}
	value := func(issued, begin int64) result {
		return result{Node: node, Key: key, Issued: issued, Loaded: issued, Begin: begin, End: begin}
	}
	got := func(r result, p *process, b *ledger) {
		l := &load{key: key, node: node, issued: r.Issued, version: uint64(len(b.c.origin.issued) + 1)}
		b.c.origin.issued = append(b.c.origin.issued, l)
		if r.Error == "" {
			r.Version = l.version
		}
		b.got(p, &r, time.Minute)
		b.check(time.Now())
	}
	for _, x := range []struct {
		name string
		want string
		do   func(b *ledger, p, other *process)
	}{
		{"a value in time", "", func(b *ledger, p, _ *process) { got(value(at, at+second), p, b) }},
		{"a value that is too old", "after it was loaded",
			func(b *ledger, p, _ *process) { got(value(at, at+7*second), p, b) }},
		{"an old value after a pause", "", func(b *ledger, p, _ *process) {
			b.pauses = append(b.pauses, span{from: at, to: at + 3*second, node: by})
			got(value(at, at+7*second), p, b)
		}},
		{"a deleted value", "before it was deleted", func(b *ledger, p, other *process) {
			b.removed(other, "delete", key, confirmed(node), map[string]int{node: 0})
			got(value(at-1, at+second+1), p, b)
		}},
		{"a cleared value", "all keys: true", func(b *ledger, p, other *process) {
			b.removed(other, "delete", "", confirmed(node), map[string]int{node: 0})
			got(value(at-1, at+second+1), p, b)
		}},
		{"a deleted value, before the delete was confirmed", "", func(b *ledger, p, other *process) {
			b.removed(other, "delete", key, confirmed(node), map[string]int{node: 0})
			got(value(at-1, at+second-1), p, b)
		}},
		{"a value from after a delete", "", func(b *ledger, p, other *process) {
			b.removed(other, "delete", key, confirmed(node), map[string]int{node: 0})
			got(value(at, at+second+1), p, b)
		}},
		{"a deleted value on a node that was not seen", "", func(b *ledger, p, other *process) {
			b.removed(other, "delete", key, confirmed(), map[string]int{node: 0})
			got(value(at-1, at+second+1), p, b)
		}},
		{"a deleted value on a node that was started anew meanwhile", "",
			func(b *ledger, p, other *process) {
				b.removed(other, "delete", key, confirmed(node), map[string]int{node: 1})
				got(value(at-1, at+second+1), p, b)
			}},
		{"a delete that fails", "deletes", func(b *ledger, _, other *process) {
			b.removed(other, "delete", key, &reply{Error: "no"}, nil)
		}},
		{"a deleted value when all is healed", "healed", func(b *ledger, _, other *process) {
			b.removed(other, "delete", key,
				&reply{Begin: at, End: at, Error: "no", Unconfirmed: []string{node}}, nil)
			r := value(at-1, at+second)
			b.last(&r)
		}},
		{"a value for another key", "for key", func(b *ledger, p, _ *process) {
			r := value(at, at)
			r.Wrong = "x"
			got(r, p, b)
		}},
		{"a value that was not issued", "never issued", func(b *ledger, p, _ *process) {
			r := value(at, at)
			r.Version = 77
			b.got(p, &r, time.Second)
		}},
		{"a value that was issued for another key", "was issued for key", func(b *ledger, p, _ *process) {
			r := value(at, at)
			r.Key = "x"
			got(r, p, b)
		}},
		{"a caller who waited", "waited", func(b *ledger, p, _ *process) {
			r := value(at, at)
			r.End += int64(30 * time.Second)
			got(r, p, b)
		}},
		{"a caller who waited for a slow origin", "", func(b *ledger, p, _ *process) {
			b.slowness = append(b.slowness, span{from: at, delay: 30 * time.Second})
			r := value(at, at)
			r.End += int64(6500 * time.Millisecond)
			got(r, p, b)
		}},
		{"an error of the origin", "", func(b *ledger, p, _ *process) {
			got(result{Node: node, Class: "load", Error: "on n2: " + originFails}, p, b)
		}},
		{"an error of nobody", "of no origin", func(b *ledger, p, _ *process) {
			got(result{Node: node, Class: "load", Error: "unexpected EOF"}, p, b)
		}},
		{"an error that the cache is closed, which it is not", "is closed",
			func(b *ledger, p, _ *process) {
				got(result{Node: node, Class: "closed", Error: "closed"}, p, b)
			}},
		{"a deadline that had not come", "with a deadline of", func(b *ledger, p, _ *process) {
			got(result{Node: node, Class: "deadline", Error: "late"}, p, b)
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			m := &mistakes{TB: t}
			c := &testCluster{tb: m, origin: newOrigin(), base: spec{PeerTimeout: time.Second}}
			b := newLedger(m, c)
			p, other := &process{spec: spec{Name: node}}, &process{spec: spec{Name: by}}
			b.started(p)
			b.started(other)
			x.do(b, p, other)
			if x.want == "" {
				require.Empty(t, m.list)
				return
			}
			require.Len(t, m.list, 1)
			require.Contains(t, m.list[0], x.want)
		})
	}
}
