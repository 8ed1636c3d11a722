package seal

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/tailpost/tailpost/config"
)

var (
	// ErrNoKey says that a Keyring has no key to seal with.
	ErrNoKey = errors.New("no sealing key is configured: set keys in the secrets block")
	// ErrDamaged says that what was to be opened is not what was sealed, or was sealed for another
	// context.
	ErrDamaged = errors.New("damaged, or sealed for another endpoint")
)

// UnknownKeyError says that something was sealed under a key that the Keyring does not have.
type UnknownKeyError struct {
	ID string // of the key, the first bytes of its hash, in hexadecimal digits
}

func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("sealed under key %s, which is not configured: add it to keys in the secrets block", e.ID)
}

const (
	form       = 1
	idSize     = 4
	headerSize = 1 + idSize + chacha20poly1305.NonceSizeX
)

// Keyring seals under its first key and opens with all of them. It is immutable and safe for
// concurrent use. The zero Keyring has no keys.
type Keyring struct {
	keys []key
}

type key struct {
	id   [idSize]byte
	aead cipher.AEAD
}

// New makes a Keyring of a complete configuration's keys.
func New(secrets config.Secrets) (*Keyring, error) {
	k := &Keyring{keys: make([]key, 0, len(secrets.Keys))}
	for i, secret := range secrets.Keys {
		raw, ok := config.SealKey(secret)
		if !ok {
			return nil, fmt.Errorf("sealing key %d: want 32 bytes as base64 or hexadecimal digits", i+1)
		}
		aead, err := chacha20poly1305.NewX(raw)
		if err != nil {
			return nil, fmt.Errorf("sealing key %d: %w", i+1, err)
		}
		made := key{aead: aead}
		// One cannot tell a key from a part of its hash, and nobody else hashes with this prefix.
		sum := sha256.Sum256(append([]byte("tailpost sealing key\x00"), raw...))
		copy(made.id[:], sum[:])
		k.keys = append(k.keys, made)
	}
	return k, nil
}

// Empty reports whether there are no keys.
func (k *Keyring) Empty() bool { return len(k.keys) == 0 }

// Seal encrypts plaintext for a context, for example an endpoint's id, under the first key.
func (k *Keyring) Seal(plaintext, context []byte) ([]byte, error) {
	if k.Empty() {
		return nil, ErrNoKey
	}
	first := &k.keys[0]
	sealed := make([]byte, headerSize, headerSize+len(plaintext)+chacha20poly1305.Overhead)
	sealed[0] = form
	copy(sealed[1:], first.id[:])
	nonce := sealed[1+idSize:]
	// It never fails: the process ends instead.
	_, _ = rand.Read(nonce)
	return first.aead.Seal(sealed, nonce, plaintext, additional(sealed, context)), nil
}

// Open decrypts what Seal gave for the same context. Its errors are UnknownKeyError and ErrDamaged.
func (k *Keyring) Open(sealed, context []byte) ([]byte, error) {
	if len(sealed) < headerSize+chacha20poly1305.Overhead || sealed[0] != form {
		return nil, ErrDamaged
	}
	id := sealed[1 : 1+idSize]
	known := false
	for i := range k.keys {
		if !bytes.Equal(k.keys[i].id[:], id) {
			continue
		}
		known = true
		plaintext, err := k.keys[i].aead.Open(nil, sealed[1+idSize:headerSize], sealed[headerSize:], additional(sealed, context))
		if err == nil {
			return plaintext, nil
		}
	}
	if !known {
		return nil, &UnknownKeyError{ID: hex.EncodeToString(id)}
	}
	return nil, ErrDamaged
}

// Current reports whether something is sealed under the first key, so that sealing it again would
// change nothing.
func (k *Keyring) Current(sealed []byte) bool {
	return !k.Empty() && len(sealed) >= headerSize && sealed[0] == form && bytes.Equal(sealed[1:1+idSize], k.keys[0].id[:])
}

// additional returns the data that is authenticated beside the ciphertext: the form and the key's
// id, then the context.
func additional(sealed, context []byte) []byte {
	return append(append(make([]byte, 0, 1+idSize+len(context)), sealed[:1+idSize]...), context...)
}
