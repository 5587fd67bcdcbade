package peer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func sharedKey(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

// signed are two nodes with a shared key.
func signed() (a, b Config) {
	a, b = configA(), configB()
	a.Keys, b.Keys = [][]byte{sharedKey(1)}, [][]byte{sharedKey(1)}
	return a, b
}

func TestKeysThatDiffer(t *testing.T) {
	for name, c := range map[string]struct {
		a, b    [][]byte
		reason  Reason // 0: none
		refused Refused
	}{
		"the same":               {[][]byte{sharedKey(1)}, [][]byte{sharedKey(1)}, 0, Refused{}},
		"asker has none":         {nil, [][]byte{sharedKey(1)}, Denied, Refused{Unauthenticated: 1}},
		"asker has another":      {[][]byte{sharedKey(2)}, [][]byte{sharedKey(1)}, Denied, Refused{Unauthenticated: 1}},
		"owner has none":         {[][]byte{sharedKey(1)}, nil, Rubbish, Refused{}},
		"rotation, new at b":     {[][]byte{sharedKey(1)}, [][]byte{sharedKey(1), sharedKey(2)}, 0, Refused{}},
		"rotation, new first":    {[][]byte{sharedKey(1)}, [][]byte{sharedKey(2), sharedKey(1)}, 0, Refused{}},
		"rotation, both":         {[][]byte{sharedKey(2), sharedKey(1)}, [][]byte{sharedKey(1), sharedKey(2)}, 0, Refused{}},
		"rotation, old dropped":  {[][]byte{sharedKey(2)}, [][]byte{sharedKey(2)}, 0, Refused{}},
		"rotation, second signs": {[][]byte{sharedKey(2), sharedKey(1)}, [][]byte{sharedKey(1)}, Denied, Refused{Unauthenticated: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := configA(), configB()
			a.Keys, b.Keys = c.a, c.b
			n := connect(t, h2c, a, b, backend{fetch: echo})
			v, err := n.fetch(t.Context(), "k")
			if c.reason == 0 {
				require.NoError(t, err)
				assert.Equal(t, "k", string(v.Data))
			} else {
				unavailable(t, err, c.reason)
				assert.Zero(t, v)
			}
			assert.Equal(t, c.refused, n.server.Refused())
		})
	}
}

// captured is a request as somebody on the line sees it.
type captured struct {
	header http.Header
	path   string
	body   []byte
}

// tap remembers all requests that pass.
type tap struct {
	http.RoundTripper
	mu  sync.Mutex
	all []captured
}

func (p *tap) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.all = append(p.all, captured{r.Header.Clone(), r.URL.Path, body})
	p.mu.Unlock()
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	return p.RoundTripper.RoundTrip(r)
}

// send gives a captured request to a server and returns the kind of the answer.
func (c captured) send(h http.Handler) (answer string, status int) {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, c.path, bytes.NewReader(c.body))
	r.Header = c.header.Clone()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Header().Get(headerAnswer), w.Code
}

// A captured request is of no use: not at the same node, nor at another one, nor at the same one after a restart.
func TestReplay(t *testing.T) {
	a, b := signed()
	served := 0
	back := backend{
		fetch: func(_ context.Context, _, key string, _ []byte) (Value, error) {
			served++
			return Value{Data: []byte(key)}, nil
		},
		exchange: func(context.Context, string, []byte) ([]byte, error) { served++; return nil, nil },
	}
	n := connect(t, h2c, a, b, back)
	line := &tap{RoundTripper: n.client.rt}
	n.client.rt = line
	_, err := n.fetch(t.Context(), "k")
	require.NoError(t, err)
	_, err = n.client.Exchange(t.Context(), n.to, []byte("m"))
	require.NoError(t, err)
	require.Equal(t, 2, served)
	served = 0

	c := b
	c.Node, c.Run = "c", 0xc
	restarted := b
	restarted.Run++
	for _, r := range line.all {
		answer, status := r.send(n.server)
		assert.Equal(t, "denied", answer, "the same node")
		assert.Equal(t, http.StatusUnauthorized, status)
		answer, status = r.send(NewServer(c, back))
		assert.Equal(t, "differs", answer, "another node")
		assert.Equal(t, http.StatusConflict, status)
		answer, _ = r.send(NewServer(restarted, back))
		assert.Equal(t, "differs", answer, "the same node after a restart")

		r.header.Set(headerTo, formatRun(restarted.Run))
		answer, _ = r.send(NewServer(restarted, back))
		assert.Equal(t, "denied", answer, "readdressed")
	}
	assert.Zero(t, served)
	assert.Equal(t, Refused{Unauthenticated: 2}, n.server.Refused())
}

// What was not sent is not authentic: everything that means something is signed.
func TestAlteredRequests(t *testing.T) {
	a, b := signed()
	for name, f := range map[string]func(*captured){
		"endpoint":       func(c *captured) { c.path = strings.Replace(c.path, "fetch", "deletes", 1) },
		"cache":          func(c *captured) { c.header.Set(headerCache, "others") },
		"node":           func(c *captured) { c.header.Set(headerNode, "x") },
		"from":           func(c *captured) { c.header.Set(headerFrom, formatRun(1)) },
		"to":             func(c *captured) { c.header.Set(headerTo, formatRun(1)) },
		"silence":        func(c *captured) { c.header.Set(headerSilence, "1") },
		"timeout":        func(c *captured) { c.header.Set(headerTimeout, "1") },
		"no timeout":     func(c *captured) { c.header.Del(headerTimeout) },
		"counter":        func(c *captured) { auth(c, 17+15) },
		"epoch":          func(c *captured) { auth(c, 15) },
		"MAC, first":     func(c *captured) { auth(c, 34) },
		"MAC, last":      func(c *captured) { auth(c, lenAuth-1) },
		"MAC, short":     func(c *captured) { c.header.Set(headerAuth, c.header.Get(headerAuth)[:lenAuth-1]) },
		"MAC, long":      func(c *captured) { c.header.Set(headerAuth, c.header.Get(headerAuth)+"0") },
		"MAC, twice":     func(c *captured) { c.header.Add(headerAuth, c.header.Get(headerAuth)) },
		"no MAC":         func(c *captured) { c.header.Del(headerAuth) },
		"key":            func(c *captured) { c.body[len(c.body)-1] ^= 1 },
		"longer key":     func(c *captured) { c.body = append(c.body, 'x') },
		"shorter key":    func(c *captured) { c.body = c.body[:len(c.body)-1] },
		"key and before": func(c *captured) { c.body[0]++ },
	} {
		t.Run(name, func(t *testing.T) {
			n := connect(t, h2c, a, b, backend{fetch: echo})
			line := &tap{RoundTripper: roundTrips(func(*http.Request) (*http.Response, error) { return nil, errNetwork })}
			n.client.rt = line
			ctx, cancel := context.WithTimeout(t.Context(), patienceOfTests)
			defer cancel()
			_, err := n.client.Fetch(ctx, n.to, "the key", []byte("deletes"))
			unavailable(t, err, Unreachable)
			c := line.all[0]
			f(&c)
			answer, status := c.send(n.server)
			assert.Equal(t, "denied", answer)
			assert.Equal(t, http.StatusUnauthorized, status)
			assert.Equal(t, Refused{Unauthenticated: 1}, n.server.Refused())
		})
	}
}

// auth changes a digit of the header that signs.
func auth(c *captured, i int) {
	v := []byte(c.header.Get(headerAuth))
	v[i] ^= 1 // a digit stays a digit, and f becomes g: either is wrong
	c.header.Set(headerAuth, string(v))
}

// No answer that the node which was asked did not give to this request is believed.
func TestForgedAnswers(t *testing.T) {
	a, b := signed()
	var before http.Header
	for name, f := range map[string]func(*http.Response) string{
		"value":      func(r *http.Response) string { return body(r, "A value") },
		"shorter":    func(r *http.Response) string { return body(r, "a valu") },
		"longer":     func(r *http.Response) string { return body(r, "a value!") },
		"cut off":    func(r *http.Response) string { r.Body = io.NopCloser(strings.NewReader("a val")); return "" },
		"keep":       func(r *http.Response) string { r.Header.Set(headerKeep, "2"); return "" },
		"no keep":    func(r *http.Response) string { r.Header.Del(headerKeep); return "" },
		"no MAC":     func(r *http.Response) string { r.Header.Del(headerAuth); return "" },
		"short MAC":  func(r *http.Response) string { r.Header.Set(headerAuth, "00"); return "" },
		"wrong MAC":  func(r *http.Response) string { r.Header.Set(headerAuth, strings.Repeat("0", 64)); return "" },
		"other kind": func(r *http.Response) string { r.Header.Set(headerAnswer, "misplaced"); r.StatusCode = 421; return "" },
		"unsigned misplaced": func(r *http.Response) string {
			r.Header.Set(headerAnswer, "misplaced")
			r.StatusCode = 421
			r.Header.Del(headerAuth)
			return ""
		},
		"unsigned error": func(r *http.Response) string {
			r.Header.Set(headerAnswer, "failed")
			r.StatusCode = 500
			r.Header.Del(headerAuth)
			return body(r, string(encodeLoadError(errNetwork, nil)))
		},
		"unsigned epoch": func(r *http.Response) string {
			r.Header.Set(headerAnswer, "sign-again")
			r.StatusCode = 401
			r.Header.Del(headerAuth)
			return body(r, formatRun(7))
		},
		"answer to an earlier request": func(r *http.Response) string {
			if before == nil {
				before = r.Header.Clone()
				return "good"
			}
			r.Header = before
			return ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := connect(t, h2c, a, b, backend{fetch: func(context.Context, string, string, []byte) (Value, error) {
				return Value{Data: []byte("a value"), Keep: 1}, nil
			}})
			rt, asked := n.client.rt, 0
			good := false
			n.client.rt = roundTrips(func(r *http.Request) (*http.Response, error) {
				res, err := rt.RoundTrip(r)
				if err == nil {
					asked++
					good = f(res) == "good"
				}
				return res, err
			})
			v, err := n.fetch(t.Context(), "k")
			if good {
				require.NoError(t, err)
				v, err = n.fetch(t.Context(), "k")
			}
			var u *UnavailableError
			require.ErrorAs(t, err, &u)
			assert.Contains(t, []Reason{Rubbish, Unreachable}, u.Reason)
			assert.Zero(t, v)
			assert.Equal(t, uint64(runB), n.client.target(n.to).epoch.Load(), "nobody else sets the epoch")
		})
	}
}

// body replaces that of a response.
func body(r *http.Response, text string) string {
	r.Body = io.NopCloser(strings.NewReader(text))
	r.ContentLength = int64(len(text))
	r.Header.Set(headerLength, strconv.Itoa(len(text)))
	return ""
}

// Who has no key learns nothing of the node, not even which run or cache it is.
func TestStrangersLearnNothing(t *testing.T) {
	_, b := signed()
	s := NewServer(b, backend{fetch: echo})
	want := ""
	for _, f := range []func(*Config, *Address){
		func(*Config, *Address) {},
		func(c *Config, _ *Address) { c.Cache = "others" },
		func(_ *Config, to *Address) { to.Run = 1 },
	} {
		a := configA()
		a.Keys = [][]byte{sharedKey(9)}
		to := toB
		f(&a, &to)
		c := NewClient(a, roundTrips(func(r *http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			return w.Result(), nil
		}))
		_, err := c.Fetch(t.Context(), to, "k", nil)
		unavailable(t, err, Denied)
		if want == "" {
			want = err.Error()
		}
		assert.EqualError(t, err, want)
	}
}

// Keys are any bytes. They arrive as they are, and are nowhere but in the body.
func TestHostileKeys(t *testing.T) {
	a, b := signed()
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, p := range bothProtocols {
		t.Run(string(p), func(t *testing.T) {
			var got string
			n := connect(t, p, a, b, backend{fetch: func(_ context.Context, _, key string, _ []byte) (Value, error) {
				got = key
				return Value{Data: []byte(key)}, nil
			}})
			line := &tap{RoundTripper: n.client.rt}
			n.client.rt = line
			for _, key := range []string{
				"", "\x00", "\xff", "../../../etc/passwd", "..%2f..%2fadmin", "%2e%2e/", "/", "//", "a/b", "?q=1#f", string(every),
				"k\r\nX-Admin: 1\r\n\r\nGET /admin HTTP/1.1\r\n\r\n", "k\r\nSnowfence-Cache: other", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
				"\u202e\ufeff", strings.Repeat("k", DefaultMaxKey),
			} {
				v, err := n.fetch(t.Context(), key)
				require.NoError(t, err, "%q", key)
				assert.Equal(t, key, got)
				assert.Equal(t, key, string(v.Data))
			}
			for _, c := range line.all {
				assert.Equal(t, "/_cache/v1/fetch", c.path)
				for name, values := range c.header {
					if name != headerAuth {
						want := n.client.target(n.to).header[name]
						assert.Equal(t, want, values, name)
					}
				}
			}
		})
	}
}

// Names of nodes and caches are any strings, too. They are escaped where they are in headers.
func TestHostileNames(t *testing.T) {
	for _, p := range bothProtocols {
		for _, name := range []string{"", " ", "a b", "n\r\nX-Admin: 1", "\x00\xff", "ü/../%0d%0a", "+", strings.Repeat("n", maxName)} {
			a, b := signed()
			a.Node, a.Cache = name, name
			b.Cache = name
			var from string
			n := connect(t, p, a, b, backend{fetch: func(_ context.Context, f, _ string, _ []byte) (Value, error) {
				from = f
				return Value{}, nil
			}})
			_, err := n.fetch(t.Context(), "k")
			require.NoError(t, err, "%q", name)
			assert.Equal(t, name, from)
		}
	}
}

// What is not a request of this protocol is refused before the Backend hears of it.
func TestMalformedRequests(t *testing.T) {
	good := func() captured {
		line := &tap{RoundTripper: roundTrips(func(*http.Request) (*http.Response, error) { return nil, errNetwork })}
		c := NewClient(configA(), line)
		_, err := c.Fetch(t.Context(), toB, "k", []byte("x"))
		unavailable(t, err, Unreachable)
		return line.all[0]
	}
	for name, c := range map[string]struct {
		f      func(*captured)
		status int
	}{
		"no such path":     {func(c *captured) { c.path = "/v1/secrets" }, 404},
		"root":             {func(c *captured) { c.path = "/" }, 404},
		"no version":       {func(c *captured) { c.path = "/fetch" }, 404},
		"trailing slash":   {func(c *captured) { c.path = "/v1/fetch/" }, 404},
		"traversal":        {func(c *captured) { c.path = "/a/../v1/fetch" }, 404},
		"dots":             {func(c *captured) { c.path = "/./v1/fetch" }, 404},
		"escaped dots":     {func(c *captured) { c.path = "/%2e%2e/v1/fetch" }, 404},
		"escaped slash":    {func(c *captured) { c.path = "/v1%2ffetch" }, 404},
		"escaped letter":   {func(c *captured) { c.path = "/v1/%66etch" }, 404},
		"two slashes":      {func(c *captured) { c.path = "/x//v1/fetch" }, 404},
		"query":            {func(c *captured) { c.path = "/v1/fetch?key=k" }, 404},
		"no protocol":      {func(c *captured) { c.header.Del(headerProtocol) }, 400},
		"two protocols":    {func(c *captured) { c.header.Add(headerProtocol, version) }, 400},
		"no cache":         {func(c *captured) { c.header.Del(headerCache) }, 400},
		"two caches":       {func(c *captured) { c.header.Add(headerCache, "things") }, 400},
		"bad escape":       {func(c *captured) { c.header.Set(headerCache, "%zz") }, 400},
		"no node":          {func(c *captured) { c.header.Del(headerNode) }, 400},
		"long node":        {func(c *captured) { c.header.Set(headerNode, strings.Repeat("n", maxName+1)) }, 400},
		"no from":          {func(c *captured) { c.header.Del(headerFrom) }, 400},
		"from of words":    {func(c *captured) { c.header.Set(headerFrom, "sixteen letters.") }, 400},
		"short from":       {func(c *captured) { c.header.Set(headerFrom, "1") }, 400},
		"no to":            {func(c *captured) { c.header.Del(headerTo) }, 400},
		"two tos":          {func(c *captured) { c.header.Add(headerTo, formatRun(runB)) }, 400},
		"no silence":       {func(c *captured) { c.header.Del(headerSilence) }, 400},
		"silence of 0":     {func(c *captured) { c.header.Set(headerSilence, "0") }, 400},
		"negative silence": {func(c *captured) { c.header.Set(headerSilence, "-1") }, 400},
		"silence of words": {func(c *captured) { c.header.Set(headerSilence, "1s") }, 400},
		"large silence":    {func(c *captured) { c.header.Set(headerSilence, "9223372036854775808") }, 400},
		"timeout of 0":     {func(c *captured) { c.header.Set(headerTimeout, "0") }, 400},
		"empty timeout":    {func(c *captured) { c.header.Set(headerTimeout, "") }, 400},
		"two timeouts":     {func(c *captured) { c.header[headerTimeout] = []string{"1", "2"} }, 400},
		"empty body":       {func(c *captured) { c.body = nil }, 400},
		"bad frame":        {func(c *captured) { c.body = []byte{200, 1, 'x'} }, 400},
		"endless prefix":   {func(c *captured) { c.body = bytes.Repeat([]byte{0xff}, 20) }, 400},
		"huge prefix":      {func(c *captured) { c.body = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 'x'} }, 400},
		"large key":        {func(c *captured) { c.body = append(c.body, make([]byte, DefaultMaxKey)...) }, 413},
		"large body":       {func(c *captured) { c.body = make([]byte, 2<<20) }, 413},
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
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "http://b/v1/fetch", http.NoBody))
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
		h := newTarget(&Config{Node: "a", Run: runA, Cache: "things", Silence: patienceOfTests}, toB).header
		status, err := send(-1, strings.NewReader("\x00k"), h)
		require.NoError(t, err)
		assert.Equal(t, http.StatusLengthRequired, status)

		status, err = send(2<<20, strings.NewReader(strings.Repeat("x", 2<<20)), h)
		if err == nil { // or it has broken off, as it may while the request is still being sent
			assert.Equal(t, http.StatusRequestEntityTooLarge, status)
		}

		huge := h.Clone()
		huge.Set(headerNode, strings.Repeat("n", 2<<20))
		status, err = send(2, strings.NewReader("\x00k"), huge)
		if err == nil {
			assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, status)
		}
		status, err = send(2, strings.NewReader("\x00k"), h)
		require.NoError(t, err, "and what is right passes")
		assert.Equal(t, http.StatusOK, status)
	}
	assert.Equal(t, uint64(4), s.Refused().Malformed)
}

var errNoAccess = errors.New("secret reason")

func TestAuthorize(t *testing.T) {
	b := configB()
	b.Authorize = func(r *http.Request) error {
		if r.Header.Get(headerNode) == "a" {
			return nil
		}
		return errNoAccess
	}
	n := connect(t, h2c, configA(), b, backend{fetch: echo})
	_, err := n.fetch(t.Context(), "k")
	require.NoError(t, err)
	n.client.config.Node = "x"
	n.client.Forget(func(Address) bool { return false })
	_, err = n.fetch(t.Context(), "k")
	unavailable(t, err, Denied)
	assert.NotContains(t, err.Error(), "secret")
	assert.Equal(t, Refused{Unauthenticated: 1}, n.server.Refused())
}

// The MAC of a request and that of its answer, computed from what the package's documentation says.
func TestMACsAreAsDocumented(t *testing.T) {
	m := newSigner([]byte("0123456789abcdef0123456789abcdef")).request(fetchEndpoint,
		&head{cache: "things", node: "a", from: 1, to: 2, silence: 3, timeout: 4}, stamp{5, 6}, []byte("\x00key"))
	var text strings.Builder
	text.WriteString("snowfence peer request 1\x00")
	text.WriteString("\x05fetch\x06things\x01a")
	for n := range byte(6) {
		text.WriteString("\x00\x00\x00\x00\x00\x00\x00")
		text.WriteByte([]byte{1, 2, 5, 6, 3, 4}[n])
	}
	text.WriteString("\x00\x00\x00\x00\x00\x00\x00\x04\x00key")
	assert.Equal(t, hmacOf("0123456789abcdef0123456789abcdef", text.String()), m)

	answered := newSigner([]byte("0123456789abcdef0123456789abcdef")).answer(m, answer{kind: value, keep: 7, body: []byte("v")})
	assert.Equal(t, hmacOf("0123456789abcdef0123456789abcdef",
		"snowfence peer answer 1\x00"+string(m[:])+"\x01\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x01v"), answered)
}

// hmacOf is RFC 2104 by hand.
func hmacOf(key, text string) mac {
	inner, outer := bytes.Repeat([]byte{0x36}, 64), bytes.Repeat([]byte{0x5c}, 64)
	for i := range len(key) {
		inner[i] ^= key[i]
		outer[i] ^= key[i]
	}
	sum := sha256.Sum256(append(inner, text...))
	return sha256.Sum256(append(outer, sum[:]...))
}
