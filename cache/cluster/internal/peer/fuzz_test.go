package peer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// For any body the Backend gets a key and deletes that encode to it exactly, or nothing.
func FuzzFetchBody(f *testing.F) {
	f.Add([]byte("\x00\x00key"))
	f.Add([]byte("\x00\x03idskey"))
	f.Add([]byte("\xe8\x07\x03idskey"))
	f.Fuzz(func(t *testing.T, body []byte) {
		const maxKey, maxAfter = 64, 32
		key, after, late, err := decodeFetch(body, maxKey, maxAfter)
		if err != nil {
			require.Empty(t, key)
			require.Nil(t, after)
			return
		}
		require.LessOrEqual(t, len(key), maxKey)
		require.LessOrEqual(t, len(after), maxAfter)
		require.True(t, bytes.HasSuffix(body, append(bytes.Clone(after), key...)))
		require.GreaterOrEqual(t, late, time.Duration(0))
		k, a, l, err := decodeFetch(encodeFetch(key, after, late), maxKey, maxAfter)
		require.NoError(t, err)
		require.Equal(t, late, l)
		require.Equal(t, key, k)
		require.Equal(t, after, a)
	})
}

// The same holds for a body with many keys.
func FuzzManyBody(f *testing.F) {
	asker := NewClient(configA(), nil)
	for _, asks := range [][]Ask{
		{{Key: "key"}},
		{{Key: "a", After: []byte("ids")}, {Key: "b", After: []byte("ids")}, {Key: ""}, {Key: "a"}},
	} {
		body, _ := asker.encodeMany(asks, []int{0, 1, 2, 3}[:len(asks)], time.Second)
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		const maxKey, maxAfter = 64, 32
		m, err := decodeMany(body, maxKey, maxAfter)
		if err != nil {
			require.Empty(t, m)
			return
		}
		which := make([]int, len(m.asks))
		for i, a := range m.asks {
			which[i] = i
			require.LessOrEqual(t, len(a.Key), maxKey)
			require.LessOrEqual(t, len(a.After), maxAfter)
		}
		require.NotEmpty(t, which)
		require.LessOrEqual(t, len(which), len(body)/2)
		require.GreaterOrEqual(t, m.late, time.Duration(0))
		again, n := asker.encodeMany(m.asks, which, m.late)
		require.Equal(t, len(which), n)
		same, err := decodeMany(again, maxKey, maxAfter)
		require.NoError(t, err)
		require.Equal(t, m.asks, same.asks)
		require.Equal(t, m.late, same.late)
	})
}

// Any answer about many keys has an outcome for each within its bounds, or is refused.
func FuzzOutcomes(f *testing.F) {
	w := &serverRequest{server: NewServer(configB(), backend{})}
	f.Add(2, w.encodeOutcomes(f.Context(), []Outcome{
		{Value: Value{Data: []byte("value"), Keep: time.Minute}}, {Err: &MisplacedError{Owner: "c"}},
	}, 100))
	f.Add(6, w.encodeOutcomes(f.Context(), []Outcome{
		{Err: errNotFound}, {Err: errNotFound}, {Err: ErrBusy}, {Err: ErrClosing}, {Err: errOther},
		{Value: Value{Data: make([]byte, 101)}},
	}, 100))
	f.Fuzz(func(t *testing.T, keys int, b []byte) {
		c := configA()
		c.MaxValue = 100
		keys &= 0xff
		var outcomes []reply
		err := NewClient(c, nil).decodeOutcomes(b, keys, func(i int, r reply) {
			require.Len(t, outcomes, i)
			outcomes = append(outcomes, r)
		})
		if err != nil {
			require.LessOrEqual(t, len(outcomes), keys)
			return
		}
		require.Len(t, outcomes, keys)
		for _, o := range outcomes {
			v, err := o.result("b", "k")
			require.LessOrEqual(t, len(v.Data), c.MaxValue)
			require.True(t, err == nil || v.Data == nil)
			if o.kind == leftOut {
				require.Empty(t, v.Data)
			}
		}
	})
}

// Any bytes decode to an error of Load within its bounds, or to none.
func FuzzLoadError(f *testing.F) {
	names := map[string]error{"a": errNotFound, "b": errOther}
	f.Add(encodeLoadError(errNotFound, names))
	f.Add(encodeLoadError(errors.Join(errOther, errNotFound, context.Canceled), names))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeLoadError(b, names)
		if err != nil {
			require.Nil(t, e)
			return
		}
		require.NotContains(t, e.Kind.String(), "LoadKind")
		require.LessOrEqual(t, len(e.Message), maxText)
		require.LessOrEqual(t, len(e.Stack), maxStack)
		require.LessOrEqual(t, len(e.is), len(commonErrors)+maxNames)
		require.NotEmpty(t, e.Error())
		for _, is := range e.is {
			require.ErrorIs(t, e, is)
		}
	})
}

// Any request gets an answer of this protocol, and is served only if it is complete.
func FuzzRequest(f *testing.F) {
	f.Add("/v1/fetch", "1", "things", "a", formatIncarnation(incarnationB), "1000", "", []byte("\x00\x00k"))
	f.Add("/v1/fetch-many", "1", "things", "a", formatIncarnation(incarnationB), "1000", "",
		[]byte("\x00\x09\x01\x01\x01k"))
	f.Add("/x/v1/deletes", "1", "things", "%0d", formatIncarnation(incarnationB), "1", "1", []byte("m"))
	served := 0
	plain := NewServer(configB(), backend{
		fetch: func(context.Context, string, string, []byte) (Value,
			error) {
			served++
			return Value{}, nil
		},
		many: func(_ context.Context, _ string, asks []Ask) []Outcome {
			served++
			return make([]Outcome, len(asks))
		},
		exchange: func(context.Context, string, []byte) ([]byte, error) { served++; return nil, nil },
	})
	b := configB()
	b.Identity = identity(f, sharedKey(1))
	guarded := NewServer(b, backend{}) // it would panic
	f.Fuzz(func(t *testing.T, path, protocol, cache, node, to, silence, timeout string, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		r.URL.Path, r.URL.RawPath = path, ""
		r.Header = http.Header{
			headerRequest: {fields(protocol, cache, node, to, silence)},
		}
		if timeout != "" {
			r.Header.Set(headerTimeout, timeout)
		}
		for _, s := range []*Server{plain, guarded} {
			served = 0
			again := r.Clone(r.Context())
			again.Body = io.NopCloser(bytes.NewReader(body))
			w := newRecorder()
			s.ServeHTTP(w, again)
			k, ok := parseKind(kindOf(w), w.Code)
			require.True(t, ok, "%d %q", w.Code, w.Header())
			require.Equal(t, strconv.Itoa(w.Body.Len()), strings.Split(w.Header().Get(headerAnswer), " ")[2])
			require.Equal(t, k == value, served == 1)
			if k == value {
				require.Same(t, plain, s)
				require.Equal(t, version, protocol)
				require.Equal(t, formatIncarnation(incarnationB), to)
			}
			require.Empty(t, s.running)
		}
	})
}

// A Client takes nothing from an answer that is not consistent. With keys it takes nothing at all,
// since the answer did not come over TLS.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "1", "value", "5", "60000000000", "3", []byte("value"), int64(5))
	f.Add(421, "1", "misplaced", "1", "", "", []byte("c"), int64(-1))
	f.Add(409, "1", "run", "1", "", "", []byte("c"), int64(-1))
	f.Add(500, "1", "failed", "12", "", "", encodeLoadError(errOther, nil), int64(-1))
	shared := identity(f, sharedKey(1))
	f.Fuzz(func(t *testing.T, status int, protocol, kind, length, keep, signs string, body []byte, contentLength int64) {
		for _, d := range []*Identity{nil, shared} {
			c := configA()
			c.Identity = d
			answer := &http.Response{StatusCode: status, Header: http.Header{},
				Body: io.NopCloser(bytes.NewReader(body))}
			answer.ContentLength = contentLength
			if protocol != "" {
				answer.Header[headerAnswer] = []string{fields(protocol, kind, length, cmp.Or(keep, "0"),
					cmp.Or(signs, "0"))}
			}
			k := NewClient(c, roundTrips(func(*http.Request) (*http.Response, error) { return answer, nil }))
			v, err := k.Fetch(t.Context(), toB, "k", nil)
			var u *UnavailableError
			switch {
			case err == nil:
				require.Equal(t, "value", kind)
				require.Equal(t, http.StatusOK, status)
				require.Equal(t, strconv.Itoa(len(body)), length)
				require.Equal(t, body, v.Data)
				require.Nil(t, d)
			case errors.As(err, &u):
				require.NotZero(t, u.Reason)
				require.Error(t, u.Err)
			default:
				require.Nil(t, d, "%v", err)
			}
			k.Close()
		}
	})
}
