package peer

import (
	"net/http"
	"time"
)

// kind is what an answer is.
type kind uint8

const (
	value kind = iota + 1
	misplaced
	failed
	oversize
	busy
	closing
	denied
	signAgain
	otherVersion
	differs
	malformed
	tooLarge
)

var kinds = [...]struct {
	name   string
	status int
	// unsigned answers of this kind are believed although there are keys: some are given before it is known who asks.
	// None of them brings a value, an error of Load or the name of another node; who can send them falsely could as
	// well cut the line.
	unsigned bool
}{
	value:        {"value", http.StatusOK, false},
	misplaced:    {"misplaced", http.StatusMisdirectedRequest, false},
	failed:       {"failed", http.StatusInternalServerError, false},
	oversize:     {"oversize", http.StatusUnprocessableEntity, false},
	busy:         {"busy", http.StatusServiceUnavailable, true},
	closing:      {"closing", http.StatusServiceUnavailable, true},
	denied:       {"denied", http.StatusUnauthorized, true}, // or 403
	signAgain:    {"sign-again", http.StatusUnauthorized, false},
	otherVersion: {"version", http.StatusHTTPVersionNotSupported, true},
	differs:      {"differs", http.StatusConflict, false},
	malformed:    {"malformed", http.StatusBadRequest, true}, // or another 4xx
	tooLarge:     {"too-large", http.StatusRequestEntityTooLarge, true},
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

// answer is what goes back, and what is signed of it.
type answer struct {
	kind kind
	keep time.Duration // of a value
	body []byte
}

// refusal is an answer that says no.
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
