package peer

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The MAC of a request and that of its answer, computed from what the package's documentation says.
func TestMACsAreAsDocumented(t *testing.T) {
	m := newSigner([]byte(documented)).request(fetchEndpoint,
		&head{cache: "things", node: "a", from: 1, to: 2, silence: 3, timeout: 4}, stamp{5, 6}, []byte("\x00key"))
	var text strings.Builder
	text.WriteString("snowfence peer request 1\x00")
	text.WriteString("\x05fetch\x06things\x01a")
	for n := range byte(6) {
		text.WriteString("\x00\x00\x00\x00\x00\x00\x00")
		text.WriteByte([]byte{1, 2, 5, 6, 3, 4}[n])
	}
	text.WriteString("\x00\x00\x00\x00\x00\x00\x00\x04\x00key")
	assert.Equal(t, hmacOf(documented, text.String()), m)

	answered := newSigner([]byte(documented)).answer(m, answer{kind: value, keep: 7, body: []byte("v")})
	assert.Equal(t, hmacOf(documented,
		"snowfence peer answer 1\x00"+string(m[:])+
			"\x01\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x01v"), answered)
}

const documented = "0123456789abcdef0123456789abcdef"

// hmacOf is RFC 2104 by hand.
func hmacOf(key, text string) mac {
	inner, outer := bytes.Repeat([]byte{0x36}, 64), bytes.Repeat([]byte{0x5c}, 64)
	for i := range len(key) {
		inner[i] ^= key[i]
		outer[i] ^= key[i]
	}
	sum := sha256.Sum256(append(inner, text...))
	return sha256.Sum256(append(outer, sum[:]...))
}
