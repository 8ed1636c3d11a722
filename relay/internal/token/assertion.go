package token

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"maps"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tailpost/tailpost/config"
)

const (
	// assertionLife is how long an assertion is good for. Some servers refuse more than three
	// minutes.
	assertionLife = 2 * time.Minute
	// assertionBack is how far back an assertion says that it was signed: a server whose clock is a
	// little behind refuses what comes from its future.
	assertionBack = 10 * time.Second
)

// What RFC 7523 calls an assertion, by use.
const (
	clientAssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	grantType           = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// signer signs the assertions of one endpoint.
type signer struct {
	key    crypto.Signer
	method jwt.SigningMethod
	keyID  string
	grant  bool // the assertion is the grant; otherwise it shows who the client is

	issuer, subject, audience, scope string
}

func newSigner(auth *config.Auth) (*signer, error) {
	as := &auth.Assertion
	key, algorithm, err := as.SigningKey()
	if err != nil {
		return nil, err
	}
	s := &signer{
		key: key, method: jwt.GetSigningMethod(algorithm), keyID: as.KeyID, grant: as.Use == config.AssertGrant,
		issuer: cmp.Or(as.Issuer, auth.ClientID), subject: auth.ClientID, audience: cmp.Or(as.Audience, auth.TokenURL),
	}
	if s.grant {
		s.subject, s.scope = cmp.Or(as.Subject, s.issuer), strings.Join(auth.Scopes, " ")
	}
	return s, nil
}

// params returns what a fetch at now sends: others, and a new assertion.
func (s *signer) params(others url.Values, now time.Time) (url.Values, error) {
	claims := jwt.MapClaims{
		"iss": s.issuer, "sub": s.subject, "aud": s.audience, "jti": rand.Text(),
		"iat": now.Add(-assertionBack).Unix(), "exp": now.Add(assertionLife).Unix(),
	}
	if s.scope != "" { // Google reads it here, and not in the form
		claims["scope"] = s.scope
	}
	assertion := jwt.NewWithClaims(s.method, claims)
	if s.keyID != "" {
		assertion.Header["kid"] = s.keyID
	}
	text, err := assertion.SignedString(s.key)
	if err != nil {
		return nil, err
	}
	params := url.Values{"client_assertion_type": {clientAssertionType}, "client_assertion": {text}}
	if s.grant {
		params = url.Values{"grant_type": {grantType}, "assertion": {text}}
	}
	maps.Copy(params, others)
	return params, nil
}
