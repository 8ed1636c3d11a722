package signature

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// The prefixes of secrets and keys, and the lengths that Standard Webhooks sets for a shared
// secret.
const (
	secretPrefix  = "whsec_"
	privatePrefix = "whsk_"
	publicPrefix  = "whpk_"

	minSecretBytes = 24
	maxSecretBytes = 64
	newSecretBytes = 32
)

// ErrInvalidSecret is wrapped by every error about a secret or key that cannot be used.
var ErrInvalidSecret = errors.New("invalid secret")

// key is a secret made ready: exactly one of its fields is set, private together with public.
type key struct {
	shared  []byte
	private ed25519.PrivateKey
	public  ed25519.PublicKey
}

// GenerateSecret makes a new shared secret: 32 random bytes as whsec_ and base64.
func GenerateSecret() string {
	b := make([]byte, newSecretBytes)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return secretPrefix + base64.StdEncoding.EncodeToString(b)
}

// GenerateKeyPair makes a new Ed25519 key pair: the private key (whsk_…, 64 bytes: seed and public
// key) signs, the public one (whpk_…, 32 bytes) is for receivers and no secret.
func GenerateKeyPair() (private, public string) {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails: crypto/rand ends the program instead
	k := ed25519.NewKeyFromSeed(seed)
	return privatePrefix + base64.StdEncoding.EncodeToString(k), encodePublic(k)
}

// PublicKey returns the public key (whpk_…) of a private one (whsk_…).
func PublicKey(private string) (string, error) {
	if !strings.HasPrefix(private, privatePrefix) {
		return "", fmt.Errorf("%w: want a private key, %s and base64", ErrInvalidSecret, privatePrefix)
	}
	k, err := parsePrivate(private)
	if err != nil {
		return "", err
	}
	return encodePublic(k.private), nil
}

func encodePublic(k ed25519.PrivateKey) string {
	return publicPrefix + base64.StdEncoding.EncodeToString(k[ed25519.SeedSize:])
}

func parseKeys(scheme Scheme, secrets []string) ([]key, error) {
	if err := scheme.check(); err != nil {
		return nil, err
	}
	if len(secrets) == 0 {
		return nil, fmt.Errorf("%w: none given", ErrInvalidSecret)
	}
	keys := make([]key, len(secrets))
	for i, s := range secrets {
		var err error
		if keys[i], err = parseKey(scheme, s); err != nil {
			return nil, fmt.Errorf("secret %d of %d: %w", i+1, len(secrets), err)
		}
	}
	return keys, nil
}

func parseKey(scheme Scheme, s string) (key, error) {
	asymmetric := strings.HasPrefix(s, privatePrefix) || strings.HasPrefix(s, publicPrefix)
	switch {
	case s == "":
		return key{}, fmt.Errorf("%w: empty", ErrInvalidSecret)
	case scheme != Standard && asymmetric:
		return key{}, fmt.Errorf("%w: an Ed25519 key works with the scheme %q only, %q needs a shared secret",
			ErrInvalidSecret, Standard, scheme)
	case scheme != Standard:
		// Both schemes use the secret's text, a whsec_ in front included: that is what their
		// receivers' libraries do.
		return key{shared: []byte(s)}, nil
	case strings.HasPrefix(s, privatePrefix):
		return parsePrivate(s)
	case strings.HasPrefix(s, publicPrefix):
		return parsePublic(s)
	}
	return parseShared(s)
}

func parseShared(s string) (key, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(strings.TrimPrefix(s, secretPrefix))
	if err != nil {
		return key{}, fmt.Errorf("%w: want %s and padded base64", ErrInvalidSecret, secretPrefix)
	}
	if len(b) < minSecretBytes || len(b) > maxSecretBytes {
		return key{}, fmt.Errorf("%w: %d bytes once decoded, want %d to %d",
			ErrInvalidSecret, len(b), minSecretBytes, maxSecretBytes)
	}
	return key{shared: b}, nil
}

// parsePrivate takes the seed alone too, because some tools write it so.
func parsePrivate(s string) (key, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(strings.TrimPrefix(s, privatePrefix))
	if err != nil || (len(b) != ed25519.SeedSize && len(b) != ed25519.PrivateKeySize) {
		return key{}, fmt.Errorf("%w: want %s and the padded base64 of %d or %d bytes",
			ErrInvalidSecret, privatePrefix, ed25519.PrivateKeySize, ed25519.SeedSize)
	}
	private := ed25519.NewKeyFromSeed(b[:ed25519.SeedSize])
	public := ed25519.PublicKey(private[ed25519.SeedSize:])
	if len(b) == ed25519.PrivateKeySize && !bytes.Equal(b[ed25519.SeedSize:], public) {
		return key{}, fmt.Errorf("%w: the two halves of the %s key do not belong together", ErrInvalidSecret, privatePrefix)
	}
	return key{private: private, public: public}, nil
}

func parsePublic(s string) (key, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(strings.TrimPrefix(s, publicPrefix))
	if err != nil || len(b) != ed25519.PublicKeySize {
		return key{}, fmt.Errorf("%w: want %s and the padded base64 of %d bytes",
			ErrInvalidSecret, publicPrefix, ed25519.PublicKeySize)
	}
	return key{public: b}, nil
}
