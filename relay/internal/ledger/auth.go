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

	Assertion *assertionJSON `json:"assertion,omitempty"`
}

// assertionJSON is the assertion of an oauth2: in the policy without its key.
type assertionJSON struct {
	Use       string `json:"use"`
	Key       string `json:"key,omitempty"`
	KeyID     string `json:"key_id,omitempty"`
	Algorithm string `json:"algorithm,omitempty"`
	Issuer    string `json:"issuer,omitempty"`
	Subject   string `json:"subject,omitempty"`
	Audience  string `json:"audience,omitempty"`
}

// openAuth is a's public part; nil: there is none.
func openAuth(a *config.Auth) *authJSON {
	if a.Kind == config.AuthNone {
		return nil
	}
	j := &authJSON{
		Kind: string(a.Kind), User: a.User, TokenURL: config.ShownURL(a.TokenURL), ClientID: a.ClientID, Scopes: a.Scopes,
		Audience: a.Audience, Style: a.Style,
	}
	if as := &a.Assertion; !as.IsZero() {
		j.Assertion = &assertionJSON{
			Use: as.Use, KeyID: as.KeyID, Algorithm: as.Algorithm, Issuer: as.Issuer, Subject: as.Subject, Audience: as.Audience,
		}
	}
	return j
}

// wholeAuth is all of a.
func wholeAuth(a *config.Auth) *authJSON {
	j := openAuth(a)
	if j != nil {
		j.Secret, j.TokenURL = a.Secret.Reveal(), a.TokenURL
		if j.Assertion != nil {
			j.Assertion.Key = a.Assertion.Key.Reveal()
		}
	}
	return j
}

func (j *authJSON) decode() config.Auth {
	if j == nil {
		return config.Auth{}
	}
	a := config.Auth{
		Kind: config.AuthKind(j.Kind), User: j.User, Secret: config.NewSecret(j.Secret), TokenURL: j.TokenURL, ClientID: j.ClientID,
		Scopes: j.Scopes, Audience: j.Audience, Style: j.Style,
	}
	if as := j.Assertion; as != nil {
		a.Assertion = config.Assertion{
			Use: as.Use, Key: config.NewSecret(as.Key), KeyID: as.KeyID, Algorithm: as.Algorithm, Issuer: as.Issuer, Subject: as.Subject,
			Audience: as.Audience,
		}
	}
	return a
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
