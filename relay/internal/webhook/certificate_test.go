package webhook_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// authority is a certificate authority of a test.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (a *authority) issue(t *testing.T, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(5), Subject: pkix.Name{CommonName: "127.0.0.1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	change(template)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func newAuthority(t *testing.T, key crypto.Signer) *authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{cert, key}
}

// negative turns the serial number of a certificate negative, which no library issues any more, and
// signs it again.
func negative(t *testing.T, a *authority, c tls.Certificate) tls.Certificate {
	t.Helper()
	var parts struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	_, err := asn1.Unmarshal(c.Certificate[0], &parts)
	require.NoError(t, err)
	tbs := parts.TBS.FullBytes
	for i := range tbs {
		if string(tbs[i:i+3]) == "\x02\x01\x05" { // the serial number 5
			tbs[i+2] = 0xfb
			break
		}
	}
	sum := sha256.Sum256(tbs)
	sig, err := a.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	require.NoError(t, err)
	parts.Signature = asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)}
	der, err := asn1.Marshal(parts)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: c.PrivateKey}
}

// TestCertificatesSayWhatIsWrong: whoever reads the attempt learns the true cause, and who is to do
// what.
func TestCertificatesSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	trusted, byRSA, stranger := newAuthority(t, ecKey), newAuthority(t, rsaKey), newAuthority(t, ecKey)
	stranger.cert.RawSubject, stranger.cert.Subject = nil, pkix.Name{CommonName: "Nobody"}
	as := func(*x509.Certificate) {}
	for name, test := range map[string]struct {
		cert tls.Certificate
		want string
	}{
		"good": {trusted.issue(t, as), ""},
		"no SAN": {
			trusted.issue(t, func(c *x509.Certificate) { c.IPAddresses = nil }),
			"TLS: certificate names no host (it has no subjectAltName); the receiver must have it issued with one",
		},
		"another host": {
			trusted.issue(t, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.example"} }),
			"TLS: certificate is for another host name",
		},
		"expired": {
			trusted.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
			"TLS: certificate has expired; the receiver must renew it",
		},
		"not yet valid": {
			trusted.issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) }),
			"TLS: certificate is not valid yet; compare the clocks of receiver and relay",
		},
		"SHA-1": {
			byRSA.issue(t, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA }),
			"TLS: certificate is signed with SHA-1 or MD5, which proves nothing; the receiver must have it issued anew",
		},
		"unknown authority": {
			stranger.issue(t, as),
			"TLS: certificate is signed by an unknown authority; the receiver must send its intermediate certificates, " +
				"or the relay's machine must trust its authority",
		},
		"signed by itself": {
			(&authority{}).issue(t, as), "TLS: certificate is signed by an unknown authority; the relay's machine must trust it",
		},
		"negative serial": {
			negative(t, trusted, trusted.issue(t, as)),
			"TLS: certificate cannot be read (negative serial number); the receiver must have it issued anew",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			require.NoError(t, err)
			rec := &http.Server{Handler: http.NotFoundHandler(), ErrorLog: quiet(), ReadHeaderTimeout: time.Minute}
			var wg sync.WaitGroup
			wg.Go(func() {
				_ = rec.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{test.cert}, MinVersion: tls.VersionTLS12}))
			})
			t.Cleanup(func() { _ = rec.Close(); wg.Wait() })
			roots := x509.NewCertPool()
			roots.AddCert(trusted.cert)
			roots.AddCert(byRSA.cert)
			c := newClient(t, webhook.Options{Network: loopback(), Roots: roots})
			res := endpointOf(t, c, "https://"+l.Addr().String()).Send(t.Context(), newRequest())
			require.Equal(t, test.want, res.Attempt.Error)
			require.Equal(t, test.want == "", res.Reached, "nothing is sent to whom nobody vouches for")
		})
	}
}

// TestSecured_saysWhenTheFirstCertificateExpires: whoever looks after a receiver is to hear of its
// certificates before they expire: of the intermediate ones too, and not of those that it sends on
// to.
func TestSecured_saysWhenTheFirstCertificateExpires(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ca := newAuthority(t, key)
	soon, later := time.Now().Add(20*time.Minute).Truncate(time.Second), time.Now().Add(40*time.Minute).Truncate(time.Second)
	lasting := ca.issue(t, func(c *x509.Certificate) { c.NotAfter = later })
	short := ca.issue(t, func(c *x509.Certificate) { c.NotAfter = soon })
	lasting.Certificate = append(lasting.Certificate, short.Certificate[0], lasting.Certificate[0])
	serve := func(cert tls.Certificate, h http.HandlerFunc) string {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		rec := &http.Server{Handler: h, ErrorLog: quiet(), ReadHeaderTimeout: time.Minute}
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = rec.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}))
		})
		t.Cleanup(func() { _ = rec.Close(); wg.Wait() })
		return "https://" + l.Addr().String()
	}
	elsewhere := serve(ca.issue(t, func(*x509.Certificate) {}), func(http.ResponseWriter, *http.Request) {})
	own := serve(lasting, redirecting(307, func() string { return elsewhere }))
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	var heard []string
	c := newClient(t, webhook.Options{Network: loopback(), Roots: roots, Secured: func(endpoint string, until time.Time) {
		heard = append(heard, endpoint+" "+until.UTC().String())
	}})
	e := endpointOf(t, c, own, func(ep *config.Endpoint) { ep.Redirects = 1 })
	for range 2 {
		require.Empty(t, e.Send(t.Context(), newRequest()).Attempt.Error)
	}
	require.Equal(t, []string{"erp " + soon.UTC().String()}, heard, "one connection serves both")
}
