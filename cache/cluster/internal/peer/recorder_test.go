package peer

import (
	"net/http"
	"net/http/httptest"
)

// A recorder records the answer, and not the 102s before it, which a Server sends when the machine
// is slow: httptest's own takes the first status for the answer's.
type recorder struct{ *httptest.ResponseRecorder }

func newRecorder() *recorder { return &recorder{httptest.NewRecorder()} }

func (r *recorder) WriteHeader(status int) {
	if status != http.StatusProcessing {
		r.ResponseRecorder.WriteHeader(status)
	}
}
