package panel

import "github.com/tailpost/tailpost/relay/internal/api"

// assertion is the signed token by which an oauth2 gets its access tokens, as a person writes it.
// Without a use there is none. No page shows the key: an empty one stands for the one that the
// endpoint has.
type assertion struct {
	AssertionUse, AssertionKey, AssertionKeyID, AssertionAlgorithm, AssertionIssuer, AssertionSubject, AssertionAudience string
}

// fields are the parts of the form by the names of its inputs.
func (a *assertion) fields() map[string]*string {
	return map[string]*string{
		"assertion_use": &a.AssertionUse, "assertion_key": &a.AssertionKey, "assertion_key_id": &a.AssertionKeyID,
		"assertion_algorithm": &a.AssertionAlgorithm, "assertion_issuer": &a.AssertionIssuer, "assertion_subject": &a.AssertionSubject,
		"assertion_audience": &a.AssertionAudience,
	}
}

// assertionSettings is the form as the API has it; nil: there is no assertion.
func (a *assertion) assertionSettings() map[string]any {
	if a.AssertionUse == "" {
		return nil
	}
	s := make(map[string]any)
	for name, text := range map[string]string{
		"use": a.AssertionUse, "key": a.AssertionKey, "key_id": a.AssertionKeyID, "algorithm": a.AssertionAlgorithm,
		"issuer": a.AssertionIssuer, "subject": a.AssertionSubject, "audience": a.AssertionAudience,
	} {
		if text != "" {
			s[name] = text
		}
	}
	return s
}

func assertionOf(a *api.EndpointAssertion) assertion {
	if a == nil {
		return assertion{}
	}
	return assertion{
		AssertionUse: a.Use, AssertionKeyID: a.KeyID, AssertionAlgorithm: a.Algorithm, AssertionIssuer: a.Issuer, AssertionSubject: a.Subject,
		AssertionAudience: a.Audience,
	}
}
