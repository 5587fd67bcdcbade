package peer

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mustNotServe is a Backend that is not to be asked: it would panic.
var mustNotServe backend

// altered sends requests after f has changed them.
type altered struct {
	http.RoundTripper
	f func(*http.Request)
}

func (a altered) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	a.f(r)
	return a.RoundTripper.RoundTrip(r)
}

// Nodes that don't belong together say what differs.
func TestOtherVersion(t *testing.T) {
	key := make([]byte, 32)
	for name, c := range map[string]struct {
		f    func(*http.Request)
		text string
	}{
		"header": {func(r *http.Request) { r.Header.Set(headerProtocol, "2") }, "this node speaks version 1"},
		"path":   {func(r *http.Request) { r.URL.Path = "/v2/fetch" }, "this node speaks version 1"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, keys := range [][][]byte{nil, {key}} {
				a, b := configA(), configB()
				a.Keys, b.Keys = keys, keys
				n := connect(t, h2c, a, b, mustNotServe)
				n.client.rt = altered{n.client.rt, func(r *http.Request) {
					u := *r.URL
					r.URL = &u
					c.f(r)
				}}
				_, err := n.fetch(t.Context(), "k")
				unavailable(t, err, OtherVersion)
				assert.ErrorContains(t, err, c.text)
				assert.Equal(t, Refused{OtherVersion: 1}, n.server.Refused())
			}
		})
	}
}

func TestAnotherCacheOrRun(t *testing.T) {
	for _, keys := range [][][]byte{nil, {make([]byte, 32)}} {
		t.Run(fmt.Sprintf("%d keys", len(keys)), func(t *testing.T) {
			a, b := configA(), configB()
			a.Keys, b.Keys = keys, keys
			b.Cache = "other things"
			n := connect(t, h2c, a, b, mustNotServe)
			_, err := n.fetch(t.Context(), "k")
			unavailable(t, err, OtherVersion)
			assert.ErrorContains(t, err, `this is cache "other things", and not "things"`)
			assert.Equal(t, Refused{OtherVersion: 1}, n.server.Refused())

			b.Cache = a.Cache
			n = connect(t, h2c, a, b, mustNotServe)
			n.to.Run++
			_, err = n.fetch(t.Context(), "k")
			unavailable(t, err, OtherVersion)
			assert.ErrorContains(t, err, `this is run 0000000000000b0b of node "b", and not run 0000000000000b0c: has it been restarted?`)
			assert.Equal(t, Refused{OtherVersion: 1}, n.server.Refused())
		})
	}
}

// The likeliest mistake in setting up a cluster: the error says how to put it right.
func TestServerWithoutHTTP2(t *testing.T) {
	s := NewServer(configB(), mustNotServe)
	url := serveOn(t, http1, s)
	c := NewClient(configA(), transport(t, h2c))
	defer c.Close()
	// The server answers in its own way and hangs up. Now and then the client notices the latter first.
	require.Eventually(t, func() bool {
		_, err := c.Fetch(t.Context(), Address{Node: "b", URL: url, Run: runB}, "k", nil)
		var u *UnavailableError
		require.ErrorAs(t, err, &u)
		c.Forget(func(Address) bool { return false }) // so that it is asked again however often it fails
		return u.Reason == OtherVersion && strings.Contains(err.Error(), "set the Protocols of its http.Server to cluster.Protocols()")
	}, 20*time.Second, time.Millisecond)
}

func TestDifferentLimits(t *testing.T) {
	a, b := configA(), configB()
	a.MaxKey, b.MaxKey = 1<<20, 100
	a.MaxMessage, b.MaxMessage = 1<<20, 100
	n := connect(t, h2c, a, b, backend{fetch: echo})
	for _, c := range []struct {
		key, after int
		text       string
	}{
		{101, 0, "key of 101 bytes: want at most 100"},
		{0, 101, "list of deletes of 101 bytes: want at most 100"},
		{10000, 0, "body of 10002 bytes: want at most 220"},
	} {
		for range 2 * tooOften {
			_, err := n.client.Fetch(t.Context(), n.to, string(pattern(c.key)), pattern(c.after))
			unavailable(t, err, OtherVersion)
			require.ErrorContains(t, err, c.text)
		}
	}
	_, err := n.client.Exchange(t.Context(), n.to, pattern(101))
	unavailable(t, err, OtherVersion)
	require.ErrorContains(t, err, "body of 101 bytes: want at most 100")
	v, err := n.client.Fetch(t.Context(), n.to, string(pattern(100)), pattern(100))
	require.NoError(t, err, "and all other keys are served")
	assert.Equal(t, pattern(100), v.Data)
	assert.Equal(t, Refused{Malformed: 6*tooOften + 1}, n.server.Refused())
}
