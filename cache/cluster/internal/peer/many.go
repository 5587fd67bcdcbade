package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/snowfence/snowfence/courier"
)

// maxKeys bounds the keys of one request. A Client sends more in several requests.
const maxKeys = 8192

// An Ask is one key of a request for many.
type Ask struct {
	Key   string
	After []byte // the deletes that the answer must not be older than; nil: none
}

// An Outcome is the result of an Ask: a value, or an error as of Fetch for a single key.
type Outcome struct {
	Value Value
	Err   error
}

// FetchMany asks a node for many keys, with as few requests as their bounds allow, one after the
// other. Outcome i is that of asks[i]. It blocks like Fetch, and its errors are those of Fetch. If
// a request fails, all keys without an outcome fail with its error, and no further request is sent:
// a silent node costs one wait. Each request restarts the time-out of the flight in ctx.
func (c *Client) FetchMany(ctx context.Context, to Address, asks []Ask) []Outcome {
	outcomes := make([]Outcome, len(asks))
	waiting := make([]int, len(asks))
	for i := range waiting {
		waiting[i] = i
	}
	late := courier.LateAge(ctx)
	for len(waiting) > 0 {
		courier.RestartTimeout(ctx, c.config.PeerTimeout) // the answer has a time-out of its own
		body, n := c.encodeMany(asks, waiting, late)
		asked, left := waiting[:n], waiting[n:]
		waiting = left
		a, err := c.ask(ctx, to, question{
			endpoint: manyEndpoint, body: body, node: to.Node,
			limit: roomFor(uint64(c.config.MaxValue)) + n*maxOutcome,
			decode: func(b []byte) error {
				waiting = left
				return c.decodeOutcomes(b, n, func(j int, r reply) {
					i := asked[j]
					if r.kind == leftOut {
						waiting = append(waiting, i) //nolint:makezero // it is a part of waiting's array
					} else {
						outcomes[i].Value, outcomes[i].Err = r.result(to.Node, asks[i].Key)
					}
				})
			},
		})
		switch {
		case err != nil:
			for _, which := range [][]int{asked, left} {
				for _, i := range which {
					outcomes[i] = Outcome{Err: err}
				}
			}
			return outcomes
		case a.kind != value: // an answer about all keys
			for _, i := range asked {
				outcomes[i].Value, outcomes[i].Err = a.result(to.Node, asks[i].Key)
			}
		}
	}
	return outcomes
}

// encodeMany returns the body of a request for as many of the asks as fit, at least one, and their
// number n: how late the asker's last request is, the largest value that it takes, the number of
// keys, and for each key its deletes and the key. The length of the deletes is stored plus one: 0
// stands for the deletes of the key before, which most keys share.
func (c *Client) encodeMany(asks []Ask, which []int, late time.Duration) (body []byte, n int) {
	room := 0
	for _, i := range which[:min(len(which), maxKeys)] {
		room += len(asks[i].Key) + 3 // most lengths
	}
	keys := make([]byte, 0, min(room, c.config.MaxMessage))
	var before []byte
	for _, i := range which {
		size := len(keys)
		if ask := asks[i]; n > 0 && bytes.Equal(ask.After, before) {
			keys = append(keys, 0)
		} else {
			keys = binary.AppendUvarint(keys, uint64(len(ask.After))+1)
			keys = append(keys, ask.After...)
		}
		keys = appendPart(keys, asks[i].Key)
		if n == maxKeys || n > 0 && len(keys) > c.config.MaxMessage {
			keys = keys[:size]
			break
		}
		before = asks[i].After
		n++
	}
	body = appendLate(make([]byte, 0, maxPrefix+len(keys)), late)
	body = binary.AppendUvarint(body, uint64(c.config.MaxValue)) //nolint:gosec // not negative
	body = binary.AppendUvarint(body, uint64(n))                 //nolint:gosec // not negative
	return append(body, keys...), n
}

// manyRequest is a request for many keys, decoded.
type manyRequest struct {
	asks     []Ask
	maxValue uint64 // of the asker
	late     time.Duration
}

// decodeMany is the inverse of encodeMany.
func decodeMany(body []byte, maxKey, maxAfter int) (m manyRequest, err error) {
	r := reader{b: body}
	m.late, m.maxValue = r.late(), r.uvarint()
	count := r.uvarint()
	if r.bad || count == 0 || count > maxKeys || count > uint64(len(r.b)/2) {
		return manyRequest{}, errFrame
	}
	m.asks = make([]Ask, count)
	keys := string(r.b) // one allocation for all
	var after []byte
	for i := range m.asks {
		if size := r.uvarint(); size > 0 {
			after = r.bytes(size - 1)
		}
		key := r.part()
		if r.bad {
			return manyRequest{}, errFrame
		}
		if err := checkSizes(key, after, maxKey, maxAfter); err != nil {
			return manyRequest{}, err
		}
		end := len(keys) - len(r.b)
		m.asks[i].Key = keys[end-len(key) : end]
		if len(after) > 0 {
			m.asks[i].After = after
		}
	}
	if !r.ok() {
		return manyRequest{}, errFrame
	}
	return m, nil
}

// The answer has an outcome for each key, in their order: the kind of the answer that a request for
// that key alone would have got, how much longer the value is fresh if it is one, and the body. Two
// things keep the answer small: an empty body of a failure stands for the body of the failure
// before, and a key whose body has no room is left out, and asked for again.
const (
	leftOut kind = 0

	// maxOutcome bounds the length of an outcome without its body.
	maxOutcome = 1 + binary.MaxVarintLen64 + binary.MaxVarintLen32
)

// roomFor returns how many bytes the bodies of an answer may have in all. The largest value fits.
func roomFor(maxValue uint64) int {
	return int(min(maxValue, 1<<30)) + maxShortAnswer //nolint:gosec // compared
}

// fetchMany answers a request for many keys.
func (w *serverRequest) fetchMany(ctx context.Context, body []byte) {
	c := &w.server.config
	m, err := decodeMany(body, c.MaxKey, c.MaxMessage)
	if err != nil {
		w.refuse(badBody(err))
		return
	}
	if m.late > 0 {
		ctx = courier.ContextWithLateAge(ctx, m.late)
	}
	outcomes := w.server.backend.FetchMany(ctx, w.head.node, m.asks)
	switch {
	case w.r.Context().Err() != nil:
		w.pulse.stop() // the asker has left
	case len(outcomes) != len(m.asks):
		panic("peer: a Backend must return an outcome for each key")
	default:
		a := answer{kind: value, body: w.encodeOutcomes(ctx, outcomes, m.maxValue)}
		w.answer(a, kinds[a.kind].status)
	}
}

// encodeOutcomes returns the body of an answer to an asker that takes values of at most maxValue
// bytes.
func (w *serverRequest) encodeOutcomes(
	ctx context.Context, outcomes []Outcome, maxValue uint64,
) (b []byte) {
	maxValue = min(maxValue, uint64(w.server.config.MaxValue)) //nolint:gosec // not negative
	room := roomFor(maxValue)
	size := len(outcomes) * 16 // most outcomes without their bodies
	for _, o := range outcomes {
		size += len(o.Value.Data)
	}
	b = make([]byte, 0, min(size, room))
	var before []byte // the body of the last failure
	for _, o := range outcomes {
		a, no := w.answerFor(ctx, o.Value, o.Err, int(maxValue)) //nolint:gosec // compared
		if no != nil {
			w.server.refused[no.kind].Add(1)
			a = answer{kind: no.kind, body: no.body}
		}
		if a.kind == failed && bytes.Equal(a.body, before) {
			a.body = nil
		}
		if len(a.body) > room {
			b = append(b, byte(leftOut))
			continue
		}
		room -= len(a.body)
		if a.kind == failed && a.body != nil {
			before = a.body
		}
		b = append(b, byte(a.kind))
		if a.kind == value {
			b = binary.AppendVarint(b, int64(a.keep))
		}
		b = appendPart(b, a.body)
	}
	return b
}

var errOutcomes = errors.New("an answer about many keys that can't be read")

// decodeOutcomes is the inverse of encodeOutcomes. It calls each with the outcome of each key. If
// it returns an error, these outcomes don't count.
func (c *Client) decodeOutcomes(b []byte, keys int, each func(i int, r reply)) error {
	in := reader{b: b}
	var before *LoadError
	found := false
	for i := range keys {
		first := in.bytes(1)
		if in.bad || kind(first[0]) > closing {
			return errOutcomes
		}
		a := answer{kind: kind(first[0])}
		if a.kind == leftOut {
			each(i, reply{answer: a})
			continue
		}
		found = true
		if a.kind == value {
			a.keep = time.Duration(in.varint())
		}
		body := in.part()
		if in.bad || len(body) > c.limit(a.kind, c.config.MaxValue) {
			return errOutcomes
		}
		// A value may be kept for long, and must not keep the memory of all others.
		a.body = bytes.Clone(body)
		if a.kind == failed && len(a.body) == 0 {
			if before == nil {
				return errOutcomes
			}
			each(i, reply{answer: a, failure: before})
			continue
		}
		one, err := c.interpret(a, "")
		if err != nil {
			var f *failure
			if !errors.As(err, &f) || f.reason == Rubbish {
				return err
			}
			one = reply{answer: a, unavailable: f}
		}
		if one.failure != nil {
			before = one.failure
		}
		each(i, one)
	}
	if !in.ok() || !found { // without any outcome, all keys would be asked for again and again
		return errOutcomes
	}
	return nil
}
