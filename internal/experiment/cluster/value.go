package cluster

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// keyName is the key of a number.
func keyName(n int) string { return "key/" + strconv.Itoa(n) }

// makeValue is what the origin gives: the key, the version, and when it was issued, in nanoseconds
// of the wall clock.
func makeValue(key string, version uint64, issued time.Time, size int) []byte {
	b := fmt.Appendf(nil, "%s %d %d ", key, version, issued.UnixNano())
	if pad := size - len(b); pad > 0 {
		b = append(b, bytes.Repeat([]byte{'.'}, pad)...)
	}
	return b
}

// readValue returns what makeValue put into a value.
func readValue(value []byte) (key string, version uint64, issued time.Time, ok bool) {
	fields := strings.SplitN(string(value), " ", 4)
	if len(fields) != 4 {
		return "", 0, time.Time{}, false
	}
	version, err := strconv.ParseUint(fields[1], 10, 64)
	at, err2 := strconv.ParseInt(fields[2], 10, 64)
	return fields[0], version, time.Unix(0, at), err == nil && err2 == nil
}

// receive adds to a value when its load ended: its TTL begins then. It may be long after the value
// was issued, if the process was stopped in between.
func receive(value []byte, at time.Time) []byte { return fmt.Appendf(value, " %d", at.UnixNano()) }

// received is what receive added, or else the time when the value was issued.
func received(value []byte, issued time.Time) time.Time {
	nanos, err := strconv.ParseInt(string(value[bytes.LastIndexByte(value, ' ')+1:]), 10, 64)
	if err != nil {
		return issued
	}
	return time.Unix(0, nanos)
}
