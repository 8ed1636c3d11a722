package api

import (
	"github.com/tailpost/tailpost/config"
)

// EndpointAuth is how requests show the receiver who sends them, beside the signature.
type EndpointAuth struct {
	Type         string   `json:"type" enum:"basic,bearer,oauth2" doc:"basic: user and password. bearer: a token that does not change. oauth2: a token that is fetched with client credentials (RFC 6749, section 4.4)."`
	User         string   `json:"user,omitempty" maxLength:"1024" doc:"Of basic."`
	Password     string   `json:"password,omitempty" maxLength:"2048" doc:"Of basic. [redacted], or nothing, keeps the one that the endpoint has." writeOnly:"true"`
	Token        string   `json:"token,omitempty" maxLength:"2048" doc:"Of bearer. [redacted], or nothing, keeps the one that the endpoint has." writeOnly:"true"`
	TokenURL     string   `json:"token_url,omitempty" maxLength:"2048" doc:"Of oauth2: where the authorization server issues tokens." example:"https://login.example.com/oauth2/token"`
	ClientID     string   `json:"client_id,omitempty" maxLength:"1024" doc:"Of oauth2."`
	ClientSecret string   `json:"client_secret,omitempty" maxLength:"2048" doc:"Of oauth2. [redacted], or nothing, keeps the one that the endpoint has." writeOnly:"true"`
	Scopes       []string `json:"scopes,omitempty" maxItems:"50" doc:"Of oauth2."`
	Audience     string   `json:"audience,omitempty" maxLength:"2048" doc:"Of oauth2: a parameter that some authorization servers want."`
	Style        string   `json:"style,omitempty" enum:"header,body" doc:"Of oauth2: how the client's id and secret go to the authorization server. Default: header."`
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
	return &EndpointAuth{
		Type: string(a.Kind), User: a.User, TokenURL: config.ShownURL(a.TokenURL), ClientID: a.ClientID, Scopes: a.Scopes,
		Audience: a.Audience, Style: a.Style,
	}
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
	for _, secret := range []struct {
		of          config.AuthKind
		name, value string
	}{
		{config.AuthBasic, "password", in.Password}, {config.AuthBearer, "token", in.Token}, {config.AuthOAuth2, "client_secret", in.ClientSecret},
	} {
		switch {
		case secret.of != a.Kind && secret.value != "":
			s.fail("/auth/"+secret.name, "It does not belong to type "+in.Type+": leave it out.")
		case secret.of == a.Kind:
			a.Secret = s.keep("/auth/"+secret.name, secret.value, s.sealed.Auth.Secret, s.sealed.Auth.Kind == a.Kind && sameTokenPlace(&s.sealed.Auth, &a))
		}
	}
	s.e.Auth = a
}

// sameTokenPlace reports whether a client's secret may go where a change wants it: an authorization
// server of another host does not inherit it.
func sameTokenPlace(was, is *config.Auth) bool {
	return is.Kind != config.AuthOAuth2 || sameReceiver(was.TokenURL, is.TokenURL)
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
