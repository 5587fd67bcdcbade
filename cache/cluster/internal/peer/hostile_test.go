package peer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Keys are any bytes. They arrive as they are, and only the body has them.
func TestHostileKeys(t *testing.T) {
	a, b := shared(t)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, p := range bothProtocols {
		t.Run(string(p), func(t *testing.T) {
			var got string
			n := connect(t, p, a, b, backend{fetch: func(_ context.Context, _, key string, _ []byte) (Value,
				error) {
				got = key
				return Value{Data: []byte(key)}, nil
			}})
			line := &tap{RoundTripper: n.client.rt}
			n.client.rt = line
			for _, key := range []string{
				"", "\x00", "\xff", "../../../etc/passwd", "..%2f..%2fadmin", "%2e%2e/", "/", "//", "a/b",
				"?q=1#f", string(every),
				"k\r\nX-Admin: 1\r\n\r\nGET /admin HTTP/1.1\r\n\r\n", "k\r\nSnowfence-Cache: other",
				"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
				"\u202e\ufeff", strings.Repeat("k", maxKey),
			} {
				v, err := n.fetch(t.Context(), key)
				require.NoError(t, err, "%q", key)
				assert.Equal(t, key, got)
				assert.Equal(t, key, string(v.Data))
			}
			for _, c := range line.all {
				assert.Equal(t, "/_cache/v1/fetch", c.path)
				for name, values := range c.header {
					assert.Equal(t, n.client.target(n.to).header[name], values, name)
				}
			}
		})
	}
}

// Names of nodes and caches are any strings, too. They are escaped where they are in headers.
func TestHostileNames(t *testing.T) {
	for _, p := range bothProtocols {
		for _, name := range []string{
			"", " ", "a b", "n\r\nX-Admin: 1", "\x00\xff", "ü/../%0d%0a", "+", strings.Repeat("n", maxName),
		} {
			a, b := shared(t)
			a.Node, a.Cache = name, name
			b.Cache = name
			var from string
			n := connect(t, p, a, b, backend{fetch: func(_ context.Context, f, _ string, _ []byte) (Value,
				error) {
				from = f
				return Value{}, nil
			}})
			_, err := n.fetch(t.Context(), "k")
			require.NoError(t, err, "%q", name)
			assert.Equal(t, name, from)
		}
	}
}

// A request that is not of this protocol is refused before the Backend gets it.
func TestMalformedRequests(t *testing.T) {
	good := func() captured {
		line := &tap{RoundTripper: roundTrips(func(*http.Request) (*http.Response,
			error) {
			return nil, errNetwork
		})}
		c := NewClient(configA(), line)
		_, err := c.Fetch(t.Context(), toB, "k", []byte("x"))
		unavailable(t, err, Unreachable)
		return line.all[0]
	}
	says := func(f ...string) func(*captured) {
		return func(c *captured) { c.header.Set(headerRequest, fields(f...)) }
	}
	for name, c := range map[string]struct {
		f      func(*captured)
		status int
	}{
		"no such path":   {func(c *captured) { c.path = "/v1/secrets" }, 404},
		"root":           {func(c *captured) { c.path = "/" }, 404},
		"no version":     {func(c *captured) { c.path = "/fetch" }, 404},
		"trailing slash": {func(c *captured) { c.path = "/v1/fetch/" }, 404},
		"traversal":      {func(c *captured) { c.path = "/a/../v1/fetch" }, 404},
		"dots":           {func(c *captured) { c.path = "/./v1/fetch" }, 404},
		"escaped dots":   {func(c *captured) { c.path = "/%2e%2e/v1/fetch" }, 404},
		"escaped slash":  {func(c *captured) { c.path = "/v1%2ffetch" }, 404},
		"escaped letter": {func(c *captured) { c.path = "/v1/%66etch" }, 404},
		"two slashes":    {func(c *captured) { c.path = "/x//v1/fetch" }, 404},
		"query":          {func(c *captured) { c.path = "/v1/fetch?key=k" }, 404},
		"no header":      {func(c *captured) { c.header.Del(headerRequest) }, 400},
		"two headers": {func(c *captured) {
			c.header.Add(headerRequest, c.header.Get(headerRequest))
		}, 400},
		"empty header":    {says(""), 400},
		"one field less":  {says(version, "things", "a", formatIncarnation(incarnationB)), 400},
		"one field more":  {says(version, "things", "a", formatIncarnation(incarnationB), "1", "1"), 400},
		"a space at last": {says(version, "things", "a", formatIncarnation(incarnationB), "1", ""), 400},
		"bad escape":      {says(version, "%zz", "a", formatIncarnation(incarnationB), "1"), 400},
		"long node": {says(version, "things", strings.Repeat("n", maxName+1), formatIncarnation(incarnationB),
			"1"), 400},
		"to of words":      {says(version, "things", "a", "sixteen letters.", "1"), 400},
		"short to":         {says(version, "things", "a", "b0b", "1"), 400},
		"capital to":       {says(version, "things", "a", strings.ToUpper(formatIncarnation(incarnationB)), "1"), 400},
		"no to":            {says(version, "things", "a", "", "1"), 400},
		"no silence":       {says(version, "things", "a", formatIncarnation(incarnationB), ""), 400},
		"silence of 0":     {says(version, "things", "a", formatIncarnation(incarnationB), "0"), 400},
		"negative silence": {says(version, "things", "a", formatIncarnation(incarnationB), "-1"), 400},
		"silence of words": {says(version, "things", "a", formatIncarnation(incarnationB), "1s"), 400},
		"large silence":    {says(version, "things", "a", formatIncarnation(incarnationB), "9223372036854775808"), 400},
		"timeout of 0":     {func(c *captured) { c.header.Set(headerTimeout, "0") }, 400},
		"empty timeout":    {func(c *captured) { c.header.Set(headerTimeout, "") }, 400},
		"two timeouts":     {func(c *captured) { c.header[headerTimeout] = []string{"1", "2"} }, 400},
		"empty body":       {func(c *captured) { c.body = nil }, 400},
		"bad frame":        {func(c *captured) { c.body = []byte{200, 1, 'x'} }, 400},
		"endless prefix":   {func(c *captured) { c.body = bytes.Repeat([]byte{0xff}, 20) }, 400},
		"huge prefix": {func(c *captured) { c.body = append(bytes.Repeat([]byte{0xff}, 9), 1, 'x') },
			400},
		"large key": {func(c *captured) { c.body = append(c.body, make([]byte, maxKey)...) },
			413},
		"large body": {func(c *captured) { c.body = make([]byte, 2<<20) }, 413},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewServer(configB(), backend{}) // which would panic
			r := good()
			c.f(&r)
			answer, status := r.send(s)
			assert.Equal(t, c.status, status)
			assert.Contains(t, []string{"malformed", "too-large"}, answer)
			assert.Equal(t, Refused{Malformed: 1}, s.Refused())
		})
	}
	t.Run("as it is", func(t *testing.T) {
		answer, status := good().send(NewServer(configB(), backend{fetch: echo}))
		assert.Equal(t, "value", answer)
		assert.Equal(t, http.StatusOK, status)
	})
}

func TestMethods(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "X"} {
		s := NewServer(configB(), backend{})
		w := newRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "http://b/v1/fetch",
			http.NoBody))
		assert.Equal(t, http.StatusMethodNotAllowed, w.Code, method)
		assert.Equal(t, http.MethodPost, w.Header().Get("Allow"))
	}
}

// A length that is not known, or a lie, or headers without end.
func TestOversizedRequests(t *testing.T) {
	s := NewServer(configB(), backend{fetch: echo})
	for _, p := range bothProtocols {
		base := serveOn(t, p, s)
		rt := transport(t, p)
		send := func(length int64, body io.Reader, h http.Header) (status int, err error) {
			u, err := url.Parse(base + "/v1/fetch")
			require.NoError(t, err)
			r := (&http.Request{
				Method: http.MethodPost, URL: u, Header: h, ContentLength: length, Body: io.NopCloser(body),
			}).WithContext(t.Context())
			res, err := rt.RoundTrip(r)
			if err != nil {
				return 0, err
			}
			_, _ = io.Copy(io.Discard, res.Body)
			return res.StatusCode, res.Body.Close()
		}
		h := newTarget(&Config{Node: "a", Incarnation: incarnationA, Cache: "things", PeerTimeout: testPeerTimeout}, toB,
			nil).header
		status, err := send(-1, strings.NewReader("\x00\x00k"), h)
		require.NoError(t, err)
		assert.Equal(t, http.StatusLengthRequired, status)

		status, err = send(2<<20, strings.NewReader(strings.Repeat("x", 2<<20)), h)
		if err == nil { // or it has broken off, as it may while the request is still being sent
			assert.Equal(t, http.StatusRequestEntityTooLarge, status)
		}

		huge := h.Clone()
		huge.Set(headerRequest, strings.Repeat("n", 2<<20))
		status, err = send(3, strings.NewReader("\x00\x00k"), huge)
		if err == nil {
			assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, status)
		}
		status, err = send(3, strings.NewReader("\x00\x00k"), h)
		require.NoError(t, err, "and what is right passes")
		assert.Equal(t, http.StatusOK, status)
	}
	assert.Equal(t, uint64(4), s.Refused().Malformed)
}

var errNoAccess = errors.New("secret reason")

func TestAuthorize(t *testing.T) {
	b := configB()
	b.Authorize = func(r *http.Request) error {
		if strings.HasPrefix(r.Header.Get(headerRequest), "1 things a ") {
			return nil
		}
		return errNoAccess
	}
	n := connect(t, http1, configA(), b, backend{fetch: echo})
	_, err := n.fetch(t.Context(), "k")
	require.NoError(t, err)
	n.client.config.Node = "x"
	n.client.Forget(func(Address) bool { return false })
	_, err = n.fetch(t.Context(), "k")
	unavailable(t, err, Denied)
	assert.NotContains(t, err.Error(), "secret")
	assert.Equal(t, Refused{Unauthenticated: 1}, n.server.Refused())
}
