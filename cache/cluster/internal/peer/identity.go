package peer

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// identityInfo binds the derived key to its use (RFC 5869, info).
const identityInfo = "snowfence cluster identity 1"

var (
	errNoKey         = errors.New("peer: no shared key")
	errNoCertificate = errors.New(
		"no certificate was shown, or none that was made of a shared key of this node")
)

// An Identity authenticates nodes over TLS by shared keys. Each shared key yields an Ed25519 key
// and with it a self-signed certificate, the same one on all nodes. A node shows the certificate of
// the first key and accepts those of all.
type Identity struct {
	certificate tls.Certificate
	accepted    []ed25519.PublicKey
}

// NewIdentity derives the Identity of shared keys. There must be at least one.
func NewIdentity(keys [][]byte) (*Identity, error) {
	if len(keys) == 0 {
		return nil, errNoKey
	}
	d := &Identity{}
	for i, key := range keys {
		seed, err := hkdf.Key(sha256.New, key, nil, identityInfo, ed25519.SeedSize)
		if err != nil {
			return nil, fmt.Errorf("peer: derive the identity of shared key %d: %w", i, err)
		}
		private := ed25519.NewKeyFromSeed(seed)
		public := private.Public().(ed25519.PublicKey) //nolint:errcheck,forcetypeassert // it is one
		d.accepted = append(d.accepted, public)
		if i > 0 {
			continue
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1),
			// it is always valid, whatever the clocks say
			NotBefore: time.Unix(0, 0).UTC(), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		}
		der, err := x509.CreateCertificate(nil, template, template, public, private)
		if err != nil {
			return nil, fmt.Errorf("peer: make the certificate of shared key %d: %w", i, err)
		}
		d.certificate = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: crypto.Signer(private)}
	}
	return d, nil
}

// Config returns the TLS configuration for servers and clients: version 1.3, and both sides must
// prove that they have an accepted key. Names and dates of certificates are ignored.
func (d *Identity) Config() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{d.certificate},
		ClientAuth:   tls.RequireAnyClientCert,
		// A server gets the certificate whatever authorities it names.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &d.certificate, nil
		},
		InsecureSkipVerify: true, //nolint:gosec // verify checks the peer, also when a session is resumed
		VerifyConnection:   func(s tls.ConnectionState) error { return d.verify(&s) },
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
	}
}

// verify returns an error unless the other side of a connection has an accepted key. TLS has
// checked that it has the key of its certificate.
func (d *Identity) verify(s *tls.ConnectionState) error {
	if s == nil || len(s.PeerCertificates) == 0 {
		return errNoCertificate
	}
	public, _ := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	for _, a := range d.accepted {
		if bytes.Equal(a, public) {
			return nil
		}
	}
	return errNoCertificate
}
