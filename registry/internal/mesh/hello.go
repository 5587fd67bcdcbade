package mesh

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/hashicorp/memberlist"
)

// A node that wants to join says hello first: a question and an answer on the connection over which
// memberships are exchanged next. So a node learns from types, not from memberlist's texts, whether
// its keys fit, whether a node of this module is there, and whether that is the node itself.
//
// A hello is a head of eight bytes and a body:
//
//	4 bytes  helloMagic; none of memberlist's messages begins with its first byte
//	1 byte   helloVersion
//	1 byte   helloKind
//	2 bytes  the length of the body
//
// The body identifies the sender: eight random bytes that no other run has, its incarnation, its
// name. With keys it is sealed with AES-GCM: a nonce of 12 bytes, then the ciphertext. An answer
// authenticates its question, so that no answer serves twice.

const (
	helloMagic   = "\xf5SFH"
	helloVersion = 1
	helloHead    = len(helloMagic) + 4
	longestHello = 512 // bytes of a body
	nonceSize    = 12
)

// A helloKind is the type of a hello's body.
type helloKind byte

const (
	helloPlain   helloKind = iota // a question or an answer
	helloSealed                   // the same, under a key
	helloNoKey                    // the answer of a node without keys to a question that is sealed
	helloWantKey                  // the answer of a node with keys to a question that is not
	helloBadKey                   // the answer of a node none of whose keys opens the question
	helloUnknown                  // the answer to a question of another version, or of an unknown kind
)

// A greeting identifies the run of a node.
type greeting struct {
	instance    uint64 // random
	incarnation uint64
	name        string
}

// A greeter asks and answers hellos for a node. Its methods may be called at the same time.
type greeter struct {
	self    greeting
	keyring *memberlist.Keyring // nil: no keys

	// rejected is called if the keys do not fit, with the address of the other side.
	rejected func(from string, err error)
}

// randomInstance returns a number that no other run has.
func randomInstance() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return binary.BigEndian.Uint64(b[:])
}

// ask says hello on a new connection and returns the greeting of the node that answers. The error
// is [ErrNoAnswer], a [*KeyError] or a [*ForeignError]. It blocks until the connection's deadline
// at the most.
func (g *greeter) ask(c net.Conn) (greeting, error) {
	question, err := g.seal(g.self.encode(), nil)
	if err != nil {
		return greeting{}, err
	}
	_, _ = c.Write(question) // the other side may have spoken and hung up before this
	kind, body, err := readHello(c)
	if err != nil {
		return greeting{}, err
	}
	switch {
	case kind == helloNoKey:
		return greeting{}, &KeyError{Problem: KeyUnexpected}
	case kind == helloWantKey, kind == helloSealed && g.keyring == nil:
		return greeting{}, &KeyError{Problem: KeyMissing}
	case kind == helloBadKey:
		return greeting{}, &KeyError{Problem: KeyWrong}
	case kind == helloPlain && g.keyring != nil:
		return greeting{}, &KeyError{Problem: KeyUnexpected}
	case kind == helloSealed:
		if body, err = g.open(body, question); err != nil {
			return greeting{}, &KeyError{Problem: KeyWrong}
		}
	case kind != helloPlain:
		return greeting{}, &ForeignError{Err: errOtherHello}
	}
	who, ok := decodeGreeting(body)
	if !ok {
		return greeting{}, &ForeignError{Err: errOtherHello}
	}
	return who, nil
}

// answer reads the rest of a question whose first byte has come, and answers it. It reports whether
// memberlist may have the connection.
func (g *greeter) answer(c net.Conn) bool {
	kind, body, err := readHello(c)
	if err != nil {
		return false
	}
	question := newHello(kind, body)
	from := c.RemoteAddr().String()
	refuse := func(answer helloKind, problem KeyProblem) bool {
		if problem != 0 {
			g.rejected(from, &KeyError{Problem: problem})
		}
		_, _ = c.Write(newHello(answer, nil)) // the other side may have gone
		return false
	}
	switch {
	case kind == helloSealed && g.keyring == nil:
		return refuse(helloNoKey, KeyMissing)
	case kind == helloPlain && g.keyring != nil:
		return refuse(helloWantKey, KeyUnexpected)
	case kind == helloSealed:
		if body, err = g.open(body, nil); err != nil {
			return refuse(helloBadKey, KeyWrong)
		}
	case kind != helloPlain:
		return refuse(helloUnknown, 0)
	}
	if _, ok := decodeGreeting(body); !ok {
		return refuse(helloUnknown, 0)
	}
	b, err := g.seal(g.self.encode(), question)
	if err != nil {
		return false
	}
	_, err = c.Write(b)
	return err == nil
}

// sealedStream is the first byte of an encrypted stream of memberlist's; its numbers are part of
// its protocol.
const sealedStream = 10

// accepts reports whether a stream without a hello is encrypted if this node has keys, and is not
// if it has none. Otherwise it calls rejected: memberlist would report that in its log alone.
func (g *greeter) accepts(c *conn) bool {
	sealed := c.first == sealedStream
	switch {
	case sealed == (g.keyring != nil):
		return true
	case sealed:
		g.rejected(c.RemoteAddr().String(), &KeyError{Problem: KeyMissing})
	default:
		g.rejected(c.RemoteAddr().String(), &KeyError{Problem: KeyUnexpected})
	}
	return false
}

// readHello reads a head and a body. The error is [ErrNoAnswer] or a [*ForeignError].
func readHello(r io.Reader) (helloKind, []byte, error) {
	head := make([]byte, helloHead)
	n, err := io.ReadFull(r, head)
	said := head[:n]
	if k := min(n, len(helloMagic)); string(said[:k]) != helloMagic[:k] {
		return 0, nil, &ForeignError{Said: bytes.Clone(said)}
	}
	if err != nil {
		return 0, nil, ErrNoAnswer
	}
	if head[len(helloMagic)] != helloVersion {
		return helloUnknown, nil, nil
	}
	size := int(binary.BigEndian.Uint16(head[helloHead-2:]))
	if size > longestHello {
		return 0, nil, &ForeignError{Err: errOtherHello}
	}
	body := make([]byte, size)
	if _, err = io.ReadFull(r, body); err != nil {
		return 0, nil, ErrNoAnswer
	}
	return helloKind(head[len(helloMagic)+1]), body, nil
}

// newHello returns a hello with its header.
func newHello(kind helloKind, body []byte) []byte {
	b := []byte(helloMagic)
	b = append(b, helloVersion, byte(kind))
	b = binary.BigEndian.AppendUint16(b, uint16(len(body))) //nolint:gosec // at most longestHello
	return append(b, body...)
}

// seal returns a hello with a body, sealed if there are keys. question is that which it answers,
// nil if it is a question itself.
func (g *greeter) seal(body, question []byte) ([]byte, error) {
	if g.keyring == nil {
		return newHello(helloPlain, body), nil
	}
	aead, err := newAEAD(g.keyring.GetPrimaryKey())
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, nonceSize)
	_, _ = rand.Read(nonce) // never fails, see crypto/rand
	sealed := aead.Seal(nonce, nonce, body, authenticated(question))
	return newHello(helloSealed, sealed), nil
}

var errNoKey = errors.New("no key opens it")

// open decrypts the body of a hello with the key that fits.
func (g *greeter) open(b, question []byte) ([]byte, error) {
	if len(b) < nonceSize {
		return nil, errNoKey
	}
	for _, key := range g.keyring.GetKeys() {
		aead, err := newAEAD(key)
		if err != nil {
			return nil, err
		}
		body, err := aead.Open(nil, b[:nonceSize], b[nonceSize:], authenticated(question))
		if err == nil {
			return body, nil
		}
	}
	return nil, errNoKey
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("mesh: %w", err)
	}
	return cipher.NewGCM(block)
}

// authenticated returns the additional data of a hello, which separate it from all else under the
// same key, and an answer from a question.
func authenticated(question []byte) []byte {
	return append([]byte("snowfence registry hello 1\x00"), question...)
}

func (w greeting) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, w.instance)
	b = binary.BigEndian.AppendUint64(b, w.incarnation)
	return append(b, w.name...)
}

// decodeGreeting decodes any bytes, and reports whether they are a greeting.
func decodeGreeting(b []byte) (greeting, bool) {
	if len(b) <= 16 || len(b) > 16+maxNode {
		return greeting{}, false
	}
	return greeting{
		instance:    binary.BigEndian.Uint64(b),
		incarnation: binary.BigEndian.Uint64(b[8:]),
		name:        string(b[16:]),
	}, true
}
