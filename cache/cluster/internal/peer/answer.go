package peer

import (
	"net/http"
	"time"
)

// kind is the type of an answer.
type kind uint8

const (
	value kind = iota + 1
	misplaced
	failed
	oversize
	unsendable
	suspect
	busy
	closing
	denied
	otherVersion
	otherCache
	otherIncarnation
	malformed
	tooLarge
)

var kinds = [...]struct {
	name   string
	status int
}{
	value:            {"value", http.StatusOK},
	misplaced:        {"misplaced", http.StatusMisdirectedRequest},
	failed:           {"failed", http.StatusInternalServerError},
	oversize:         {"oversize", http.StatusUnprocessableEntity},
	unsendable:       {"unsendable", http.StatusUnprocessableEntity},
	suspect:          {"suspect", http.StatusLocked},
	busy:             {"busy", http.StatusServiceUnavailable},
	closing:          {"closing", http.StatusServiceUnavailable},
	denied:           {"denied", http.StatusUnauthorized}, // or 403
	otherVersion:     {"version", http.StatusHTTPVersionNotSupported},
	otherCache:       {"cache", http.StatusConflict},
	otherIncarnation: {"run", http.StatusConflict},
	malformed:        {"malformed", http.StatusBadRequest}, // or another 4xx
	tooLarge:         {"too-large", http.StatusRequestEntityTooLarge},
}

func (k kind) String() string { return kinds[k].name }

// parseKind finds the kind of an answer by its name and status.
func parseKind(name string, status int) (kind, bool) {
	for k := value; int(k) < len(kinds); k++ {
		if kinds[k].name != name {
			continue
		}
		any4xx := (k == denied || k == malformed) && status >= 400 && status < 500
		return k, any4xx || status == kinds[k].status
	}
	return 0, false
}

// answer is an answer to a request, as it is sent.
type answer struct {
	kind kind
	keep time.Duration // of a value
	body []byte
}

// refusal is an answer that is neither a value nor an error of Load.
type refusal struct {
	kind   kind
	status int
	body   []byte
}

func refuse(k kind, text string) *refusal {
	return &refusal{kind: k, status: kinds[k].status, body: []byte(shorten(text, maxText))}
}

func (r *refusal) withStatus(status int) *refusal {
	r.status = status
	return r
}
