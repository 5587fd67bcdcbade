package peer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Whatever body a stranger sends, the Backend gets a key and deletes that make it up exactly, or nothing.
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

// Whatever arrives as an error of Load is one within its bounds, or none.
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
		require.LessOrEqual(t, len(e.is), len(known)+maxNames)
		require.NotEmpty(t, e.Error())
		for _, is := range e.is {
			require.ErrorIs(t, e, is)
		}
	})
}

// Whatever request arrives, the answer is one of this protocol, and it is served only if it says all that it must.
func FuzzRequest(f *testing.F) {
	f.Add("/v1/fetch", "1", "things", "a", formatRun(runA), formatRun(runB), "1000", "", "", []byte("\x00k"))
	f.Add("/x/v1/deletes", "1", "things", "%0d", formatRun(runA), formatRun(runB), "1", "1", "x", []byte("m"))
	served := 0
	plain := NewServer(configB(), backend{
		fetch:    func(context.Context, string, string, []byte) (Value, error) { served++; return Value{}, nil },
		exchange: func(context.Context, string, []byte) ([]byte, error) { served++; return nil, nil },
	})
	b := configB()
	b.Keys = [][]byte{sharedKey(1)}
	guarded := NewServer(b, backend{}) // it would panic
	f.Fuzz(func(t *testing.T, path, protocol, cache, node, from, to, silence, timeout, auth string, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		r.URL.Path, r.URL.RawPath = path, ""
		r.Header = http.Header{
			headerProtocol: {protocol}, headerCache: {cache}, headerNode: {node}, headerFrom: {from}, headerTo: {to},
			headerSilence: {silence},
		}
		if timeout != "" {
			r.Header.Set(headerTimeout, timeout)
		}
		if auth != "" {
			r.Header.Set(headerAuth, auth)
		}
		for _, s := range []*Server{plain, guarded} {
			served = 0
			again := r.Clone(r.Context())
			again.Body = io.NopCloser(bytes.NewReader(body))
			w := newRecorder()
			s.ServeHTTP(w, again)
			k, ok := parseKind(w.Header().Get(headerAnswer), w.Code)
			require.True(t, ok, "%d %q", w.Code, w.Header())
			require.Equal(t, strconv.Itoa(w.Body.Len()), w.Header().Get(headerLength))
			require.Equal(t, k == value, served == 1)
			if k == value {
				require.Same(t, plain, s)
				require.Equal(t, version, protocol)
				require.Equal(t, formatRun(runB), to)
			}
			require.Empty(t, s.running)
		}
	})
}

// Whatever is answered, a Client takes nothing from it that is not consistent, and with keys nothing at all.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "1", "value", "5", "60000000000", "", []byte("value"), int64(5))
	f.Add(421, "1", "misplaced", "1", "", "", []byte("c"), int64(-1))
	f.Add(500, "1", "failed", "12", "", "", encodeLoadError(errOther, nil), int64(-1))
	f.Fuzz(func(t *testing.T, status int, protocol, kind, length, keep, auth string, body []byte, contentLength int64) {
		for _, keys := range [][][]byte{nil, {sharedKey(1)}} {
			c := configA()
			c.Keys = keys
			answer := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}
			answer.ContentLength = contentLength
			for name, v := range map[string]string{
				headerProtocol: protocol, headerAnswer: kind, headerLength: length, headerKeep: keep, headerAuth: auth,
			} {
				if v != "" {
					answer.Header[name] = []string{v}
				}
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
				require.Empty(t, c.Keys)
			case errors.As(err, &u):
				require.NotZero(t, u.Reason)
				require.Error(t, u.Err)
			default:
				require.Empty(t, c.Keys, "%v", err)
			}
			k.Close()
		}
	})
}
