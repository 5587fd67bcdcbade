package peer

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// captured is a request as it goes over the line.
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

// fields makes a header.
func fields(f ...string) string { return strings.Join(f, " ") }

// kindOf returns the kind of an answer.
func kindOf(w *recorder) string { return strings.Split(w.Header().Get(headerAnswer)+"  ", " ")[1] }

// send gives a captured request to a server and returns the kind of the answer.
func (c captured) send(h http.Handler) (answer string, status int) {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, c.path,
		bytes.NewReader(c.body))
	r.Header = c.header.Clone()
	w := newRecorder()
	h.ServeHTTP(w, r)
	return kindOf(w), w.Code
}
