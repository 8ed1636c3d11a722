package panel

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/config/diag"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/api"
)

// signing is how a shell signs $body, which is sent at $now, with $SECRET.
type signing struct {
	command     string // sets signature
	header      string // of the request, in double quotes
	contentType string
	secret      string // what a person sets SECRET to
}

// signingOf returns how requests to an endpoint are signed; false: a shell has no command for it.
func signingOf(e *api.Endpoint) (s signing, ok bool) {
	s.contentType = "application/json"
	switch e.Signature {
	case "stripe":
		s.command = `signature=$(printf %s "$now.$body" | openssl dgst -sha256 -mac HMAC -macopt "key:$SECRET" -r | cut -d' ' -f1)`
		s.header = "Stripe-Signature: t=$now,v1=$signature"
		s.contentType, s.secret = "application/json; charset=utf-8", "as the receiver has it"
	case "github":
		s.command = `signature=$(printf %s "$body" | openssl dgst -sha256 -mac HMAC -macopt "key:$SECRET" -r | cut -d' ' -f1)`
		s.header, s.secret = "X-Hub-Signature-256: sha256=$signature", "as the receiver has it"
	default:
		s.command = `key=$(printf %s "${SECRET#whsec_}" | base64 -d | od -An -vtx1 | tr -d ' \n')
signature=$(printf %s "$id.$now.$body" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64)`
		s.header, s.secret = "webhook-signature: v1,$signature", "whsec_…"
	}
	return s, !strings.HasPrefix(e.SecretPrefix, "whsk_")
}

// bodyOf returns the body of an attempt, and whether it is what was sent.
func bodyOf(body *attemptPage, ev *api.Event, payload string) (sent string, exact bool) {
	e := body.Endpoint
	for i := range e.Subscriptions {
		if e.Subscriptions[i].Body != "" {
			return payload, false
		}
	}
	switch e.Format {
	case "raw":
		return payload, true
	case "standard":
		created := body.AttemptedAt
		if ev.CreatedAt != nil {
			created = *ev.CreatedAt
		}
		id, _ := json.Marshal(body.EventID)     // a string always can be
		name, _ := json.Marshal(body.EventType) // the same
		return `{"id":` + string(id) + `,"type":` + string(name) + `,"timestamp":"` + created.UTC().Format(time.RFC3339Nano) + `","data":` + payload + `}`, true
	}
	return payload, false
}

// inVersion is a payload as the endpoint of an attempt gets it now.
func inVersion(versions config.Versions, body *attemptPage, payload string) string {
	pin := config.Endpoint{Version: body.Endpoint.PayloadVersion}
	versions.Pin(&pin, "")
	ev, err := pin.Steps().Event(&outbox.Event{ID: body.EventID, Type: body.EventType, Payload: []byte(payload)})
	if err != nil {
		return payload // such an event is not sent
	}
	return string(ev.Payload)
}

// hidden stands in a URL for what no page shows of it: a word that every shell and curl take.
const hidden = "REDACTED"

// addressOfAttempt is the URL that an attempt was sent to, whole where it is still the endpoint's,
// whose page shows it; and whether it is whole.
func addressOfAttempt(body *attemptPage) (url string, whole bool) {
	if config.ShownURL(body.Endpoint.URL) == body.URL && !strings.Contains(body.Endpoint.URL, diag.Redacted) {
		return body.Endpoint.URL, true
	}
	return strings.ReplaceAll(body.URL, diag.Redacted, hidden), !strings.Contains(body.URL, diag.Redacted)
}

// repeat is the request as a command that signs anew. The secret stays where the command runs.
func repeat(body *attemptPage, ev *api.Event, payload string) []copied {
	e := body.Endpoint
	s, signs := signingOf(e)
	sent, exact := bodyOf(body, ev, payload)
	hint := "Set SECRET to the endpoint's signing secret (" + s.secret + "). It needs curl, openssl, base64 and od, and signs with the time at which it runs."
	if !signs {
		hint += " This endpoint signs with a key pair, for which a shell has no command: the receiver will refuse the signature."
	}
	if !exact {
		hint += " This endpoint's format or body is another one: the body here is the payload, and not what was sent."
	}
	id := body.EventID
	if body.RequestID != "" {
		id, sent = body.RequestID, "["+sent+"]"
		hint += " The request may have had other events: here it has this one."
	}
	if e.Gzip {
		hint += " This endpoint's large bodies are compressed: here they are not."
	}
	if e.Auth != nil {
		hint += " The receiver wants to be shown who sends, too: add the Authorization header."
	}
	address, whole := addressOfAttempt(body)
	if !whole {
		hint += " Put what is secret of the URL in the place of " + hidden + ": it is not on record."
	}
	options := " -g"                 // brackets and braces of the URL are no patterns
	if e.Method != http.MethodPost { // which is what a body makes of a request
		options += " -X " + e.Method
	}
	if e.HTTP != "" {
		options += " --http" + e.HTTP
	}
	version := ""
	if e.PayloadVersion != "" && config.Versioned(body.EventType) {
		version = ` -H 'webhook-version: ` + e.PayloadVersion + `'`
	}
	script := "id=" + quoteShell(id) + "\nnow=$(date +%s)\nbody=" + quoteShell(sent) + "\n" + s.command + `
curl -sS -i` + options + ` ` + quoteShell(address) + ` \
  -H 'Content-Type: ` + s.contentType + `' -H "webhook-id: $id" -H "webhook-timestamp: $now"` + version + ` \
  -H "` + s.header + `" --data-binary "$body"`
	return []copied{{ID: "copy-request", Name: "The request as curl, with a fresh signature", Text: script, Hint: hint}}
}
