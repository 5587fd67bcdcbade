package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

// commonErrors are the errors that every node knows. The protocol has their indices, so these must
// not change.
var commonErrors = [...]error{
	courier.ErrGoexit,
	courier.ErrDeadlock,
	courier.ErrTimeout,
	context.DeadlineExceeded,
	context.Canceled,
	cache.ErrNotFound,
}

// maxNames bounds how many of Config.Errors one error matches.
const maxNames = 64

// encodeLoadError returns the body of an answer with an error of Load: kind, bits of commonErrors,
// message, stack, and names of Config.Errors.
func encodeLoadError(err error, names map[string]error) []byte {
	k, message, stack := describe(err)
	var bits uint64
	for i, e := range commonErrors {
		if errors.Is(err, e) && (e != cache.ErrNotFound || k == NotFound) { //nolint:errorlint // that one
			bits |= 1 << i
		}
	}
	var is []string
	for name, e := range names {
		if errors.Is(err, e) {
			is = append(is, name)
		}
	}
	slices.Sort(is)
	is = is[:min(len(is), maxNames)]

	b := append(make([]byte, 0, 64+len(message)+len(stack)), byte(k))
	b = binary.AppendUvarint(b, bits)
	b = appendPart(b, shorten(message, maxText))
	b = appendPart(b, shorten(stack, maxStack))
	b = binary.AppendUvarint(b, uint64(len(is)))
	for _, name := range is {
		b = appendPart(b, name)
	}
	return b
}

func describe(err error) (k LoadKind, message, stack string) {
	message = err.Error()
	var panicked *courier.PanicError
	if errors.As(err, &panicked) {
		stack = string(panicked.Stack)
	}
	var backoff *courier.BackoffError
	switch {
	case errors.As(err, &backoff):
		return BackedOff, message, stack
	case panicked != nil:
		return Panicked, fmt.Sprint(panicked.Value), stack
	case errors.Is(err, cache.ErrNotFound):
		return NotFound, message, ""
	case errors.Is(err, courier.ErrGoexit):
		return Goexited, message, ""
	case errors.Is(err, courier.ErrDeadlock):
		return Deadlocked, message, ""
	case errors.Is(err, context.DeadlineExceeded):
		return TimedOut, message, ""
	}
	return Failed, message, ""
}

var errLoadWire = errors.New("an error that can't be read")

// decodeLoadError is the inverse of encodeLoadError. It ignores names that are not in names.
func decodeLoadError(b []byte, names map[string]error) (*LoadError, error) {
	r := reader{b: b}
	first, bits := r.bytes(1), r.uvarint()
	message, stack, count := r.part(), r.part(), r.uvarint()
	if r.bad || first[0] < byte(Failed) || first[0] > byte(NotFound) || bits >= 1<<len(commonErrors) ||
		len(message) > maxText || len(stack) > maxStack || count > maxNames {
		return nil, errLoadWire
	}
	e := &LoadError{Kind: LoadKind(first[0]), Message: string(message), Stack: string(stack)}
	for i, err := range commonErrors {
		if bits&(1<<i) != 0 {
			e.is = append(e.is, err)
		}
	}
	for range count {
		if err := names[string(r.part())]; err != nil {
			e.is = append(e.is, err)
		}
	}
	if !r.ok() {
		return nil, errLoadWire
	}
	return e, nil
}

// shorten returns s, cut to n bytes with an ellipsis at its end if it is longer.
func shorten(s string, n int) string {
	const sign = "…"
	if len(s) <= n {
		return s
	}
	s = s[:n-len(sign)]
	for range utf8.UTFMax - 1 { // not in the middle of a rune, if s is UTF-8
		if r, size := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || size != 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return s + sign
}
