package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The version of the protocol, and the names of its headers in net/http's canonical form.
const (
	version = "1"

	headerRequest = "Snowfence-Request"
	headerTimeout = "Snowfence-Timeout" // apart: headerRequest is the same for all
	headerAnswer  = "Snowfence-Answer"

	headerPrefix = "Snowfence-"
	contentType  = "application/x-snowfence"
)

// Bounds that are not options.
const (
	maxPrefix      = 20      // bytes of the numbers at the start of a request's body
	maxName        = 1 << 10 // bytes of a node's name
	maxText        = 4 << 10 // bytes of an error's text
	maxStack       = 16 << 10
	maxShortAnswer = 32 << 10 // bytes of an answer that is neither a value nor a message about deletes
	firstRead      = 4 << 10  // bytes of a buffer before a byte has arrived
	growth         = 16       // the factor by which it grows when it is full
	minPeerTimeout = 4 * time.Millisecond
	maxPeerTimeout = time.Minute
	maxTimeout     = 365 * 24 * time.Hour // a longer one counts as none
)

// endpoint is the last part of a request's path.
type endpoint string

const (
	fetchEndpoint   endpoint = "fetch"
	tryEndpoint     endpoint = "try"
	manyEndpoint    endpoint = "fetch-many"
	deletesEndpoint endpoint = "deletes"
)

var endpoints = []endpoint{fetchEndpoint, tryEndpoint, manyEndpoint, deletesEndpoint}

// endpointOf returns the endpoint of a URL: its last two elements. The prefix is that of the user's
// mux. It is not used, but a prefix that is not clean is refused, since no Client sends one.
func endpointOf(u *url.URL) (endpoint, *refusal) {
	path := u.EscapedPath()
	if !IsCleanPath(path) || u.RawQuery != "" {
		return "", refuse(malformed,
			"the URL is not one of this protocol").withStatus(http.StatusNotFound)
	}
	prefix, last := cutLast(path)
	_, v := cutLast(prefix)
	e := endpoint(last)
	if !slices.Contains(endpoints, e) || v == "" || v[0] != 'v' {
		no := refuse(malformed, "the URL is not one of this protocol")
		return "", no.withStatus(http.StatusNotFound)
	}
	if v[1:] != version {
		return "", refuse(otherVersion, "this node speaks version "+version+" of the protocol")
	}
	return e, nil
}

// IsCleanPath reports whether an escaped path has no escapes, empty elements or dot elements.
func IsCleanPath(path string) bool {
	return !strings.Contains(path, "%") && !strings.Contains(path, "//") &&
		!strings.Contains(path+"/", "/../") && !strings.Contains(path+"/", "/./")
}

func cutLast(path string) (before, last string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// head has the fields of the headers of a request.
type head struct {
	cache       string
	node        string
	to          uint64
	peerTimeout time.Duration
	timeout     time.Duration // 0: none
}

// requestHeader returns the header of a node's requests to an incarnation of another node.
func requestHeader(c *Config, to uint64) string {
	return strings.Join([]string{
		version, url.QueryEscape(c.Cache), url.QueryEscape(c.Node), formatIncarnation(to),
		strconv.FormatInt(int64(c.PeerTimeout), 10),
	}, " ")
}

var errOtherVersion = errors.New("another version of the protocol")

// readHead parses the headers of a request. Each must be there once, since two could be read in two
// ways.
func readHead(h http.Header) (d head, err error) {
	f, err := readFields(h, headerRequest, 5)
	if err != nil {
		return head{}, err
	}
	var ok1, ok2, ok3, ok4 bool
	d.cache, ok1 = unescape(f[1])
	d.node, ok2 = unescape(f[2])
	d.to, ok3 = parseHex64(f[3])
	d.peerTimeout, ok4 = parseDuration(f[4])
	if !ok1 || !ok2 || !ok3 || !ok4 || d.peerTimeout <= 0 {
		return head{}, headerError(headerRequest)
	}
	if v := h[headerTimeout]; len(v) > 0 {
		var ok bool
		if d.timeout, ok = parseDuration(v[0]); len(v) > 1 || !ok || d.timeout <= 0 {
			return head{}, headerError(headerTimeout)
		}
	}
	return d, nil
}

// maxFields is the maximum number of fields of a header.
const maxFields = 5

// readFields returns the n fields of a header that is there once, separated by spaces. The first is
// the version of the protocol. If that is another version, the error is errOtherVersion, and the
// other fields are not read.
func readFields(h http.Header, name string, n int) (f [maxFields]string, err error) {
	v := h[name]
	if len(v) != 1 || v[0] == "" {
		return f, headerError(name)
	}
	rest, more := v[0], true
	for i := range n {
		if !more {
			return f, headerError(name)
		}
		f[i], rest, more = strings.Cut(rest, " ")
		if i == 0 && f[0] != version {
			return f, errOtherVersion
		}
	}
	if more {
		return f, headerError(name)
	}
	return f, nil
}

func headerError(name string) error {
	return fmt.Errorf("header %s: missing, twice or malformed", name)
}

func unescape(v string) (string, bool) {
	if len(v) > 3*maxName {
		return "", false
	}
	s, err := url.QueryUnescape(v)
	return s, err == nil && len(s) <= maxName
}

func formatIncarnation(run uint64) string { return fmt.Sprintf("%016x", run) }

// parseHex64 parses exactly sixteen lower-case hexadecimal digits.
func parseHex64(s string) (n uint64, ok bool) {
	n, err := strconv.ParseUint(s, 16, 64)
	return n, err == nil && len(s) == 16 && s == strings.ToLower(s)
}

// parseDuration parses a number of nanoseconds.
func parseDuration(s string) (time.Duration, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return time.Duration(n), err == nil
}

// appendPart appends b with its length before it.
func appendPart[T string | []byte](to []byte, b T) []byte {
	return append(binary.AppendUvarint(to, uint64(len(b))), b...)
}

// encodeFetch returns the body of a request for key: how late the asker's last request for it is
// (see courier.LateAge), in milliseconds, the deletes in after, and the key as it is.
func encodeFetch(key string, after []byte, late time.Duration) []byte {
	body := make([]byte, 0, binary.MaxVarintLen64+binary.MaxVarintLen32+len(after)+len(key))
	return append(appendPart(appendLate(body, late), after), key...)
}

var errFrame = errors.New("the body is not one of this protocol")

func decodeFetch(
	body []byte, maxKey, maxAfter int,
) (key string, after []byte, late time.Duration, err error) {
	r := reader{b: body}
	late, after = r.late(), r.part()
	if r.bad {
		return "", nil, 0, errFrame
	}
	if err := checkSizes(r.b, after, maxKey, maxAfter); err != nil {
		return "", nil, 0, err
	}
	if len(after) == 0 {
		after = nil
	}
	return string(r.b), after, late, nil
}

// checkSizes returns a *SizeError if a key or its deletes are too large.
func checkSizes(key, after []byte, maxKey, maxAfter int) error {
	switch {
	case len(key) > maxKey:
		return &SizeError{What: "key", Size: int64(len(key)), Max: int64(maxKey)}
	case len(after) > maxAfter:
		return &SizeError{What: "list of deletes", Size: int64(len(after)), Max: int64(maxAfter)}
	}
	return nil
}

func appendLate(to []byte, late time.Duration) []byte {
	return binary.AppendUvarint(to, uint64(max(late, 0).Milliseconds())) //nolint:gosec // not negative
}

// A reader decodes the front of b. After something that can't be decoded it returns zeros, and bad
// is true.
type reader struct {
	b   []byte // what is left
	bad bool
}

// ok reports whether everything could be decoded and nothing is left.
func (r *reader) ok() bool { return !r.bad && len(r.b) == 0 }

func (r *reader) uvarint() uint64 { return number(r, binary.Uvarint) }
func (r *reader) varint() int64   { return number(r, binary.Varint) }

func number[N uint64 | int64](r *reader, decode func([]byte) (N, int)) (v N) {
	v, n := decode(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// bytes returns the next n bytes.
func (r *reader) bytes(n uint64) (b []byte) {
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return nil
	}
	b, r.b = r.b[:n:n], r.b[n:]
	return b
}

// part is the inverse of appendPart.
func (r *reader) part() []byte { return r.bytes(r.uvarint()) }

// late is the inverse of appendLate.
func (r *reader) late() time.Duration {
	ms := r.uvarint()
	if ms > math.MaxInt64/uint64(time.Millisecond) {
		r.b, r.bad = nil, true
		return 0
	}
	return time.Duration(ms) * time.Millisecond //nolint:gosec // compared above
}

var errTooLong = errors.New("more bytes than were announced")

// readBody reads a body of size bytes. It takes memory as bytes arrive, at most growth times as
// much, so little of a large body is copied. It fails if the body is shorter or longer.
func readBody(r io.Reader, size int64) ([]byte, error) {
	b := make([]byte, min(size, firstRead))
	for have := 0; ; {
		n, err := io.ReadFull(r, b[have:])
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("%d of %d bytes: %w", have+n, size, err)
		}
		have += n
		if int64(have) == size {
			break
		}
		more := make([]byte, min(size, growth*int64(have)))
		copy(more, b)
		b = more
	}
	var one [1]byte
	switch n, err := io.ReadFull(r, one[:]); {
	case n > 0:
		return nil, fmt.Errorf("%w: %d", errTooLong, size)
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	return b, nil
}
