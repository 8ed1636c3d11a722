package config

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// What an assertion is used for.
const (
	AssertClient = "client" // it shows who the client is (RFC 7523, section 2.2); the default
	AssertGrant  = "grant"  // it is what a token is given for (RFC 7523, section 2.1)
)

// The algorithms that sign assertions, as RFC 7518 and RFC 8037 name them.
const (
	RS256 = "RS256"
	PS256 = "PS256"
	ES256 = "ES256"
	ES384 = "ES384"
	ES512 = "ES512"
	EdDSA = "EdDSA"
)

// minRSABits is the size of the smallest RSA key that may sign: RFC 7518, section 3.3.
const minRSABits = 2048

// Assertion is the signed token by which an oauth2 gets its access tokens (RFC 7523). A new one is
// signed for each fetch.
type Assertion struct {
	Use       string // AssertClient or AssertGrant; empty: there is no assertion
	Key       Secret // PEM of a private key
	KeyID     string // the header kid; empty: none
	Algorithm string // the header alg; empty: what suits the key, see SigningKey
	Issuer    string // the claim iss; empty: the client's id
	Subject   string // the claim sub; empty: the issuer
	Audience  string // the claim aud; empty: the token URL
}

// IsZero reports whether there is no assertion.
func (a *Assertion) IsZero() bool { return *a == Assertion{} }

// SigningKey returns the private key of an assertion, and the algorithm that signs with it. The
// errors say what is wrong and what to do, without a word of the key.
func (a *Assertion) SigningKey() (key crypto.Signer, algorithm string, err error) {
	if key, err = parsePrivateKey(a.Key.Reveal()); err != nil {
		return nil, "", err
	}
	may, err := algorithmsOf(key)
	if err != nil {
		return nil, "", err
	}
	if a.Algorithm == "" {
		return key, may[0], nil
	}
	for _, algorithm := range may {
		if algorithm == a.Algorithm {
			return key, algorithm, nil
		}
	}
	return nil, "", &algorithmError{may}
}

// algorithmError says that a key does not sign with the algorithm that was asked for.
type algorithmError struct{ may []string }

func (e *algorithmError) Error() string {
	return fmt.Sprintf("the key signs with %s: write that, leave algorithm out, or set another key", strings.Join(e.may, " or "))
}

// parsePrivateKey reads the first private key of a PEM text.
func parsePrivateKey(text string) (crypto.Signer, error) {
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New("it is no PEM: write that of a private key, as openssl genpkey makes it; file(\"…\") reads it")
		}
		var key any
		var err error
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, errors.New("it has a password: write the key without one, as openssl pkey -in tailpost.key does")
		case block.Type == "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case block.Type == "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case block.Type == "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case block.Type == "EC PARAMETERS": // openssl ecparam writes them before the key
			continue
		case strings.HasSuffix(block.Type, "PUBLIC KEY"), block.Type == "CERTIFICATE":
			return nil, errors.New("it is public: write the private key that belongs to it")
		default:
			return nil, errors.New("it is no private key of a known form: write it as PKCS #8 (BEGIN PRIVATE KEY), as openssl pkey -in tailpost.key does")
		}
		signer, ok := key.(crypto.Signer)
		if err != nil || !ok {
			return nil, errors.New("it is damaged, or of an unknown kind: write a private key of RSA, of the curves P-256, P-384 or P-521, or of Ed25519")
		}
		return signer, nil
	}
}

// algorithmsOf returns the algorithms that a key signs with, the usual one first.
func algorithmsOf(key crypto.Signer) ([]string, error) {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if bits := key.N.BitLen(); bits < minRSABits {
			return nil, fmt.Errorf("it has %d bits: write an RSA key of at least %d (RFC 7518)", bits, minRSABits)
		}
		return []string{RS256, PS256}, nil
	case *ecdsa.PrivateKey:
		switch key.Curve {
		case elliptic.P256():
			return []string{ES256}, nil
		case elliptic.P384():
			return []string{ES384}, nil
		case elliptic.P521():
			return []string{ES512}, nil
		}
		return nil, fmt.Errorf("no algorithm signs with its curve, %s: write a key of P-256, P-384 or P-521", key.Params().Name)
	case ed25519.PrivateKey:
		return []string{EdDSA}, nil
	}
	return nil, errors.New("it does not sign: write a private key of RSA, of the curves P-256, P-384 or P-521, or of Ed25519")
}
