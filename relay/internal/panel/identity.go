package panel

import (
	"maps"
	"strings"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// identity is how an endpoint's requests show the receiver who sends them, beside the signature, as
// a person writes it. No page shows what is secret of it: an empty secret stands for the one that
// the endpoint has.
type identity struct {
	AuthType, AuthUser, AuthSecret, TokenURL, ClientID, Scopes, Audience, AuthStyle,
	Cert, CertKey, CA,
	Headers string // a name and a value in each line; keptValue stands for the value that the endpoint has
	assertion
}

// fields are the parts of the form by the names of its inputs.
func (i *identity) fields() map[string]*string {
	fields := map[string]*string{
		"auth_type": &i.AuthType, "auth_user": &i.AuthUser, "auth_secret": &i.AuthSecret, "token_url": &i.TokenURL,
		"client_id": &i.ClientID, "scopes": &i.Scopes, "audience": &i.Audience, "auth_style": &i.AuthStyle,
		"tls_cert": &i.Cert, "tls_key": &i.CertKey, "tls_ca": &i.CA, "headers": &i.Headers,
	}
	maps.Copy(fields, i.assertion.fields())
	return fields
}

// inputOf is the input that the API means by a part of auth, tls or batch; empty: it means none of
// them.
func inputOf(part string) string {
	switch part {
	case "auth", "auth/type":
		return "auth_type"
	case "auth/user", "auth/style":
		return strings.Replace(part, "/", "_", 1)
	case "auth/password", "auth/token", "auth/client_secret":
		return "auth_secret"
	case "auth/token_url", "auth/client_id", "auth/scopes", "auth/audience":
		return strings.TrimPrefix(part, "auth/")
	case "auth/assertion":
		return "assertion_use"
	case "auth/assertion/use", "auth/assertion/key", "auth/assertion/key_id", "auth/assertion/algorithm", "auth/assertion/issuer", "auth/assertion/subject", "auth/assertion/audience":
		return strings.ReplaceAll(strings.TrimPrefix(part, "auth/"), "/", "_")
	case "tls", "tls/cert":
		return "tls_cert"
	case "batch":
		return "batch_events"
	case "tls/key", "tls/ca", "batch/events", "batch/wait", "batch/bytes", "batch/partial":
		return strings.Replace(part, "/", "_", 1)
	}
	if strings.HasPrefix(part, "auth/scopes/") {
		return "scopes"
	}
	return ""
}

// identityOf returns an endpoint's own headers and authorization, without secrets.
func identityOf(e *api.Endpoint) (i identity) {
	if a := e.Auth; a != nil {
		i.AuthType, i.AuthUser, i.ClientID, i.Scopes = a.Type, a.User, a.ClientID, strings.Join(a.Scopes, " ")
		i.Audience, i.AuthStyle = a.Audience, a.Style
		if !strings.Contains(a.TokenURL, "[redacted]") { // what is left out of it would be lost
			i.TokenURL = a.TokenURL
		}
		i.assertion = assertionOf(a.Assertion)
	}
	if t := e.TLS; t != nil {
		i.Cert, i.CA = t.Cert, t.CA
	}
	for _, name := range e.HeaderNames {
		i.Headers += name + ": " + keptValue + "\n"
	}
	return i
}

// put adds to a call of the API what differs from what the endpoint has, which is nil for a new
// one, or all where the URL leads to another receiver: the API says what of it has to be written
// again.
func (i *identity) put(s map[string]any, has *identity, moved bool) {
	was := identity{}
	if has != nil {
		was = *has
	}
	set := func(name string, value map[string]any, changed bool) {
		switch {
		case changed && value != nil:
			s[name] = value
		case changed && has != nil:
			s[name] = nil
		}
	}
	headers := pairs(i.Headers, ":")
	switch {
	case len(headers) > 0:
		s["headers"] = headers
	case was.Headers != "":
		s["headers"] = nil
	}
	set("auth", i.auth(), moved || i.AuthSecret != "" || !sameAuth(i, &was))
	set("tls", i.tls(&was), moved || i.CertKey != "" || !samePEM(i.Cert, was.Cert) || !samePEM(i.CA, was.CA))
}

// keptValue stands, as the value of a header, for the one that the endpoint has: the API's word.
const keptValue = "[redacted]"

// hideHeaders takes the values from the headers, which no page shows, and reports whether there
// were any.
func (i *identity) hideHeaders() (hidden bool) {
	var lines strings.Builder
	for line := range strings.Lines(i.Headers) {
		name, value, found := strings.Cut(strings.TrimSpace(line), ":")
		if end := strings.IndexAny(name, " \t="); !found && end >= 0 { // what follows may be a value
			name, hidden = name[:end], true
		}
		if value = strings.TrimSpace(value); value != "" {
			hidden = hidden || value != keptValue
			value = " " + keptValue
		}
		if lines.WriteString(name); found {
			lines.WriteString(":" + value)
		}
		lines.WriteByte('\n')
	}
	i.Headers = lines.String()
	return hidden
}

func sameAuth(a, b *identity) bool {
	return a.AuthType == b.AuthType && a.AuthUser == b.AuthUser && a.TokenURL == b.TokenURL && a.ClientID == b.ClientID &&
		strings.Join(words(a.Scopes), " ") == b.Scopes && a.Audience == b.Audience && a.AuthStyle == b.AuthStyle &&
		a.assertion == b.assertion
}

// samePEM compares texts that a browser may have given other ends of lines.
func samePEM(a, b string) bool {
	plain := func(text string) string { return strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n")) }
	return plain(a) == plain(b)
}

func (i *identity) auth() map[string]any {
	if i.AuthType == "" {
		return nil
	}
	a := map[string]any{"type": i.AuthType}
	put := func(name, value string) {
		if value != "" {
			a[name] = value
		}
	}
	switch i.AuthType {
	case "basic":
		put("user", i.AuthUser)
		put("password", i.AuthSecret)
	case "bearer":
		put("token", i.AuthSecret)
	case "oauth2":
		if i.AssertionUse != "client" { // then the form shows no place for them
			put("client_secret", i.AuthSecret)
			put("style", i.AuthStyle)
		}
		put("token_url", i.TokenURL)
		put("client_id", i.ClientID)
		put("audience", i.Audience)
		if scopes := words(i.Scopes); len(scopes) > 0 {
			a["scopes"] = scopes
		}
		if as := i.assertionSettings(); as != nil {
			a["assertion"] = as
		}
	}
	return a
}

// tls keeps the certificate to the letter where it is the one that the endpoint has: the key that
// belongs to it is kept only then.
func (i *identity) tls(was *identity) map[string]any {
	t := make(map[string]any)
	for name, text := range map[string]string{"cert": i.Cert, "key": i.CertKey, "ca": i.CA} {
		if text != "" {
			t[name] = text
		}
	}
	if i.Cert != "" && samePEM(i.Cert, was.Cert) {
		t["cert"] = was.Cert
	}
	if len(t) == 0 {
		return nil
	}
	return t
}
