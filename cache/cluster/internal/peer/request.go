package peer

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/snowfence/snowfence/courier"
)

// serverRequest is one request that a Server answers.
type serverRequest struct {
	server *Server
	r      *http.Request
	cancel context.CancelCauseFunc
	pulse  *pulse

	endpoint endpoint
	head     head
}

// serve reads the body of an admitted request, passes the request to the Backend, and answers.
func (w *serverRequest) serve(ctx context.Context) {
	body, no := w.receive()
	if no != nil {
		w.refuse(no)
		return
	}
	if p := w.server.config.Propagator; p != nil {
		ctx = p.Extract(ctx, w.r.Header)
	}
	if w.head.timeout > 0 && w.head.timeout < maxTimeout {
		var cancel context.CancelFunc
		// An asker that leaves closes its connection. This deadline is for the case that the close gets
		// lost. It is later than the asker's own deadline, since the asker could take this node's
		// time-out for an error of Load.
		ctx, cancel = context.WithTimeout(ctx, w.head.timeout+boundPeerTimeout(w.head.peerTimeout))
		defer cancel()
	}
	w.pulse.work(w.head.peerTimeout)
	do := w.fetch
	switch w.endpoint {
	case tryEndpoint:
		do = w.try
	case manyEndpoint:
		do = w.fetchMany
	case deletesEndpoint:
		do = w.exchange
	}
	w.guard(ctx, func() { do(ctx, body) })
}

// admit checks all that can be checked before the body is read: the endpoint, the asker's identity,
// and whether this node is meant. A stranger learns nothing of this node, and takes no place that
// others need.
func (w *serverRequest) admit() (endpoint, *refusal) {
	e, no := endpointOf(w.r.URL)
	if no == nil {
		no = w.authenticate()
	}
	if no != nil {
		return "", no
	}
	var err error
	w.head, err = readHead(w.r.Header)
	switch c := &w.server.config; {
	case errors.Is(err, errOtherVersion):
		return "", refuse(otherVersion, "this node speaks version "+version+" of the protocol")
	case err != nil:
		return "", refuse(malformed, err.Error())
	case w.head.cache != c.Cache:
		return "", refuse(otherCache, c.Cache)
	case w.head.to != c.Incarnation:
		return "", refuse(otherIncarnation, c.Node)
	}
	return e, nil
}

// authenticate returns a refusal unless the asker may send requests.
func (w *serverRequest) authenticate() *refusal {
	c := &w.server.config
	if w.r.Method != http.MethodPost {
		return refuse(malformed, "the method must be POST").withStatus(http.StatusMethodNotAllowed)
	}
	switch {
	case c.Identity != nil:
		if w.r.TLS == nil {
			return refuse(denied, "this node has shared keys: it wants TLS, and its server speaks none")
		}
		if err := c.Identity.verify(w.r.TLS); err != nil {
			return refuse(denied, err.Error())
		}
	case c.TLS != nil && (w.r.TLS == nil || len(w.r.TLS.VerifiedChains) == 0):
		return refuse(denied, "this node wants a client certificate that its server has verified")
	}
	if c.Authorize != nil {
		if err := c.Authorize(w.r); err != nil {
			w.debug("cluster: a request was not authorized", slog.Any("error", err))
			return refuse(denied, "not authorized").withStatus(http.StatusForbidden)
		}
	}
	return nil
}

// receive reads the body, or returns a refusal.
func (w *serverRequest) receive() ([]byte, *refusal) {
	c, size := &w.server.config, w.r.ContentLength
	limit := int64(c.MaxMessage)
	if w.endpoint != deletesEndpoint {
		limit += int64(c.MaxKey) + maxPrefix
	}
	switch {
	case size < 0:
		return nil, refuse(malformed,
			"the length of the body is missing").withStatus(http.StatusLengthRequired)
	case size > limit:
		return nil, refuse(tooLarge, (&SizeError{What: "body", Size: size, Max: limit}).Error())
	}
	w.pulse.read()
	body, err := readBody(http.MaxBytesReader(w.pulse.rw, w.r.Body, limit), size)
	if err != nil {
		w.debug("cluster: a request broke off", slog.Any("error", err))
		return nil, refuse(malformed, "the body did not arrive").withStatus(http.StatusRequestTimeout)
	}
	return body, nil
}

func (w *serverRequest) fetch(ctx context.Context, body []byte) {
	w.fetchOne(ctx, body, w.server.backend.Fetch)
}

// try does what fetch does, after cutting the record off the body.
func (w *serverRequest) try(ctx context.Context, body []byte) {
	r := reader{b: body}
	record := r.part()
	if r.bad {
		w.refuse(badBody(errFrame))
		return
	}
	w.fetchOne(ctx, r.b, func(ctx context.Context, from, key string, after []byte) (Value, error) {
		return w.server.backend.Try(ctx, from, key, after, record)
	})
}

// fetchOne answers a request for one key, whose result do returns.
func (w *serverRequest) fetchOne(
	ctx context.Context, body []byte,
	do func(ctx context.Context, from, key string, after []byte) (Value, error),
) {
	c := &w.server.config
	key, after, late, err := decodeFetch(body, c.MaxKey, c.MaxMessage)
	if err != nil {
		w.refuse(badBody(err))
		return
	}
	if late > 0 { // callers of the asker waited in vain: the load may hang here
		ctx = courier.ContextWithLateAge(ctx, late)
	}
	v, err := do(ctx, w.head.node, key, after)
	if w.r.Context().Err() != nil {
		w.pulse.stop() // the asker has left
		return
	}
	a, no := w.answerFor(ctx, v, err, c.MaxValue)
	if no != nil {
		w.refuse(no)
		return
	}
	w.answer(a, kinds[a.kind].status)
}

// badBody returns the refusal for a body that could not be decoded.
func badBody(err error) *refusal {
	if errors.As(err, new(*SizeError)) {
		return refuse(tooLarge, err.Error())
	}
	return refuse(malformed, err.Error())
}

// answerFor returns the answer to a request for a key, for a result of the Backend.
func (w *serverRequest) answerFor(
	ctx context.Context, v Value, err error, maxValue int,
) (answer, *refusal) {
	if err != nil {
		return w.answerForError(ctx, err)
	}
	if len(v.Data) > maxValue {
		return answer{}, tooLargeToSend(len(v.Data), maxValue)
	}
	return answer{kind: value, keep: v.Keep, body: v.Data}, nil
}

func (w *serverRequest) answerForError(ctx context.Context, err error) (answer, *refusal) {
	var elsewhere *MisplacedError
	var suspected *SuspectError
	switch {
	case errors.As(err, &elsewhere):
		no := refuse(misplaced, "")
		no.body = []byte(elsewhere.Owner)
		return answer{}, no
	case errors.As(err, &suspected):
		no := refuse(suspect, "")
		no.body = suspected.Record
		return answer{}, no
	case errors.Is(err, ErrUnsendable):
		return answer{}, refuse(unsendable, err.Error())
	}
	if no := w.unavailable(ctx, err); no != nil {
		return answer{}, no
	}
	return answer{kind: failed, body: encodeLoadError(err, w.server.config.Errors)}, nil
}

func (w *serverRequest) exchange(ctx context.Context, body []byte) {
	message, err := w.server.backend.Exchange(ctx, w.head.node, body)
	switch {
	case w.r.Context().Err() != nil:
		w.pulse.stop()
	case err != nil:
		no := w.unavailable(ctx, err)
		if no == nil {
			no = refuse(malformed, err.Error())
		}
		w.refuse(no)
	case len(message) > w.server.config.MaxMessage:
		w.refuse(tooLargeToSend(len(message), w.server.config.MaxMessage))
	default:
		w.answer(answer{kind: value, body: message}, http.StatusOK)
	}
}

// tooLargeToSend returns the refusal for a value of size bytes, of which limit may be sent.
func tooLargeToSend(size, limit int) *refusal {
	return refuse(oversize, strconv.Itoa(size)+" "+strconv.Itoa(limit))
}

// unavailable returns the refusal for an error of the Backend, or nil if the error is an answer.
func (w *serverRequest) unavailable(ctx context.Context, err error) *refusal {
	switch {
	case errors.Is(err, ErrClosing), errors.Is(err, courier.ErrClosed),
		errors.Is(context.Cause(ctx), ErrClosing):
		return refuse(closing, "this node is closing")
	case errors.Is(err, ErrBusy), errors.Is(err, courier.ErrOverloaded):
		return refuse(busy, err.Error())
	}
	return nil
}

// guard runs f. If f panics, the answer is that Load has panicked. If f calls Goexit, net/http
// breaks the answer off.
func (w *serverRequest) guard(ctx context.Context, f func()) {
	done := false
	defer func() {
		if done || w.pulse.answered() {
			return // a panic while answering goes up
		}
		p := recover()
		if p == nil {
			w.warn(ctx, courier.ErrGoexit)
			w.pulse.stop()
			return
		}
		if p == http.ErrAbortHandler { //nolint:errorlint // that value and no other aborts
			w.pulse.stop()
			panic(p)
		}
		err := &courier.PanicError{Value: p, Stack: debug.Stack()}
		w.warn(ctx, err)
		w.answer(answer{kind: failed, body: encodeLoadError(err, nil)}, kinds[failed].status)
	}()
	f()
	done = true
}

func (w *serverRequest) refuse(no *refusal) {
	w.server.refused[no.kind].Add(1)
	if no.kind != misplaced && no.kind != suspect {
		w.debug("cluster: a request was refused",
			slog.String("why", no.kind.String()), slog.String("text", string(no.body)))
	}
	w.answer(answer{kind: no.kind, body: no.body}, no.status)
}

// answer sends a with an HTTP status.
func (w *serverRequest) answer(a answer, status int) {
	h := w.pulse.answer()
	length := strconv.Itoa(len(a.body))
	h[headerAnswer] = []string{strings.Join([]string{
		version, kinds[a.kind].name, length, strconv.FormatInt(int64(a.keep), 10),
		strconv.Itoa(w.pulse.signs),
	}, " ")}
	h["Content-Length"] = []string{length}
	h["Content-Type"] = []string{contentType}
	if status == http.StatusMethodNotAllowed {
		h["Allow"] = []string{http.MethodPost}
	}
	if err := w.pulse.send(status, a.body); err != nil {
		w.debug("cluster: an answer broke off", slog.Any("error", err))
	}
}

func (w *serverRequest) warn(ctx context.Context, err error) {
	w.server.config.Logger.LogAttrs(ctx, slog.LevelWarn,
		"cluster: a request of another node ended badly",
		slog.String("from", w.head.node), slog.Any("error", err))
}

func (w *serverRequest) debug(text string, attrs ...slog.Attr) {
	log := w.server.config.Logger
	if !log.Enabled(w.r.Context(), slog.LevelDebug) {
		return
	}
	attrs = append(attrs, slog.String("remote", w.r.RemoteAddr), slog.String("node", w.head.node))
	log.LogAttrs(w.r.Context(), slog.LevelDebug, text, attrs...)
}

// boundPeerTimeout returns the peer time-out of an asker within sane bounds, since this node sends
// something every quarter of it.
func boundPeerTimeout(peerTimeout time.Duration) time.Duration {
	return min(max(peerTimeout, minPeerTimeout), maxPeerTimeout)
}
