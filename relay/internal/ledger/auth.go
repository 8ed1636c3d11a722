package ledger

import "github.com/tailpost/tailpost/config"

// authJSON is how an endpoint shows who sends: in the policy without its secret, in what is sealed
// with it.
type authJSON struct {
	Kind     string   `json:"type"`
	User     string   `json:"user,omitempty"`
	Secret   string   `json:"secret,omitempty"`
	TokenURL string   `json:"token_url,omitempty"`
	ClientID string   `json:"client_id,omitempty"`
	Scopes   []string `json:"scopes,omitempty"`
	Audience string   `json:"audience,omitempty"`
	Style    string   `json:"style,omitempty"`
}

// openAuth is a's public part; nil: there is none.
func openAuth(a *config.Auth) *authJSON {
	if a.Kind == config.AuthNone {
		return nil
	}
	return &authJSON{
		Kind: string(a.Kind), User: a.User, TokenURL: config.ShownURL(a.TokenURL), ClientID: a.ClientID, Scopes: a.Scopes,
		Audience: a.Audience, Style: a.Style,
	}
}

// wholeAuth is all of a.
func wholeAuth(a *config.Auth) *authJSON {
	j := openAuth(a)
	if j != nil {
		j.Secret, j.TokenURL = a.Secret.Reveal(), a.TokenURL
	}
	return j
}

func (j *authJSON) decode() config.Auth {
	if j == nil {
		return config.Auth{}
	}
	return config.Auth{
		Kind: config.AuthKind(j.Kind), User: j.User, Secret: config.NewSecret(j.Secret), TokenURL: j.TokenURL, ClientID: j.ClientID,
		Scopes: j.Scopes, Audience: j.Audience, Style: j.Style,
	}
}

// tlsJSON holds the TLS settings of an endpoint's connections: in the policy without the key.
type tlsJSON struct {
	Cert string `json:"cert,omitempty"`
	Key  string `json:"key,omitempty"`
	CA   string `json:"ca,omitempty"`
}

func openTLS(t *config.ClientTLS) *tlsJSON {
	if t.IsZero() {
		return nil
	}
	return &tlsJSON{Cert: t.Cert, CA: t.CA}
}

func wholeTLS(t *config.ClientTLS) *tlsJSON {
	j := openTLS(t)
	if j != nil {
		j.Key = t.Key.Reveal()
	}
	return j
}

func (j *tlsJSON) decode() config.ClientTLS {
	if j == nil {
		return config.ClientTLS{}
	}
	return config.ClientTLS{Cert: j.Cert, Key: config.NewSecret(j.Key), CA: j.CA}
}
