package config

import (
	"crypto/subtle"
	"fmt"
	"io"

	"github.com/tailpost/tailpost/config/diag"
)

// redacted is what every printed form of a Secret shows.
const redacted = diag.Redacted

// Secret is a value that no printed form shows: neither fmt with any verb, nor JSON, nor text. Only
// Reveal returns it. The zero Secret is absent.
type Secret struct {
	// A pointer, because fmt shows the fields of unexported struct fields without calling their
	// methods.
	value *string
}

// NewSecret wraps value. An empty value makes the zero Secret.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{value: &value}
}

// Reveal returns the value itself.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether there is no value.
func (s Secret) IsZero() bool {
	return s.value == nil
}

// Equal reports whether both hold the same value, in a time that does not depend on the values.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String returns [redacted], or nothing for the zero Secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// GoString returns the form of String.
func (s Secret) GoString() string {
	return s.String()
}

// Format prints the form of String for every verb.
func (s Secret) Format(f fmt.State, _ rune) {
	// A fmt.State reports write errors to nobody.
	_, _ = io.WriteString(f, s.String())
}

// MarshalText returns the form of String.
func (s Secret) MarshalText() ([]byte, error) {
	return []byte(s.String()), nil
}

// MarshalJSON returns the form of String as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) {
	return []byte(`"` + s.String() + `"`), nil
}
