package config

// AuthKind is how requests show the receiver who sends them, beside the signature.
type AuthKind string

// The kinds of authentication.
const (
	AuthNone   AuthKind = ""
	AuthBasic  AuthKind = "basic"  // RFC 7617: a user and a password
	AuthBearer AuthKind = "bearer" // RFC 6750: a token that does not change
	AuthOAuth2 AuthKind = "oauth2" // RFC 6749: a token that is fetched with client credentials, or for an assertion
)

// The styles in which client credentials go to a token endpoint (RFC 6749, section 2.3.1).
const (
	OAuth2Header = "header" // as basic authentication; the default
	OAuth2Body   = "body"   // as client_id and client_secret in the form
)

// Auth is what goes into the Authorization header of requests.
type Auth struct {
	Kind   AuthKind
	Secret Secret // the password, the token, or the client's secret
	User   string // basic only

	// The rest is of oauth2 only.
	TokenURL string
	ClientID string
	Scopes   []string
	Audience string // a parameter that some authorization servers want; empty: none
	Style    string // OAuth2Header or OAuth2Body; empty with an assertion of use client, which takes the secret's place

	Assertion Assertion // zero: none
}

// ClientTLS is what an endpoint's connections have of their own. All three are PEM.
type ClientTLS struct {
	Cert string // the client's certificate, and its intermediates behind it; empty: none
	Key  Secret // of Cert
	CA   string // authorities that may sign the receiver's certificate, in place of the system's; empty: the system's
}

// IsZero reports whether connections are like those of every other endpoint.
func (t *ClientTLS) IsZero() bool { return t.Cert == "" && t.Key.IsZero() && t.CA == "" }
