package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"

	"github.com/tailpost/tailpost/config/receiver"
)

// The bounds of what shows a receiver who sends.
const (
	maxScopes = 50
	maxPEM    = 64 << 10
	maxClaim  = 2048
)

// auth checks how an endpoint's requests show who sends them.
func (c *checker) auth(e *Endpoint) {
	a := &e.Auth
	switch a.Kind {
	case AuthNone:
		return
	case AuthBasic:
		c.basic(a)
	case AuthBearer:
		c.credential("auth.bearer", a.Secret)
	case AuthOAuth2:
		c.oauth2(a)
	default:
		c.fail("auth", "Unknown authentication", "Write basic, bearer or oauth2.")
		return
	}
	for name := range e.Headers {
		if strings.EqualFold(name, "authorization") {
			c.fail("headers."+name, "Two authorizations", "The auth block sets this header. Remove one of the two.")
		}
	}
}

func (c *checker) basic(a *Auth) {
	switch {
	case a.User == "":
		c.fail("auth.basic.user", "Missing user", "Set it to the name that the receiver knows.")
	case strings.Contains(a.User, ":") || !receiver.ValidValue(a.User):
		c.fail("auth.basic.user", "Invalid user", "Write one line without a colon: that ends the name (RFC 7617).")
	case len(a.User) > receiver.MaxHeaderValue/4:
		c.fail("auth.basic.user", "Invalid user", "Write at most %d bytes.", receiver.MaxHeaderValue/4)
	}
	c.credential("auth.basic.password", a.Secret)
}

// credential checks a secret that goes to a receiver as it is.
func (c *checker) credential(name string, s Secret) {
	switch {
	case s.IsZero():
		c.fail(name, "Missing secret", "Set it, for example to env(\"ERP_TOKEN\").")
	case !receiver.ValidValue(s.Reveal()), len(s.Reveal()) > receiver.MaxHeaderValue/2:
		c.fail(name, "Invalid secret", "Write one line of at most %d bytes without white space around it.", receiver.MaxHeaderValue/2)
	}
}

func (c *checker) oauth2(a *Auth) {
	u, place, err := receiver.Parse(a.TokenURL)
	switch {
	case a.TokenURL == "":
		c.fail("auth.oauth2.token_url", "Missing URL", "Set it to where the authorization server issues tokens, such as https://login.example.com/oauth2/token.")
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		c.fail("auth.oauth2.token_url", "Invalid URL", "Write an absolute URL without user and fragment, such as https://login.example.com/oauth2/token.")
	case !place.Secure && !c.config.Network.AllowHTTP:
		c.fail("auth.oauth2.token_url", "Plain http URL", "Use https: what shows who the client is goes there.")
	case !place.Secure && !c.config.Network.Proxy.IsZero():
		c.fail("auth.oauth2.token_url", "Plain http URL", "Use https: plain http does not go through the egress proxy.")
	case place.Addr.IsValid():
		c.address("auth.oauth2.token_url", place.Addr)
	}
	c.client(a)
	if len(a.Scopes) > maxScopes {
		c.fail("auth.oauth2.scopes", "Too many scopes", "Write at most %d.", maxScopes)
	}
	for _, scope := range a.Scopes {
		if scope == "" || strings.ContainsAny(scope, " \t\r\n\"\\") {
			c.fail("auth.oauth2.scopes", "Invalid scope", "Write each scope as an element of its own, without blanks and quotes (RFC 6749).")
			break
		}
	}
}

// client checks how an authorization server knows whom it issues a token to.
func (c *checker) client(a *Auth) {
	as := &a.Assertion
	switch as.Use {
	case AssertClient:
		if !a.Secret.IsZero() {
			c.fail("auth.oauth2.client_secret", "Two credentials", "The assertion shows who the client is. Remove one of the two.")
		}
		if a.Style != "" {
			c.fail("auth.oauth2.style", "Unused style", "Leave it out: the assertion goes in the form, and there is no secret.")
		}
		if as.Subject != "" && as.Subject != a.ClientID {
			c.fail("auth.oauth2.assertion.subject", "Another subject", "Leave it out: of an assertion that shows who the client is it is the client's id (RFC 7523, section 3).")
		}
	case AssertGrant:
		if !a.Secret.IsZero() {
			c.credential("auth.oauth2.client_secret", a.Secret)
		}
		oneOf(c, "auth.oauth2.style", a.Style, OAuth2Header, OAuth2Body)
		if a.ClientID == "" && as.Issuer == "" {
			c.fail("auth.oauth2.assertion.issuer", "Missing issuer", "Set it to the name that the authorization server knows the key by, or set client_id to it.")
		}
	default:
		c.credential("auth.oauth2.client_secret", a.Secret)
		oneOf(c, "auth.oauth2.style", a.Style, OAuth2Header, OAuth2Body)
	}
	if a.ClientID == "" && (as.Use != AssertGrant || !a.Secret.IsZero()) {
		c.fail("auth.oauth2.client_id", "Missing client", "Set it to the id that the authorization server gave.")
	}
	if !as.IsZero() {
		c.assertion(as)
	}
}

// assertion checks what signs an assertion, and what it says.
func (c *checker) assertion(as *Assertion) {
	const at = "auth.oauth2.assertion."
	oneOf(c, at+"use", as.Use, AssertClient, AssertGrant)
	algorithms := []string{RS256, PS256, ES256, ES384, ES512, EdDSA}
	if as.Algorithm != "" {
		oneOf(c, at+"algorithm", as.Algorithm, algorithms...)
	}
	switch {
	case as.Key.IsZero():
		c.fail(at+"key", "Missing key", "Set it to PEM of a private key: key = file(\"tailpost.key\").")
	case len(as.Key.Reveal()) > maxPEM:
		c.fail(at+"key", "Too much PEM", "Write at most %d bytes.", maxPEM)
	default:
		_, _, err := as.SigningKey()
		if _, other := errors.AsType[*algorithmError](err); other {
			if slices.Contains(algorithms, as.Algorithm) {
				c.fail(at+"algorithm", "Another algorithm", "%s.", sentence(err.Error()))
			}
		} else if err != nil {
			c.fail(at+"key", "Invalid key", "%s.", sentence(err.Error()))
		}
	}
	for name, text := range map[string]string{"key_id": as.KeyID, "issuer": as.Issuer, "subject": as.Subject, "audience": as.Audience} {
		if len(text) > maxClaim || !receiver.ValidValue(text) {
			c.fail(at+name, "Invalid "+name, "Write one line of at most %d bytes without white space around it.", maxClaim)
		}
	}
}

// clientTLS checks what an endpoint's connections have of their own.
func (c *checker) clientTLS(t *ClientTLS) {
	if len(t.Cert)+len(t.Key.Reveal())+len(t.CA) > maxPEM {
		c.fail("tls", "Too much PEM", "Write at most %d bytes in all.", maxPEM)
		return
	}
	switch {
	case t.Cert == "" && t.Key.IsZero():
	case t.Cert == "":
		c.fail("tls.cert", "Missing certificate", "Set it to the certificate of the key: cert = file(\"client.pem\").")
	case t.Key.IsZero():
		c.fail("tls.key", "Missing key", "Set it to the key of the certificate: key = file(\"client.key\").")
	default:
		if _, err := tls.X509KeyPair([]byte(t.Cert), []byte(t.Key.Reveal())); err != nil {
			c.fail("tls.cert", "Invalid certificate", "Write PEM of a certificate, its intermediates behind it, and of its own key without a password; file(\"…\") reads it.")
		}
	}
	if t.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(t.CA)) {
		c.fail("tls.ca", "Invalid authorities", "Write PEM of one certificate or more; file(\"…\") reads it.")
	}
}
