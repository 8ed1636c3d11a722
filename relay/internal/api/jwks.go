package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"sync"
	"time"

	"github.com/tailpost/tailpost/config"
)

// PublicKey is an Ed25519 public key as a JSON Web Key (RFC 8037).
type PublicKey struct {
	KeyType   string `json:"kty" enum:"OKP"`
	Curve     string `json:"crv" enum:"Ed25519"`
	Use       string `json:"use" enum:"sig"`
	Algorithm string `json:"alg" enum:"EdDSA"`
	KeyID     string `json:"kid" doc:"Its thumbprint (RFC 7638)."`
	X         string `json:"x" doc:"The key itself, in base64url."`
}

// PublicKeys is a JSON Web Key Set.
type PublicKeys struct {
	Keys []PublicKey `json:"keys" nullable:"false"`
}

type publicKeysOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         PublicKeys
}

type publicKeysInput struct{}

// cachedKeys keeps the set for a while: anybody may ask for it, and it costs opening every pair's
// secret.
type cachedKeys struct {
	mu   sync.Mutex
	at   time.Time
	keys []PublicKey
}

const keysCachedFor = 10 * time.Second

func getPublicKeys(ctx context.Context, s *Server, _ *principal, _ *publicKeysInput) (*publicKeysOutput, error) {
	s.jwks.mu.Lock()
	defer s.jwks.mu.Unlock()
	now := s.now()
	if s.jwks.keys == nil || now.Sub(s.jwks.at) >= keysCachedFor || now.Before(s.jwks.at) {
		keys, err := readPublicKeys(ctx, s, now)
		if err != nil {
			return nil, err
		}
		s.jwks.keys, s.jwks.at = keys, now
	}
	return &publicKeysOutput{CacheControl: "public, max-age=60", Body: PublicKeys{Keys: s.jwks.keys}}, nil
}

func readPublicKeys(ctx context.Context, s *Server, now time.Time) ([]PublicKey, error) {
	keys := []PublicKey{}
	seen := make(map[string]bool)
	add := func(secrets []config.Secret) {
		for _, secret := range secrets {
			if k, ok := webKey(publicKey(secret)); ok && !seen[k.KeyID] {
				seen[k.KeyID] = true
				keys = append(keys, k)
			}
		}
	}
	current := s.config()
	for i := range current.Endpoints {
		add(current.Endpoints[i].Secrets)
	}
	rows, err := s.store.SigningEndpoints(ctx)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		sealed, err := unsealRow(s, &rows[i])
		if err != nil {
			// The others are still of use.
			s.log.Warn().Err(err).Str("endpoint", rows[i].ID).Msg("public key not shown")
			continue
		}
		add(live(sealed.Secrets, now))
	}
	return keys, nil
}

// webKey turns a public key (whpk_) into a JSON Web Key.
func webKey(public string) (PublicKey, bool) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(public, "whpk_"))
	if public == "" || err != nil {
		return PublicKey{}, false
	}
	x := base64.RawURLEncoding.EncodeToString(raw)
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + x + `"}`))
	return PublicKey{
		KeyType: "OKP", Curve: "Ed25519", Use: "sig", Algorithm: "EdDSA", X: x,
		KeyID: base64.RawURLEncoding.EncodeToString(sum[:]),
	}, true
}
