package cluster

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// keyName returns the key of a number.
func keyName(n int) string { return "key/" + strconv.Itoa(n) }

// makeValue returns a value as the origin gives it: the key, the version, and padding up to size.
func makeValue(key string, version uint64, size int) []byte {
	b := fmt.Appendf(nil, "%s %d ", key, version)
	return append(b, bytes.Repeat([]byte{'.'}, max(0, size-len(b)))...)
}

// receive adds to a value when its load ended: its TTL begins then.
func receive(value []byte, at time.Time) []byte { return fmt.Appendf(value, " %d", at.UnixNano()) }

// readValue returns what makeValue and receive have put into a value.
func readValue(value []byte) (key string, version uint64, received time.Time, ok bool) {
	fields := strings.Fields(string(value))
	if len(fields) < 3 {
		return "", 0, time.Time{}, false
	}
	version, err := strconv.ParseUint(fields[1], 10, 64)
	at, err2 := strconv.ParseInt(fields[len(fields)-1], 10, 64)
	return fields[0], version, time.Unix(0, at), err == nil && err2 == nil
}
