package peer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"net/http"
	"sync"
)

type mac [sha256.Size]byte

// What is signed begins with what it is, so that nothing can be taken for something else.
const (
	signedRequest = "snowfence peer request 1\x00"
	signedAnswer  = "snowfence peer answer 1\x00"
)

// signer makes the MACs of one shared key.
type signer struct {
	states sync.Pool // of *signing
}

// signing is what one MAC needs. All of it is used again.
type signing struct {
	hash hash.Hash
	head []byte
}

func newSigner(key []byte) *signer {
	key = append([]byte(nil), key...)
	s := &signer{}
	s.states.New = func() any { return &signing{hash: hmac.New(sha256.New, key)} }
	return s
}

func newSigners(keys [][]byte) []*signer {
	signers := make([]*signer, len(keys))
	for i, k := range keys {
		signers[i] = newSigner(k)
	}
	return signers
}

func (s *signer) sum(head func([]byte) []byte, body []byte) (m mac) {
	g, ok := s.states.Get().(*signing)
	if !ok {
		panic("peer: the pool holds something else") // can't be: New is all that fills it
	}
	defer s.states.Put(g)
	g.head = head(g.head[:0])
	g.head = binary.BigEndian.AppendUint64(g.head, uint64(len(body)))
	g.hash.Reset()
	g.hash.Write(g.head)
	g.hash.Write(body)
	g.head = g.hash.Sum(g.head[:0])
	copy(m[:], g.head)
	return m
}

// stamp makes a request the only one of its kind.
type stamp struct {
	epoch   uint64 // of the receiver
	counter uint64 // of the sender
}

func (s *signer) request(e endpoint, h *head, t stamp, body []byte) mac {
	return s.sum(func(b []byte) []byte {
		b = append(b, signedRequest...)
		b = appendPart(b, string(e))
		b = appendPart(b, h.cache)
		b = appendPart(b, h.node)
		for _, n := range [...]uint64{h.from, h.to, t.epoch, t.counter, uint64(h.silence), uint64(h.timeout)} {
			b = binary.BigEndian.AppendUint64(b, n)
		}
		return b
	}, body)
}

func (s *signer) answer(request mac, a answer) mac {
	return s.sum(func(b []byte) []byte {
		b = append(b, signedAnswer...)
		b = append(b, request[:]...)
		b = append(b, byte(a.kind))
		return binary.BigEndian.AppendUint64(b, uint64(a.keep))
	}, a.body)
}

func (m mac) equal(n mac) bool { return hmac.Equal(m[:], n[:]) }

// lenAuth is that of the header of a request: epoch, counter and MAC.
const lenAuth = 16 + 1 + 16 + 1 + 2*sha256.Size

func formatAuth(t stamp, m mac) string {
	b := make([]byte, 0, lenAuth)
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], t.epoch)
	b = append(hex.AppendEncode(b, n[:]), ' ')
	binary.BigEndian.PutUint64(n[:], t.counter)
	b = append(hex.AppendEncode(b, n[:]), ' ')
	return string(hex.AppendEncode(b, m[:]))
}

func parseAuth(h http.Header) (t stamp, m mac, ok bool) {
	v, ok := single(h, headerAuth)
	if !ok || len(v) != lenAuth || v[16] != ' ' || v[33] != ' ' {
		return stamp{}, mac{}, false
	}
	epoch, ok1 := parseHex64(v[:16])
	counter, ok2 := parseHex64(v[17:33])
	m, ok3 := parseMAC(v[34:])
	return stamp{epoch, counter}, m, ok1 && ok2 && ok3
}

func parseMAC(s string) (m mac, ok bool) {
	if len(s) != 2*len(m) {
		return mac{}, false
	}
	_, err := hex.Decode(m[:], []byte(s))
	return m, err == nil
}
