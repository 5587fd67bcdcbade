package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(tb testing.TB, name string) *authority {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour),
		NotAfter:  time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(tb, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(tb, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{cert, key, pool}
}

func (a *authority) issue(tb testing.TB, name string) tls.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour),
		NotAfter:  time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(tb, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serveTLS starts an HTTPS server which asks for certificates in that way.
func serveTLS(tb testing.TB, h http.Handler, ca *authority, auth tls.ClientAuthType) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	s := &http.Server{
		Handler: h, Protocols: p, ReadHeaderTimeout: testPeerTimeout, ErrorLog: quiet(),
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{ca.issue(tb, "b")},
			ClientCAs: ca.pool, ClientAuth: auth,
		},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.ServeTLS(l, "", "")
	}()
	tb.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return "https://" + l.Addr().String()
}

func TestMutualTLS(t *testing.T) {
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	withCert := func(by *authority) *tls.Config {
		cert := by.issue(t, "a") // shown whatever the server says it accepts
		return &tls.Config{
			MinVersion: tls.VersionTLS13, RootCAs: ours.pool,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate,
				error) {
				return &cert, nil
			},
		}
	}
	without := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: ours.pool}
	for name, c := range map[string]struct {
		client *tls.Config
		auth   tls.ClientAuthType
		reason Reason // 0: none
	}{
		"both have certificates":        {withCert(ours), tls.RequireAndVerifyClientCert, 0},
		"if given":                      {withCert(ours), tls.VerifyClientCertIfGiven, 0},
		"none, where one is needed":     {without, tls.RequireAndVerifyClientCert, Denied},
		"none, where one may be given":  {without, tls.VerifyClientCertIfGiven, Denied},
		"of somebody else":              {withCert(others), tls.RequireAndVerifyClientCert, Denied},
		"of somebody else, not checked": {withCert(others), tls.RequireAnyClientCert, Denied},
		"the server does not ask":       {withCert(ours), tls.NoClientCert, Denied},
		"the server is somebody else": {
			&tls.Config{MinVersion: tls.VersionTLS13, RootCAs: others.pool,
				Certificates: []tls.Certificate{ours.issue(t, "a")}},
			tls.RequireAndVerifyClientCert, Denied,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := configB()
			b.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
			proto := ""
			b.Authorize = func(r *http.Request) error { proto = r.Proto; return nil }
			s := NewServer(b, backend{fetch: echo})
			rt := DefaultTransport(c.client)
			defer rt.CloseIdleConnections()
			k := NewClient(configA(), rt)
			defer k.Close()
			v, err := k.Fetch(t.Context(), Address{Node: "b", URL: serveTLS(t, s, ours, c.auth), Incarnation: incarnationB},
				"k", nil)
			if c.reason != 0 {
				unavailable(t, err, c.reason)
				assert.Zero(t, v)
				assert.Empty(t, proto, "it is not even asked whether it may")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, "k", string(v.Data))
			assert.Equal(t, "HTTP/1.1", proto)
		})
	}
	t.Run("without TLS", func(t *testing.T) {
		b := configB()
		b.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
		n := connect(t, http1, configA(), b, backend{fetch: echo})
		_, err := n.fetch(t.Context(), "k")
		unavailable(t, err, Denied)
		assert.Equal(t, Refused{Unauthenticated: 1}, n.server.Refused())
	})
}
