package config

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Secrets says how the signing secrets and header values of endpoints that are made through the API
// are kept in the database: sealed under the first key, and opened with any.
type Secrets struct {
	Keys []Secret // each 32 bytes, see SealKey; none: no endpoint can be made through the API
}

// sealKeySize is the size of a key of XChaCha20-Poly1305.
const sealKeySize = 32

// SealKey reads a sealing key: 32 bytes as base64, standard or for URLs, with or without padding,
// or as hexadecimal digits.
func SealKey(key Secret) ([]byte, bool) {
	text := strings.TrimSpace(key.Reveal())
	if raw, err := hex.DecodeString(text); err == nil && len(raw) == sealKeySize {
		return raw, true
	}
	plain := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	raw, err := base64.RawStdEncoding.DecodeString(plain)
	return raw, err == nil && len(raw) == sealKeySize
}

func decodeSealing(d *decoder, s *section) {
	s.check([]string{"keys"}, nil)
	d.config.Secrets.Keys = s.secrets("keys")
}

func checkSealing(c *checker) {
	keys := c.config.Secrets.Keys
	for i, key := range keys {
		name := fmt.Sprintf("secrets.keys[%d]", i)
		_, ok := SealKey(key)
		switch {
		case key.IsZero():
			c.fail(name, "Empty key", "Set it to 32 random bytes as base64; `openssl rand -base64 32` makes one.")
		case !ok:
			c.fail(name, "Invalid key", "Write 32 random bytes as base64 or as 64 hexadecimal digits; `openssl rand -base64 32` makes one.")
		case slices.ContainsFunc(keys[:i], key.Equal):
			c.fail(name, "Repeated key", "Remove one of the two.")
		}
	}
}

// ValidateEndpoint fills in the defaults of what is zero in e, an endpoint that was made through
// the API, and checks every rule, as Config.Complete does for the endpoints of a configuration; n
// is what it may reach, versions are those that it may pin. The fields of its diagnostics are the
// names of an endpoint block's settings: url, retry.schedule[2], subscription[0].events[1].
func ValidateEndpoint(e *Endpoint, n Network, versions Versions) Diagnostics {
	var diags Diagnostics
	completeEndpoint(e, versions, DefaultSchedule())
	check := checker{config: &Config{Network: n, Versions: versions, Endpoints: []Endpoint{*e}}, tenant: true, report: func(p problem) {
		diags = append(diags, Diagnostic{
			Severity: SeverityError, Field: p.field.name, Summary: p.summary, Detail: p.detail,
		})
	}}
	check.one(e, make(map[string]int, 1))
	return diags
}
