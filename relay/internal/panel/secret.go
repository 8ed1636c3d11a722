package panel

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// secretPage shows a secret, this once.
type secretPage struct {
	Title, What   string
	Secret        string
	PublicKey     string
	Until         *time.Time // the old secret signs until then
	To            string     // where to go next, under Root
	EndpointID    string
	Header, Usage string
}

// shownFor is how old what a form made may be for its secret to be shown: a form that is sent
// again, by a double click or a connection that broke, gets the same answer, and one that is loaded
// again later does not get the secret.
const shownFor = 10 * time.Second

// isFresh reports whether something was made by the request that is being answered.
func isFresh(v *visit, at time.Time) bool { return v.panel.now().Sub(at) < shownFor }

// onceHeader is the header that makes sending a form again harmless. Parts tell the calls of one
// form apart.
func onceHeader(v *visit, parts ...string) http.Header {
	nonce := v.r.PostFormValue("nonce")
	if nonce == "" {
		return nil
	}
	return http.Header{"Idempotency-Key": {strings.Join(append([]string{"panel", nonce}, parts...), " ")}}
}

func rotateSecret(v *visit, e *api.Endpoint) error {
	var made api.RotatedSecret
	err := v.do(api.Request{
		Method: http.MethodPost, Path: pathOf("endpoints", e.ID, "rotate-secret"), Header: onceHeader(v),
		Body: map[string]string{"grace": v.r.PostFormValue("grace")},
	}, &made)
	if err != nil {
		return err
	}
	to := "endpoints/" + url.PathEscape(e.ID)
	if !isFresh(v, made.RotatedAt) {
		v.see(to, "rotated-before")
		return nil
	}
	v.show(http.StatusOK, "secret", "The new secret", "endpoints", &secretPage{
		Title: "The new secret of " + e.Name, Secret: made.Secret, PublicKey: made.PublicKey, Until: made.PreviousExpiresAt,
		To: to, EndpointID: e.ID, What: "The receiver verifies signatures with it.",
	})
	return nil
}
