package api

import (
	"cmp"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tailpost/tailpost/config"
)

// EndpointAuth is how requests show the receiver who sends them, beside the signature.
type EndpointAuth struct {
	Type         string   `json:"type" enum:"basic,bearer,oauth2" doc:"basic: user and password. bearer: a token that does not change. oauth2: a token that is fetched with client credentials (RFC 6749, section 4.4), or for an assertion (RFC 7523)."`
	User         string   `json:"user,omitempty" maxLength:"1024" doc:"Of basic."`
	Password     string   `json:"password,omitempty" maxLength:"2048" doc:"Of basic. [redacted], or nothing, keeps the one that the endpoint has." writeOnly:"true"`
	Token        string   `json:"token,omitempty" maxLength:"2048" doc:"Of bearer. [redacted], or nothing, keeps the one that the endpoint has." writeOnly:"true"`
	TokenURL     string   `json:"token_url,omitempty" maxLength:"2048" doc:"Of oauth2: where the authorization server issues tokens." example:"https://login.example.com/oauth2/token"`
	ClientID     string   `json:"client_id,omitempty" maxLength:"1024" doc:"Of oauth2."`
	ClientSecret string   `json:"client_secret,omitempty" maxLength:"2048" doc:"Of oauth2. [redacted], or nothing, keeps the one that the endpoint has." writeOnly:"true"`
	Scopes       []string `json:"scopes,omitempty" maxItems:"50" doc:"Of oauth2."`
	Audience     string   `json:"audience,omitempty" maxLength:"2048" doc:"Of oauth2: a parameter that some authorization servers want."`
	Style        string   `json:"style,omitempty" enum:"header,body" doc:"Of oauth2: how the client's id and secret go to the authorization server. Default: header."`

	Assertion *EndpointAssertion `json:"assertion,omitempty" doc:"Of oauth2: a token of ours, signed anew for each fetch."`
}

// EndpointAssertion is the signed token by which an oauth2 gets its access tokens.
type EndpointAssertion struct {
	Use       string `json:"use,omitempty" enum:"client,grant" doc:"client: it shows who the client is, in place of the secret (private_key_jwt: RFC 7523, section 2.2). grant: it is what a token is given for (grant type jwt-bearer: RFC 7523, section 2.1). Default: client."`
	Key       string `json:"key,omitempty" maxLength:"65536" doc:"PEM of a private key without a password: RSA of at least 2048 bits, EC of P-256, P-384 or P-521, or Ed25519. [redacted], or nothing, keeps the one that the endpoint has." writeOnly:"true"`
	KeyID     string `json:"key_id,omitempty" maxLength:"2048" doc:"The header kid, by which the authorization server knows the key."`
	Algorithm string `json:"algorithm,omitempty" enum:"RS256,PS256,ES256,ES384,ES512,EdDSA" doc:"The header alg. Default: that of the key; of an RSA key RS256."`
	Issuer    string `json:"issuer,omitempty" maxLength:"2048" doc:"The claim iss. Default: client_id."`
	Subject   string `json:"subject,omitempty" maxLength:"2048" doc:"The claim sub. Default: the issuer; with use client always client_id."`
	Audience  string `json:"audience,omitempty" maxLength:"2048" doc:"The claim aud. Default: token_url."`
}

// TransformSchema names the uses for generators of clients: "client" would be a constant Client, as
// the type that oapi-codegen makes is.
func (EndpointAssertion) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Properties["use"].Extensions = map[string]any{"x-enum-varnames": []string{"AssertionClient", "AssertionGrant"}}
	return s
}

// EndpointTLS holds the TLS settings of an endpoint's connections.
type EndpointTLS struct {
	Cert string `json:"cert,omitempty" maxLength:"65536" doc:"PEM of the client's certificate and its intermediates."`
	Key  string `json:"key,omitempty" maxLength:"65536" doc:"PEM of its key. [redacted], or nothing, keeps the one that the endpoint has." writeOnly:"true"`
	CA   string `json:"ca,omitempty" maxLength:"65536" doc:"PEM of the authorities that may sign the receiver's certificate, in place of the system's."`
}

func showAuth(a *config.Auth) *EndpointAuth {
	if a.Kind == config.AuthNone {
		return nil
	}
	shown := &EndpointAuth{
		Type: string(a.Kind), User: a.User, TokenURL: config.ShownURL(a.TokenURL), ClientID: a.ClientID, Scopes: a.Scopes,
		Audience: a.Audience, Style: a.Style,
	}
	if as := &a.Assertion; !as.IsZero() {
		shown.Assertion = &EndpointAssertion{
			Use: as.Use, KeyID: as.KeyID, Algorithm: as.Algorithm, Issuer: as.Issuer, Subject: as.Subject, Audience: as.Audience,
		}
	}
	return shown
}

func showTLS(t *config.ClientTLS) *EndpointTLS {
	if t.IsZero() {
		return nil
	}
	return &EndpointTLS{Cert: t.Cert, CA: t.CA}
}

// auth puts in how requests show who sends them.
func (s *settler) auth(in *EndpointAuth) {
	if in == nil {
		return
	}
	a := config.Auth{
		Kind: config.AuthKind(in.Type), User: in.User, TokenURL: in.TokenURL, ClientID: in.ClientID, Scopes: in.Scopes,
		Audience: in.Audience, Style: in.Style,
	}
	may := s.sealed.Auth.Kind == a.Kind && sameTokenPlace(&s.sealed.Auth, &a)
	if as := in.Assertion; as != nil && a.Kind == config.AuthOAuth2 {
		a.Assertion = config.Assertion{
			Use: cmp.Or(as.Use, config.AssertClient), KeyID: as.KeyID, Algorithm: as.Algorithm, Issuer: as.Issuer, Subject: as.Subject, Audience: as.Audience,
			Key: s.keep("/auth/assertion/key", as.Key, s.sealed.Auth.Assertion.Key, may),
		}
	} else if as != nil {
		s.fail("/auth/assertion", "It does not belong to type "+in.Type+": leave it out.")
	}
	for _, secret := range []struct {
		of          config.AuthKind
		name, value string
	}{
		{config.AuthBasic, "password", in.Password}, {config.AuthBearer, "token", in.Token}, {config.AuthOAuth2, "client_secret", in.ClientSecret},
	} {
		switch {
		case secret.of != a.Kind && secret.value != "":
			s.fail("/auth/"+secret.name, "It does not belong to type "+in.Type+": leave it out.")
		case secret.of != a.Kind:
		case a.Assertion.Use == config.AssertClient: // it takes the place of a secret: the rules refuse one beside it
			a.Secret = config.NewSecret(secret.value)
		case a.Assertion.Use == config.AssertGrant && secret.value == "" && (!may || s.sealed.Auth.Secret.IsZero()): // it may do without
		default:
			a.Secret = s.keep("/auth/"+secret.name, secret.value, s.sealed.Auth.Secret, may)
		}
	}
	s.e.Auth = a
}

// sameTokenPlace reports whether a client's secret may go where a change wants it: an authorization
// server of another host does not inherit it.
func sameTokenPlace(was, is *config.Auth) bool {
	return is.Kind != config.AuthOAuth2 || config.SameReceiver(was.TokenURL, is.TokenURL)
}

func (s *settler) tls(in *EndpointTLS) {
	if in == nil {
		return
	}
	s.e.TLS = config.ClientTLS{Cert: in.Cert, CA: in.CA}
	if in.Cert != "" {
		s.e.TLS.Key = s.keep("/tls/key", in.Key, s.sealed.TLS.Key, s.sealed.TLS.Cert == in.Cert)
	} else if in.Key != "" {
		s.fail("/tls/key", "Give the certificate of the key too.")
	}
}

// keep returns a secret as it was given, or the one that the endpoint has where none is.
func (s *settler) keep(pointer, given string, has config.Secret, may bool) config.Secret {
	switch {
	case given != "" && given != kept:
		return config.NewSecret(given)
	case may && !has.IsZero():
		return has
	case s.moved || !has.IsZero():
		s.fail(pointer, "It goes to somebody else now: write it again.")
	default:
		s.fail(pointer, "Write it: the endpoint has none.")
	}
	return config.Secret{}
}
