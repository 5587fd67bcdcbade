package peer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// reply is an answer that was understood: a value, an error of Load, or another owner.
type reply struct {
	answer
	failure     *LoadError
	signs       uint64   // life signs that the Server sent before it
	unavailable *failure // of one of many keys: why there is neither value nor error of Load
}

// result returns the result of the answer for a key.
func (r reply) result(node, key string) (Value, error) {
	switch {
	case r.unavailable != nil:
		f := r.unavailable
		return Value{}, &UnavailableError{Node: node, Reason: f.reason, Err: f.err}
	case r.kind == misplaced:
		return Value{}, &MisplacedError{Node: node, Owner: string(r.body)}
	case r.kind == suspect:
		return Value{}, &SuspectError{Node: node, Record: r.body}
	case r.kind == failed:
		e := *r.failure // other keys may share it
		e.Node, e.Key = node, key
		return Value{}, &e
	}
	return Value{Data: r.body, Keep: r.keep}, nil
}

// read decodes a response. Its error is a *failure, or an error of the connection.
func (c *Client) read(res *http.Response, body io.Reader, q question) (reply, error) {
	if d := c.config.Identity; d != nil {
		if err := d.verify(res.TLS); err != nil {
			return reply{}, fail(Denied, fmt.Errorf("this node does not accept its certificate: %w", err))
		}
	}
	f, err := readFields(res.Header, headerAnswer, 5)
	switch {
	case len(res.Header[headerAnswer]) == 0:
		return reply{}, notFromServer(res, body)
	case errors.Is(err, errOtherVersion):
		err := fmt.Errorf("it speaks version %.20q of the protocol, and this node %q", f[0], version)
		return reply{}, fail(OtherVersion, err)
	case err != nil:
		return reply{}, fail(Rubbish, err)
	}
	k, ok := parseKind(f[1], res.StatusCode)
	if !ok {
		err := fmt.Errorf("an answer of unknown kind %.40q and status %d: does a middleware take an "+
			"interim answer (1xx) "+
			"for the last one?", f[1], res.StatusCode)
		return reply{}, fail(Rubbish, err)
	}
	a, err := readAnswer(k, f, res, body, c.limit(k, q.limit))
	if err != nil {
		return reply{}, err
	}
	signs, err := strconv.ParseUint(f[4], 10, 64)
	if err != nil {
		return reply{}, fail(Rubbish, headerError(headerAnswer))
	}
	r, err := c.interpret(a, q.node)
	if err == nil && k == value && q.decode != nil {
		if err = q.decode(a.body); err != nil {
			err = fail(Rubbish, err)
		}
	}
	r.signs = signs
	return r, err
}

// limit returns the maximum size in bytes of the body of an answer of kind k; values is the maximum
// size of a value.
func (c *Client) limit(k kind, values int) int {
	switch k {
	case value:
		return values
	case suspect: // the record has the key
		return maxShortAnswer + 2*c.config.MaxKey
	default:
		return maxShortAnswer
	}
}

// readAnswer reads an answer of kind k, whose length and keep are in the fields f of its header.
func readAnswer(
	k kind, f [maxFields]string, res *http.Response, body io.Reader, limit int,
) (a answer, err error) {
	size, err := strconv.ParseInt(f[2], 10, 64)
	keep, ok := parseDuration(f[3])
	switch {
	case err != nil || size < 0 || !ok || keep != 0 && k != value || res.ContentLength >= 0 &&
		res.ContentLength != size:
		return answer{}, fail(Rubbish, headerError(headerAnswer))
	case size > int64(limit):
		reason := Rubbish
		if k == value {
			reason = Unsendable
		}
		return answer{}, fail(reason, &SizeError{What: "answer", Size: size, Max: int64(limit)})
	}
	a = answer{kind: k, keep: keep}
	if a.body, err = readBody(body, size); errors.Is(err, errTooLong) {
		err = fail(Rubbish, err)
	}
	return a, err
}

// interpret turns an answer into a reply, or into a *failure if it says that there is none.
func (c *Client) interpret(a answer, node string) (reply, error) {
	text := func() error { return errors.New(shorten(string(a.body), maxText)) }
	switch a.kind {
	case failed:
		e, err := decodeLoadError(a.body, c.config.Errors)
		if err != nil {
			return reply{}, fail(Rubbish, err)
		}
		return reply{answer: a, failure: e}, nil
	case misplaced:
		if len(a.body) > maxName {
			return reply{}, fail(Rubbish, &SizeError{What: "name", Size: int64(len(a.body)), Max: maxName})
		}
	case oversize:
		size, most, _ := strings.Cut(string(a.body), " ")
		e := &SizeError{What: "answer"}
		var err1, err2 error
		e.Size, err1 = strconv.ParseInt(size, 10, 64)
		e.Max, err2 = strconv.ParseInt(most, 10, 64)
		if err1 != nil || err2 != nil || e.Size <= e.Max || e.Max < 0 {
			return reply{}, fail(Rubbish, errors.New("a size that can't be read"))
		}
		return reply{}, fail(Unsendable, e)
	case unsendable:
		return reply{}, fail(Unsendable, text())
	case busy:
		return reply{}, fail(Busy, text())
	case closing:
		return reply{}, fail(Closing, text())
	case denied:
		return reply{}, fail(Denied, text())
	case otherVersion:
		return reply{}, fail(OtherVersion, text())
	case otherCache:
		return reply{}, fail(WrongCache,
			fmt.Errorf("the cache at its URL is %.100q, and not %q", a.body, c.config.Cache))
	case otherIncarnation:
		if string(a.body) == node {
			return reply{}, &failure{reason: Closing, err: errors.New("it has been restarted"),
				restarted: true}
		}
		return reply{}, fail(WrongNode, fmt.Errorf("the node at its URL is %.100q", a.body))
	case tooLarge:
		return reply{}, &failure{reason: OtherVersion, err: text(), nodeIsWell: true}
	case malformed:
		return reply{}, &failure{reason: Rubbish, err: text(), nodeIsWell: true}
	}
	return reply{answer: a}, nil
}

// notFromServer returns the failure for a response that is not from a Server.
func notFromServer(res *http.Response, body io.Reader) error {
	begin, _ := io.ReadAll(io.LimitReader(body, 100)) // an error leaves it shorter
	err := fmt.Errorf("HTTP status %d that is not from a node's handler: %q", res.StatusCode, begin)
	switch res.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return fail(Denied, err)
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fail(Unreachable, err)
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return fail(WrongPath, err)
	case http.StatusBadRequest:
		// net/http and other servers answer so to HTTP if they want TLS. Nothing else in the response
		// says it.
		if bytes.Contains(begin, []byte("HTTPS")) {
			return fail(TLSMismatch, fmt.Errorf("its URL is http, and its server speaks TLS: %w", err))
		}
	}
	return fail(OtherService, err)
}
