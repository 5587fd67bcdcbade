package peer

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
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
	w := newRecorder()
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
			r.Header.Del(headerKeep)
			r.Header.Set(headerAnswer, "misplaced")
			r.StatusCode = 421
			r.Header.Del(headerAuth)
			return ""
		},
		"unsigned error": func(r *http.Response) string {
			r.Header.Del(headerKeep)
			r.Header.Set(headerAnswer, "failed")
			r.StatusCode = 500
			r.Header.Del(headerAuth)
			return body(r, string(encodeLoadError(errNetwork, nil)))
		},
		"unsigned epoch": func(r *http.Response) string {
			r.Header.Del(headerKeep)
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
			w := newRecorder()
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
