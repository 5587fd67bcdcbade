package peer

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mustNotServe is a Backend that must not be called: it would panic.
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

// Nodes that don't belong together answer what differs.
func TestOtherVersion(t *testing.T) {
	for name, c := range map[string]struct {
		f    func(*http.Request)
		text string
	}{
		"header": {func(r *http.Request) { r.Header.Set(headerRequest, "2 anything") },
			"this node speaks version 1"},
		"path": {func(r *http.Request) { r.URL.Path = "/v2/fetch" }, "this node speaks version 1"},
	} {
		t.Run(name, func(t *testing.T) {
			withKeys(t, func(t *testing.T, d *Identity) {
				a, b := configA(), configB()
				a.Identity, b.Identity = d, d
				n := connect(t, http1, a, b, mustNotServe)
				n.client.rt = altered{n.client.rt, func(r *http.Request) {
					u := *r.URL
					r.URL = &u
					c.f(r)
				}}
				_, err := n.fetch(t.Context(), "k")
				unavailable(t, err, OtherVersion)
				assert.ErrorContains(t, err, c.text)
				assert.Equal(t, Refused{OtherVersion: 1}, n.server.Refused())
			})
		})
	}
}

func TestAnotherCacheOrRun(t *testing.T) {
	withKeys(t, func(t *testing.T, d *Identity) {
		a, b := configA(), configB()
		a.Identity, b.Identity = d, d
		b.Cache = "other things"
		n := connect(t, http1, a, b, mustNotServe)
		_, err := n.fetch(t.Context(), "k")
		unavailable(t, err, WrongCache)
		assert.ErrorContains(t, err, `the cache at its URL is "other things", and not "things"`)
		assert.Equal(t, Refused{OtherVersion: 1}, n.server.Refused())

		b.Cache = a.Cache
		n = connect(t, http1, a, b, mustNotServe)
		n.to.Incarnation++
		for range 2 * maxFailures {
			_, err = n.fetch(t.Context(), "k")
			unavailable(t, err, Closing)
			assert.ErrorContains(t, err, "it has been restarted")
		}
		assert.Equal(t, "closed", n.client.Breaker(n.to), "nothing is wrong with it")
		assert.Equal(t, Refused{OtherVersion: 2 * maxFailures}, n.server.Refused())

		b.Node = "c"
		n = connect(t, http1, a, b, mustNotServe)
		n.to.Node, n.to.Incarnation = "b", 1
		_, err = n.fetch(t.Context(), "k")
		unavailable(t, err, WrongNode)
		assert.ErrorContains(t, err, `the node at its URL is "c"`)
	})
}

func TestDifferentLimits(t *testing.T) {
	a, b := configA(), configB()
	a.MaxKey, b.MaxKey = 1<<20, 100
	a.MaxMessage, b.MaxMessage = 1<<20, 100
	n := connect(t, http1, a, b, backend{fetch: echo})
	for _, c := range []struct {
		key, after int
		text       string
	}{
		{101, 0, "key of 101 bytes: want at most 100"},
		{0, 101, "list of deletes of 101 bytes: want at most 100"},
		{10000, 0, "body of 10002 bytes: want at most 220"},
	} {
		for range 2 * maxFailures {
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
	assert.Equal(t, Refused{Malformed: 6*maxFailures + 1}, n.server.Refused())
}
