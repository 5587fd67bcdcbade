package peer

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// reply is an answer that can be made use of: a value, an error of Load, or where else to ask.
type reply struct {
	answer
	failure *LoadError
	epoch   uint64
}

// read makes sense of a response, or says why there is none: a *failure, or an error of the connection. Until the MAC
// has been compared nothing is taken from it.
func (c *Client) read(res *http.Response, body io.Reader, limit int, sent mac) (reply, error) {
	switch v, ok := single(res.Header, headerProtocol); {
	case !ok:
		return reply{}, foreign(res, body)
	case v != version:
		err := fmt.Errorf("it speaks version %.20q of the protocol, and this node %q", v, version)
		return reply{}, fail(OtherVersion, err)
	}
	name, ok := single(res.Header, headerAnswer)
	k, ok2 := parseKind(name, res.StatusCode)
	if !ok || !ok2 {
		return reply{}, fail(Rubbish, fmt.Errorf("an answer of unknown kind %.40q and status %d", name, res.StatusCode))
	}
	a, err := readAnswer(k, res, body, limit)
	if err != nil {
		return reply{}, err
	}
	if err := c.verify(a, res.Header, sent); err != nil {
		return reply{}, err
	}
	return c.interpret(a)
}

func readAnswer(k kind, res *http.Response, body io.Reader, limit int) (a answer, err error) {
	if k != value {
		limit = maxSmall
	}
	length, err := readDuration(res.Header, headerLength)
	size := int64(length)
	switch {
	case err != nil || size < 0 || res.ContentLength >= 0 && res.ContentLength != size:
		return answer{}, fail(Rubbish, headerError(headerLength))
	case size > int64(limit):
		f := fail(Rubbish, &SizeError{What: "answer", Size: size, Max: int64(limit)})
		f.harmless = k == value
		return answer{}, f
	}
	a.kind = k
	if len(res.Header[headerKeep]) > 0 {
		if a.keep, err = readDuration(res.Header, headerKeep); err != nil || k != value {
			return answer{}, fail(Rubbish, headerError(headerKeep))
		}
	}
	if a.body, err = readBody(body, size); errors.Is(err, errTooLong) {
		err = fail(Rubbish, err)
	}
	return a, err
}

// verify finds out whether the node that was asked gave that answer, to this request.
func (c *Client) verify(a answer, h http.Header, sent mac) error {
	if c.signer == nil || kinds[a.kind].unsigned && len(h[headerAuth]) == 0 {
		return nil
	}
	v, ok := single(h, headerAuth)
	if !ok {
		return fail(Rubbish, errors.New("its answer is not signed: does it have the same shared keys?"))
	}
	if m, ok := parseMAC(v); !ok || !m.equal(c.signer.answer(sent, a)) {
		return fail(Rubbish, errors.New("its answer has a wrong signature"))
	}
	return nil
}

// interpret turns an answer into what the Client returns.
func (c *Client) interpret(a answer) (reply, error) {
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
	case signAgain:
		epoch, ok := parseHex64(string(a.body))
		if !ok {
			return reply{}, fail(Rubbish, errors.New("an epoch that can't be read"))
		}
		return reply{answer: a, epoch: epoch}, nil
	case oversize:
		size, most, _ := strings.Cut(string(a.body), " ")
		e := &SizeError{What: "answer"}
		var err1, err2 error
		e.Size, err1 = strconv.ParseInt(size, 10, 64)
		e.Max, err2 = strconv.ParseInt(most, 10, 64)
		if err1 != nil || err2 != nil || e.Size <= e.Max || e.Max < 0 {
			return reply{}, fail(Rubbish, errors.New("a size that can't be read"))
		}
		return reply{}, &failure{Rubbish, e, true}
	case busy:
		return reply{}, fail(Busy, text())
	case closing:
		return reply{}, fail(Closing, text())
	case denied:
		return reply{}, fail(Denied, text())
	case otherVersion, differs:
		return reply{}, fail(OtherVersion, text())
	case tooLarge:
		return reply{}, &failure{OtherVersion, text(), true}
	case malformed:
		return reply{}, &failure{Rubbish, text(), true}
	}
	return reply{answer: a}, nil
}

// foreign says what somebody else than a Server has answered.
func foreign(res *http.Response, body io.Reader) error {
	begin, _ := io.ReadAll(io.LimitReader(body, 100)) // as much as there is
	err := fmt.Errorf("HTTP status %d that is not from a node's handler: %q", res.StatusCode, begin)
	switch res.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return fail(Denied, err)
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fail(Unreachable, err)
	}
	return fail(Rubbish, err)
}
