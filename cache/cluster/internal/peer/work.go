package peer

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/snowfence/snowfence/courier"
)

// work is one request that a Server answers.
type work struct {
	server *Server
	r      *http.Request
	cancel context.CancelCauseFunc
	pulse  *pulse

	head   head
	signer *signer // of the key that the request was signed with; nil: it was not
	mac    mac     // of the request
}

// serve reads the request, has the Backend do it, and answers.
func (w *work) serve(ctx context.Context) {
	e, no := endpointOf(w.r.URL)
	if no == nil {
		no = w.welcome()
	}
	var body []byte
	if no == nil {
		body, no = w.receive(e)
	}
	if no == nil {
		no = w.authenticate(e, body)
	}
	if no != nil {
		w.refuse(no)
		return
	}
	if p := w.server.config.Propagator; p != nil {
		ctx = p.Extract(ctx, w.r.Header)
	}
	if w.head.timeout > 0 && w.head.timeout < maxTimeout {
		var cancel context.CancelFunc
		// The asker leaves by itself, and its leaving is heard of; this is for when that gets lost. Were it not later
		// than the asker's own deadline, it could take our word for an answer.
		ctx, cancel = context.WithTimeout(ctx, w.head.timeout+clamp(w.head.silence))
		defer cancel()
	}
	w.pulse.work(w.head.silence)
	if e == deletesEndpoint {
		w.guard(ctx, func() { w.exchange(ctx, body) })
	} else {
		w.guard(ctx, func() { w.fetch(ctx, body) })
	}
}

// welcome looks at all that can be looked at before the body is read.
func (w *work) welcome() *refusal {
	c := &w.server.config
	if w.r.Method != http.MethodPost {
		return refuse(malformed, "the method must be POST").withStatus(http.StatusMethodNotAllowed)
	}
	if c.RequireTLS && (w.r.TLS == nil || len(w.r.TLS.VerifiedChains) == 0) {
		return refuse(denied, "this node wants a client certificate that its server has verified")
	}
	if c.Authorize != nil {
		if err := c.Authorize(w.r); err != nil {
			w.debug("cluster: a request was not authorized", slog.Any("error", err))
			return refuse(denied, "not authorized").withStatus(http.StatusForbidden)
		}
	}
	switch v, ok := single(w.r.Header, headerProtocol); {
	case !ok:
		return refuse(malformed, headerError(headerProtocol).Error())
	case v != version:
		return refuse(otherVersion, "this node speaks version "+version+" of the protocol")
	}
	var err error
	if w.head, err = readHead(w.r.Header); err != nil {
		return refuse(malformed, err.Error())
	}
	return nil
}

// receive reads the body.
func (w *work) receive(e endpoint) ([]byte, *refusal) {
	c, size := &w.server.config, w.r.ContentLength
	limit := int64(c.MaxMessage)
	if e == fetchEndpoint {
		limit += int64(c.MaxKey) + maxPrefix
	}
	switch {
	case size < 0:
		return nil, refuse(malformed, "the length of the body is missing").withStatus(http.StatusLengthRequired)
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

// authenticate finds out who asks, and whether this node is meant. Who can't say which key it has learns nothing of
// this node.
func (w *work) authenticate(e endpoint, body []byte) *refusal {
	s := w.server
	var t stamp
	if len(s.signers) > 0 {
		var ok bool
		if t, w.mac, ok = parseAuth(w.r.Header); !ok {
			return refuse(denied, "the request is not signed: this node has shared keys")
		}
		for _, g := range s.signers {
			if g.request(e, &w.head, t, body).equal(w.mac) {
				w.signer = g
				break
			}
		}
		if w.signer == nil {
			return refuse(denied, "the request is not signed with a shared key of this node")
		}
	}
	switch c := &s.config; {
	case w.head.cache != c.Cache:
		return refuse(differs, fmt.Sprintf("this is cache %q, and not %q", c.Cache, w.head.cache))
	case w.head.to != c.Run:
		return refuse(differs, fmt.Sprintf("this is run %s of node %q, and not run %s: has it been restarted?",
			formatRun(c.Run), c.Node, formatRun(w.head.to)))
	}
	if w.signer == nil {
		return nil
	}
	switch v, epoch := s.replays.take(w.head.from, t); v {
	case replayed:
		return refuse(denied, "the request has been here before")
	case stale:
		no := refuse(signAgain, "")
		no.body = []byte(formatRun(epoch))
		return no
	}
	return nil
}

func (w *work) fetch(ctx context.Context, body []byte) {
	c := &w.server.config
	key, after, late, err := decodeFetch(body, c.MaxKey, c.MaxMessage)
	var size *SizeError
	switch {
	case errors.As(err, &size):
		w.refuse(refuse(tooLarge, err.Error()))
		return
	case err != nil:
		w.refuse(refuse(malformed, err.Error()))
		return
	}
	if late > 0 { // callers of the asker waited in vain: what hangs may hang here
		ctx = courier.ContextWithLateAge(ctx, late)
	}
	v, err := w.server.backend.Fetch(ctx, w.head.node, key, after)
	var elsewhere *MisplacedError
	switch {
	case w.r.Context().Err() != nil:
		w.pulse.stop() // nobody is left to be told
	case errors.As(err, &elsewhere):
		no := refuse(misplaced, "")
		no.body = []byte(elsewhere.Owner)
		w.refuse(no)
	case err != nil:
		if no := w.unavailable(ctx, err); no != nil {
			w.refuse(no)
			return
		}
		w.answer(answer{kind: failed, body: encodeLoadError(err, c.Errors)}, kinds[failed].status)
	case len(v.Data) > c.MaxValue:
		w.refuse(tooLargeToSend(len(v.Data), c.MaxValue))
	default:
		w.answer(answer{kind: value, keep: v.Keep, body: v.Data}, http.StatusOK)
	}
}

func (w *work) exchange(ctx context.Context, body []byte) {
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

// tooLargeToSend says how large it is, and how large it may be here.
func tooLargeToSend(size, limit int) *refusal {
	return refuse(oversize, strconv.Itoa(size)+" "+strconv.Itoa(limit))
}

// unavailable returns how the asker is told of an error that is no answer; nil if it is one.
func (w *work) unavailable(ctx context.Context, err error) *refusal {
	switch {
	case errors.Is(err, ErrClosing), errors.Is(err, courier.ErrClosed), errors.Is(context.Cause(ctx), ErrClosing):
		return refuse(closing, "this node is closing")
	case errors.Is(err, ErrBusy), errors.Is(err, courier.ErrOverloaded):
		return refuse(busy, err.Error())
	}
	return nil
}

// guard runs f. If it panics, the asker is told as if Load had. If it calls Goexit, net/http breaks off the answer.
func (w *work) guard(ctx context.Context, f func()) {
	done := false
	defer func() {
		if done || w.pulse.answered() {
			return // a panic of the answer itself goes up
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

func (w *work) refuse(no *refusal) {
	w.server.refused[no.kind].Add(1)
	if no.kind != misplaced {
		w.debug("cluster: a request was refused",
			slog.String("why", no.kind.String()), slog.String("text", string(no.body)))
	}
	w.answer(answer{kind: no.kind, body: no.body}, no.status)
}

// answer signs and sends a.
func (w *work) answer(a answer, status int) {
	h := w.pulse.answer()
	h[headerProtocol] = []string{version}
	h[headerAnswer] = []string{kinds[a.kind].name}
	h[headerLength] = []string{strconv.Itoa(len(a.body))}
	h["Content-Length"] = h[headerLength]
	h["Content-Type"] = []string{contentType}
	if a.keep != 0 {
		h[headerKeep] = []string{strconv.FormatInt(int64(a.keep), 10)}
	}
	if status == http.StatusMethodNotAllowed {
		h["Allow"] = []string{http.MethodPost}
	}
	if w.signer != nil {
		m := w.signer.answer(w.mac, a)
		h[headerAuth] = []string{hex.EncodeToString(m[:])}
	}
	if err := w.pulse.send(status, a.body); err != nil {
		w.debug("cluster: an answer broke off", slog.Any("error", err))
	}
}

func (w *work) warn(ctx context.Context, err error) {
	w.server.config.Logger.LogAttrs(ctx, slog.LevelWarn, "cluster: a request of another node ended badly",
		slog.String("from", w.head.node), slog.Any("error", err))
}

func (w *work) debug(text string, attrs ...slog.Attr) {
	log := w.server.config.Logger
	if !log.Enabled(w.r.Context(), slog.LevelDebug) {
		return
	}
	attrs = append(attrs, slog.String("remote", w.r.RemoteAddr), slog.String("node", w.head.node))
	log.LogAttrs(w.r.Context(), slog.LevelDebug, text, attrs...)
}

// clamp returns the silence of an asker within what is sane: it makes this node send something every quarter of it.
func clamp(silence time.Duration) time.Duration { return min(max(silence, minSilence), maxSilence) }
