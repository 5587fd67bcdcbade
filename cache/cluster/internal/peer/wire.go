package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The protocol's version, and the names of its headers as net/http keeps them.
const (
	version = "1"

	headerProtocol = "Snowfence-Protocol" // both ways
	headerAuth     = "Snowfence-Auth"     // both ways

	headerCache   = "Snowfence-Cache"
	headerNode    = "Snowfence-Node"    // the asker's name, escaped
	headerFrom    = "Snowfence-From"    // the asker's run
	headerTo      = "Snowfence-To"      // the run that is asked
	headerSilence = "Snowfence-Silence" // how long the asker hears nothing before it gives up, in ns
	headerTimeout = "Snowfence-Timeout" // how long it waits at most, in ns; absent: as long as it takes

	headerAnswer = "Snowfence-Answer" // the kind
	headerKeep   = "Snowfence-Keep"   // how much longer a value is kept, in ns
	headerLength = "Snowfence-Length" // of the body

	headerPrefix = "Snowfence-"
	contentType  = "application/x-snowfence"
)

// Bounds that are not options.
const (
	maxPrefix  = 20      // of the body of a request, before what it is made of
	maxName    = 1 << 10 // bytes of a node's name
	maxText    = 4 << 10 // of a message
	maxStack   = 16 << 10
	maxSmall   = 32 << 10 // of an answer that is neither a value nor a message about deletes
	firstRead  = 1 << 20  // of a buffer whose size a peer claims, before anything has arrived
	minSilence = 4 * time.Millisecond
	maxSilence = time.Minute
	maxTimeout = 365 * 24 * time.Hour // a longer one is none
)

// endpoint is what is asked for.
type endpoint string

const (
	fetchEndpoint   endpoint = "fetch"
	deletesEndpoint endpoint = "deletes"
)

// endpointOf finds what a URL asks for: its last two elements. The prefix is that of the user's mux; it is not used,
// but one that is not clean is refused, since nobody would have sent it.
func endpointOf(u *url.URL) (endpoint, *refusal) {
	path := u.EscapedPath()
	if strings.Contains(path, "%") || strings.Contains(path, "//") || strings.Contains(path+"/", "/../") ||
		strings.Contains(path+"/", "/./") || u.RawQuery != "" {
		return "", refuse(malformed, "the URL is not one of this protocol").withStatus(http.StatusNotFound)
	}
	prefix, last := cutLast(path)
	_, v := cutLast(prefix)
	e := endpoint(last)
	if e != fetchEndpoint && e != deletesEndpoint || v == "" || v[0] != 'v' {
		return "", refuse(malformed, "the URL is not one of this protocol").withStatus(http.StatusNotFound)
	}
	if v[1:] != version {
		return "", refuse(otherVersion, "this node speaks version "+version+" of the protocol")
	}
	return e, nil
}

func cutLast(path string) (before, last string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// head is what the headers of a request say.
type head struct {
	cache   string
	node    string
	from    uint64
	to      uint64
	silence time.Duration
	timeout time.Duration // 0: none
}

// readHead parses the headers of a request. Each must be there once: what is said twice could be read in two ways.
func readHead(h http.Header) (head, error) {
	var d head
	var err error
	if d.cache, err = unescape(h, headerCache); err != nil {
		return head{}, err
	}
	if d.node, err = unescape(h, headerNode); err != nil {
		return head{}, err
	}
	if d.from, err = readRun(h, headerFrom); err != nil {
		return head{}, err
	}
	if d.to, err = readRun(h, headerTo); err != nil {
		return head{}, err
	}
	if d.silence, err = readDuration(h, headerSilence); err != nil {
		return head{}, err
	}
	if d.silence <= 0 {
		return head{}, headerError(headerSilence)
	}
	if len(h[headerTimeout]) > 0 {
		if d.timeout, err = readDuration(h, headerTimeout); err != nil {
			return head{}, err
		}
		if d.timeout <= 0 {
			return head{}, headerError(headerTimeout)
		}
	}
	return d, nil
}

func headerError(name string) error {
	return fmt.Errorf("header %s: missing, twice or malformed", name)
}

// single returns the value of a header that is there once.
func single(h http.Header, name string) (string, bool) {
	if v := h[name]; len(v) == 1 {
		return v[0], true
	}
	return "", false
}

func unescape(h http.Header, name string) (string, error) {
	v, ok := single(h, name)
	if !ok || len(v) > 3*maxName {
		return "", headerError(name)
	}
	s, err := url.QueryUnescape(v)
	if err != nil || len(s) > maxName {
		return "", headerError(name)
	}
	return s, nil
}

func formatRun(run uint64) string { return fmt.Sprintf("%016x", run) }

func readRun(h http.Header, name string) (uint64, error) {
	v, ok := single(h, name)
	run, ok2 := parseHex64(v)
	if !ok || !ok2 {
		return 0, headerError(name)
	}
	return run, nil
}

// parseHex64 reads sixteen digits, and nothing else.
func parseHex64(s string) (n uint64, ok bool) {
	if len(s) != 16 {
		return 0, false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

func readDuration(h http.Header, name string) (time.Duration, error) {
	v, ok := single(h, name)
	if !ok {
		return 0, headerError(name)
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || v != strconv.FormatInt(n, 10) {
		return 0, headerError(name)
	}
	return time.Duration(n), nil
}

// appendPart appends b with its length before it.
func appendPart[T string | []byte](to []byte, b T) []byte {
	return append(binary.AppendUvarint(to, uint64(len(b))), b...)
}

// cutPart is the opposite of appendPart.
func cutPart(from []byte) (part, rest []byte, ok bool) {
	n, w := binary.Uvarint(from)
	if w <= 0 || n > uint64(len(from)-w) {
		return nil, nil, false
	}
	end := w + int(n)
	return from[w:end:end], from[end:], true
}

// encodeFetch makes the body of a request for key: how late the asker's last one is (see courier.LateAge), in
// milliseconds, what after stands for, and then the key as it is.
func encodeFetch(key string, after []byte, late time.Duration) []byte {
	body := make([]byte, 0, binary.MaxVarintLen64+binary.MaxVarintLen32+len(after)+len(key))
	body = binary.AppendUvarint(body, uint64(max(late, 0).Milliseconds())) //nolint:gosec // not negative
	return append(appendPart(body, after), key...)
}

var errFrame = errors.New("the body is not one of this protocol")

func decodeFetch(body []byte, maxKey, maxAfter int) (key string, after []byte, late time.Duration, err error) {
	ms, n := binary.Uvarint(body)
	if n <= 0 || ms > math.MaxInt64/uint64(time.Millisecond) {
		return "", nil, 0, errFrame
	}
	after, rest, ok := cutPart(body[n:])
	switch {
	case !ok:
		return "", nil, 0, errFrame
	case len(rest) > maxKey:
		return "", nil, 0, &SizeError{What: "key", Size: int64(len(rest)), Max: int64(maxKey)}
	case len(after) > maxAfter:
		return "", nil, 0, &SizeError{What: "list of deletes", Size: int64(len(after)), Max: int64(maxAfter)}
	}
	if len(after) == 0 {
		after = nil
	}
	return string(rest), after, time.Duration(ms) * time.Millisecond, nil //nolint:gosec // compared above
}

var errTooLong = errors.New("more bytes than were announced")

// readBody reads a body of size bytes. Memory is taken as bytes arrive, not as they are announced. A body that is
// shorter or longer is an error.
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
		more := make([]byte, min(size, 2*int64(have)))
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
