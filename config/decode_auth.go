package config

import "slices"

// authBlocks are the ways to show who sends, of which an auth block has one.
func authBlocks() []string { return []string{"basic", "oauth2"} }

// auth decodes an auth block.
func (s *section) auth(to *Auth) {
	b := s.single("auth")
	if b == nil {
		return
	}
	inner := s.nested(b, "auth.", "an auth block")
	inner.check([]string{"bearer"}, authBlocks())
	*to = Auth{}
	var found []string
	if inner.body.Attributes["bearer"] != nil {
		found = append(found, "bearer")
		to.Kind, to.Secret = AuthBearer, inner.secret("bearer", isText)
	}
	if b := inner.single("basic"); b != nil {
		found = append(found, "basic")
		basic := inner.nested(b, "auth.basic.", "a basic block")
		basic.check([]string{"user", "password"}, nil)
		to.Kind, to.Secret = AuthBasic, basic.secret("password", isText)
		to.User, _ = basic.text("user")
	}
	if b := inner.single("oauth2"); b != nil {
		found = append(found, "oauth2")
		oauth := inner.nested(b, "auth.oauth2.", "an oauth2 block")
		oauth.check([]string{"token_url", "client_id", "client_secret", "scopes", "audience", "style"}, nil)
		to.Kind, to.Secret = AuthOAuth2, oauth.secret("client_secret", isText)
		to.TokenURL, _ = oauth.text("token_url")
		to.ClientID, _ = oauth.text("client_id")
		to.Audience, _ = oauth.text("audience")
		to.Style, _ = oauth.text("style")
		if scopes, ok := oauth.texts("scopes"); ok {
			to.Scopes = slices.Clone(scopes)
		}
	}
	if len(found) != 1 {
		s.wrong("auth", b.DefRange(), "One way to authenticate", "Write one of bearer = …, basic { … } and oauth2 { … }.")
	}
}

func isText(text string) bool { return text != "" }

// clientTLS decodes a tls block of an endpoint. Its values are PEM themselves: file("client.pem")
// reads them, and is read again when the file changes.
func (s *section) clientTLS(to *ClientTLS) {
	b := s.single("tls")
	if b == nil {
		return
	}
	inner := s.nested(b, "tls.", "a tls block")
	inner.check([]string{"cert", "key", "ca"}, nil)
	*to = ClientTLS{Key: inner.secret("key", isText)}
	to.Cert, _ = inner.text("cert")
	to.CA, _ = inner.text("ca")
}
