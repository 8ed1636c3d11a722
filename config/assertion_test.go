package config_test

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// pemOf writes bytes as PEM.
func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pemOf("PRIVATE KEY", der)
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(t, err)
	return key
}

// smallRSA is an RSA key of 1024 bits, which crypto/rsa makes no more.
func smallRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	for {
		p, err := rand.Prime(rand.Reader, 512)
		require.NoError(t, err)
		q, err := rand.Prime(rand.Reader, 512)
		require.NoError(t, err)
		one := big.NewInt(1)
		key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537}, Primes: []*big.Int{p, q}}
		key.D = new(big.Int).ModInverse(big.NewInt(65537), new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)))
		if key.D == nil || key.N.BitLen() != 1024 {
			continue
		}
		key.Precompute()
		return key
	}
}

// keyFile is a file with a key of P-256.
func keyFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tailpost.key")
	require.NoError(t, os.WriteFile(path, []byte(pkcs8(t, ecKey(t, elliptic.P256()))), 0o600))
	return path
}

// TestKeysThatSign: a key signs with what suits it, in each form that openssl writes.
func TestKeysThatSign(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	p256 := ecKey(t, elliptic.P256())
	sec1, err := x509.MarshalECPrivateKey(p256)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		pem, asked, want string
		key              crypto.PrivateKey
	}{
		"rsa":                    {pkcs8(t, rsaKey), "", config.RS256, rsaKey},
		"rsa, PKCS #1":           {pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), config.PS256, config.PS256, rsaKey},
		"P-256":                  {pkcs8(t, p256), config.ES256, config.ES256, p256},
		"P-256, openssl ecparam": {pemOf("EC PARAMETERS", []byte{6, 8}) + pemOf("EC PRIVATE KEY", sec1), "", config.ES256, p256},
		"Ed25519":                {pkcs8(t, edKey), "", config.EdDSA, edKey},
	} {
		as := config.Assertion{Key: config.NewSecret(c.pem), Algorithm: c.asked}
		key, algorithm, err := as.SigningKey()
		require.NoError(t, err, name)
		require.Equal(t, c.want, algorithm, name)
		same, ok := c.key.(interface {
			Equal(other crypto.PrivateKey) bool
		})
		require.True(t, ok && same.Equal(key), name) // not its form in memory, which differs with a leading zero
	}
	for curve, want := range map[elliptic.Curve]string{elliptic.P384(): config.ES384, elliptic.P521(): config.ES512} {
		as := config.Assertion{Key: config.NewSecret(pkcs8(t, ecKey(t, curve)))}
		_, algorithm, err := as.SigningKey()
		require.NoError(t, err)
		require.Equal(t, want, algorithm)
	}
}

// TestKeysThatDoNotSign: what is wrong with a key is said when it is configured, and none of it.
func TestKeysThatDoNotSign(t *testing.T) {
	t.Parallel()
	p256 := ecKey(t, elliptic.P256())
	public, err := x509.MarshalPKIXPublicKey(p256.Public())
	require.NoError(t, err)
	agreement, err := ecdh.X25519().GenerateKey(rand.Reader)
	require.NoError(t, err)
	for name, c := range map[string]struct{ pem, algorithm, field, want string }{
		"no PEM":             {"hunter2", "", "key", "It is no PEM"},
		"a password":         {pemOf("ENCRYPTED PRIVATE KEY", []byte("hunter2")), "", "key", "It has a password"},
		"a password, PKCS 1": {string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("hunter2")})), "", "key", "It has a password"},
		"public":             {pemOf("PUBLIC KEY", public), "", "key", "It is public: write the private key"},
		"a certificate":      {pemOf("CERTIFICATE", public), "", "key", "It is public"},
		"of OpenSSH":         {pemOf("OPENSSH PRIVATE KEY", []byte("hunter2")), "", "key", "write it as PKCS #8"},
		"damaged":            {pemOf("PRIVATE KEY", []byte("hunter2")), "", "key", "It is damaged"},
		"of no signature":    {pkcs8(t, agreement), "", "key", "write a private key of RSA"},
		"too small":          {pkcs8(t, smallRSA(t)), "", "key", "It has 1024 bits: write an RSA key of at least 2048"},
		"a curve of none":    {pkcs8(t, ecKey(t, elliptic.P224())), "", "key", "its curve, P-224"},
		"of another curve":   {pkcs8(t, ecKey(t, elliptic.P384())), config.ES256, "algorithm", "The key signs with ES384"},
		"of another kind":    {pkcs8(t, p256), config.RS256, "algorithm", "The key signs with ES256"},
		"two forms":          {strings.ReplaceAll(pkcs8(t, p256), "PRIVATE KEY", "PRIVATE"), "", "key", "It is no private key of a known form"},
	} {
		e := config.Endpoint{
			ID: "bank", URL: "https://bank.example.com/in", Secrets: []config.Secret{config.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")},
			Auth: config.Auth{
				Kind: config.AuthOAuth2, TokenURL: "https://login.example.com/token", ClientID: "tailpost",
				Assertion: config.Assertion{Key: config.NewSecret(c.pem), Algorithm: c.algorithm},
			},
		}
		diags := config.ValidateEndpoint(&e, config.Network{}, nil)
		require.Len(t, diags, 1, "%s: %s", name, diags)
		require.Equal(t, "auth.oauth2.assertion."+c.field, diags[0].Field, name)
		require.Contains(t, diags[0].Detail, c.want, name)
		require.NotContains(t, diags[0].Error(), "hunter2", name)
	}
}
