package peer

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// headers is a Propagator that sends those which are in the context, and finds one.
type headers struct{ name string }

type headersKey struct{}

func (headers) Inject(ctx context.Context, h http.Header) {
	if sent, ok := ctx.Value(headersKey{}).(http.Header); ok {
		for name, values := range sent {
			h[name] = values
		}
	}
}

func (p headers) Extract(ctx context.Context, h http.Header) context.Context {
	return context.WithValue(ctx, headersKey{}, h.Values(p.name))
}

func TestTraces(t *testing.T) {
	for _, p := range bothProtocols {
		t.Run(string(p), func(t *testing.T) {
			a, b := shared(t)
			a.Propagator = headers{}
			for _, c := range []struct {
				name string
				sent http.Header
				got  []string
			}{
				{"Traceparent", http.Header{"Traceparent": {"00-1-2-01"}}, []string{"00-1-2-01"}},
				{"Traceparent", http.Header{"traceparent": {"00-1-2-01"}}, []string{"00-1-2-01"}},
				{"Baggage", http.Header{"Baggage": {"a=1", "b=2"}}, []string{"a=1", "b=2"}},
				{"Traceparent", nil, nil},
				{"X", http.Header{"X": {"a\r\nX: b", "c\x00", "go\tod", "\x7f"}}, []string{"go\tod"}},
				{"X", http.Header{"X": {strings.Repeat("x", maxTrace), "good"}}, []string{"good"}},
				{"X", http.Header{"": {"x"}, "a b": {"x"}, "a\r\nb": {"x"}, "X": {"good"}}, []string{"good"}},
				{headerRequest, http.Header{"snowfence-Request": {"others"}},
					[]string{requestHeader(&a, incarnationB)}},
				{"Content-Type", http.Header{"Content-Type": {"x"}, "Content-Length": {"7"},
					"Transfer-Encoding": {"x"}}, []string{contentType}},
				{"X", http.Header{"Connection": {"x"}, "Te": {"x"}, "Host": {"x"}, "Upgrade": {"h2c"},
					"Expect": {"100-continue"}}, nil},
			} {
				b.Propagator = headers{c.name}
				var got any
				n := connect(t, p, a, b, backend{fetch: func(ctx context.Context, _, _ string, _ []byte) (Value,
					error) {
					got = ctx.Value(headersKey{})
					return Value{}, nil
				}})
				_, err := n.fetch(context.WithValue(t.Context(), headersKey{}, c.sent), "k")
				require.NoError(t, err, "%v", c.sent)
				assert.Equal(t, c.got, got, "%v", c.sent)
			}
		})
	}
}
