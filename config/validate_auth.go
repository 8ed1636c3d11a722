package config

import (
	"crypto/tls"
	"crypto/x509"
	"strings"

	"github.com/tailpost/tailpost/config/receiver"
)

// The bounds of what shows a receiver who sends.
const (
	maxScopes = 50
	maxPEM    = 64 << 10
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
		c.fail("auth.oauth2.token_url", "Plain http URL", "Use https: the client's secret goes there.")
	case !place.Secure && !c.config.Network.Proxy.IsZero():
		c.fail("auth.oauth2.token_url", "Plain http URL", "Use https: plain http does not go through the egress proxy.")
	case place.Addr.IsValid():
		c.address("auth.oauth2.token_url", place.Addr)
	}
	if a.ClientID == "" {
		c.fail("auth.oauth2.client_id", "Missing client", "Set it to the id that the authorization server gave.")
	}
	c.credential("auth.oauth2.client_secret", a.Secret)
	oneOf(c, "auth.oauth2.style", a.Style, OAuth2Header, OAuth2Body)
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
