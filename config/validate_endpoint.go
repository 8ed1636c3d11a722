package config

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tailpost/tailpost/config/receiver"
	"github.com/tailpost/tailpost/relay/signature"
)

// The bounds of an endpoint's policy.
const (
	maxLabel       = 64
	maxSlot        = 54 // SLOT_endpoint is a name of at most 63
	maxConcurrency = 10_000
	maxRedirects   = 2
	maxSchedule    = 100
	maxRetryDelay  = 30 * 24 * time.Hour
	maxTimeout     = 10 * time.Minute
	maxParkAfter   = time.Hour
	maxStatuses    = 50
)

// checkVerify checks how an endpoint is to show that it wants events.
func checkVerify(c *checker, e *Endpoint) {
	if e.Verify == "" {
		return
	}
	oneOf(c, "verify", e.Verify, VerifyEcho, VerifyCloudEvents)
	if e.Verify == VerifyEcho && !e.Echoes() {
		c.fail("verify", "Challenge for people", "A message in format %q holds no challenge to answer with: leave verify out (\"none\" against the defaults), or use another format.", e.Format)
	}
}

// one checks an endpoint. First holds the index of each ID seen.
func (c *checker) one(e *Endpoint, first map[string]int) {
	if !validLabel(e.ID) {
		c.fail("", "Invalid endpoint name", "Write 1 to %d letters, digits, underscores and hyphens.", maxLabel)
	}
	if before, twice := first[e.ID]; twice {
		c.fail("", "Repeated endpoint", "Endpoint %q is declared%s already. Rename one of the two.", e.ID, c.config.Endpoints[before].Origin.at())
	} else {
		first[e.ID] = c.endpoint
	}
	c.addressed = nil
	c.url(e)
	oneOf(c, "signature", e.Signature, SignatureStandard, SignatureStripe, SignatureGitHub)
	oneOf(c, "format", e.Format, FormatStandard, FormatRaw, FormatCloudEvents, FormatCloudEventsBinary, FormatForm, FormatSlack, FormatTeams)
	oneOf(c, "ordering", e.Ordering, OrderingNone, OrderingKey, OrderingStrict)
	oneOf(c, "on_dead", e.OnDead, OnDeadSkip, OnDeadHold)
	checkVerify(c, e)
	oneOf(c, "answer", e.Answer, AnswerStatus, AnswerComplete)
	oneOf(c, "method", e.Method, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete)
	c.protocol(e)
	checkPin(c, e)
	c.answers(&e.Retry)
	if e.OnDead == OnDeadHold && e.Ordering == OrderingNone {
		c.fail("on_dead", "Nothing to hold", "Without an order no delivery waits for another. Set ordering = \"key\" or \"strict\", or leave on_dead out.")
	}
	c.secrets(e)
	c.headers(e)
	c.auth(e)
	c.clientTLS(&e.TLS)
	c.within("timeout", e.Timeout, time.Millisecond, maxTimeout)
	c.within("park_after", e.ParkAfter, time.Millisecond, maxParkAfter)
	if e.Concurrency < 1 || e.Concurrency > maxConcurrency {
		c.fail("concurrency", "Number out of range", "Write a number from 1 to %d.", maxConcurrency)
	}
	if e.Redirects < 0 || e.Redirects > maxRedirects {
		c.fail("redirects", "Number out of range", "Write a number from 0 to %d.", maxRedirects)
	}
	if e.Rate < 0 || e.Rate > 1e6 {
		c.fail("rate", "Rate out of range", "Write a rate up to 1000000/s.")
	}
	c.schedule(e.Retry.Schedule)
	if e.Circuit.Failures < 0 || e.Circuit.Failures > 1_000_000 {
		c.fail("circuit.failures", "Number out of range", "Write a number from 1 to 1000000, or leave the circuit block out.")
	}
	if e.Circuit.Failures > 0 {
		c.within("circuit.reopen", e.Circuit.Reopen, time.Millisecond, 24*time.Hour)
	}
	checkBatch(c, e)
	if e.DisableAfter != 0 {
		c.within("disable_after", e.DisableAfter, time.Second, 365*24*time.Hour)
	}
	for i := range e.Subscriptions {
		c.events(i, e.Subscriptions[i].Events)
	}
	if e.Format == FormatSlack || e.Format == FormatTeams {
		c.people(e)
	}
}

// schedule checks when a failed delivery is attempted again.
func (c *checker) schedule(delays []time.Duration) {
	if len(delays) > maxSchedule {
		c.fail("retry.schedule", "Too many retries", "Write at most %d delays.", maxSchedule)
	}
	for i, delay := range delays {
		if delay < time.Millisecond || delay > maxRetryDelay { // the name is costly, and there are many
			c.within(fmt.Sprintf("retry.schedule[%d]", i), delay, time.Millisecond, maxRetryDelay)
		}
	}
}

// people checks that an endpoint whose messages are for people gets Tailpost's own events alone: of
// an application's event they would say nothing.
func (c *checker) people(e *Endpoint) {
	const operational = "webhook."
	detail := fmt.Sprintf("Format %q is for Tailpost's own events: name them, as in events = [\"webhook.*\"], in every subscription.", e.Format)
	if len(e.Subscriptions) == 0 {
		c.fail("format", "Events of the application", "%s", detail)
	}
	for i := range e.Subscriptions {
		sub := &e.Subscriptions[i]
		foreign := func(pattern string) bool { return !strings.HasPrefix(pattern, operational) }
		if len(sub.Events) == 0 || slices.ContainsFunc(sub.Events, foreign) {
			c.fail(fmt.Sprintf("subscription[%d].events", i), "Events of the application", "%s", detail)
		}
		if sub.Body != nil {
			c.fail(fmt.Sprintf("subscription[%d].body", i), "Two bodies", "Format %q has a body of its own: leave body out.", e.Format)
		}
	}
}

// answers checks which statuses mean what.
func (c *checker) answers(r *Retry) {
	for _, list := range []struct {
		name     string
		statuses Statuses
	}{{"success", r.Success}, {"permanent", r.Permanent}} {
		if len(list.statuses) > maxStatuses {
			c.fail(list.name, "Too many statuses", "Write at most %d, or classes such as \"4xx\".", maxStatuses)
		}
		for i, text := range list.statuses {
			name := fmt.Sprintf("%s[%d]", list.name, i)
			switch {
			case !validStatus(text):
				c.fail(name, "Invalid status", "Write a status from 200 to 599, such as 409, or a class, such as \"4xx\".")
			case text == "307" || text == "308":
				c.fail(name, "Status of a redirect", "Leave it out: redirects says how many are followed, and one that is not is a failure.")
			case text == "410" && list.name == "permanent":
				c.fail(name, "Status of an endpoint that is gone", "Leave it out: 410 disables the endpoint, and its deliveries wait.")
			case list.name == "permanent" && slices.Contains(r.Success, text):
				c.fail(name, "Success and failure", "%s is in success too. Remove one of the two.", text)
			}
		}
	}
}

func validLabel(s string) bool {
	if s == "" || len(s) > maxLabel {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// at says where something was declared, if a file says so.
func (o Origin) at() string {
	if o.File == "" {
		return ""
	}
	return fmt.Sprintf(" at %s:%d", o.File, o.Line)
}

func (c *checker) url(e *Endpoint) {
	if e.URL == "" {
		c.fail("url", "Missing URL", "Set url to where requests go, such as https://example.com/webhooks.")
		return
	}
	a, problems := e.address()
	for _, p := range problems {
		c.fail(p.setting, p.summary, "%s", p.detail)
	}
	if a == nil {
		return
	}
	c.addressed = a
	if a.Varies() && e.Verify != "" {
		c.fail("verify", "Verification without an event", "What verifies an endpoint is no event, and its url, query or headers have expressions over one: leave verify out (\"none\" against the defaults), or them.")
	}
	switch place := a.Place; {
	case a.URL.User != nil:
		c.fail("url", "User information in the URL", "Remove user and password from the URL; send them as an Authorization header.")
	case a.cut:
		c.fail("url", "Fragment in the URL", "Remove the # and what stands behind it; it is never sent.")
	case !place.Secure && !c.config.Network.AllowHTTP && c.tenant:
		c.fail("url", "Plain http URL", "Use https.")
	case !place.Secure && !c.config.Network.AllowHTTP:
		c.fail("url", "Plain http URL", "Use https, or set allow_http = true in the network block.")
	case place.Addr.IsValid():
		c.address("url", place.Addr)
	}
}

// protocol checks the version of HTTP that an endpoint insists on.
func (c *checker) protocol(e *Endpoint) {
	if e.HTTP != "" {
		oneOf(c, "http", e.HTTP, HTTP1, HTTP2)
	}
	if e.HTTP == HTTP2 && strings.HasPrefix(strings.ToLower(e.URL), "http:") {
		c.fail("http", "HTTP/2 without TLS", "Receivers settle on HTTP/2 in the TLS handshake: use an https URL, or leave http out.")
	}
}

// address reports an address that no request may go to. What a name stands for is looked at when a
// request is sent.
func (c *checker) address(name string, addr netip.Addr) {
	if c.guard == nil {
		var err error
		if c.guard, err = receiver.NewGuard(c.config.Network.Allow); err != nil {
			return // the networks are reported
		}
	}
	denied := c.guard.Check(addr)
	switch {
	case denied == nil:
	case c.tenant:
		c.fail(name, "Address not allowed", "%s.", sentence(denied.Public()))
	default:
		c.fail(name, "Address not allowed", "The receiver's address is special (%s). Add it to allow in the network block, or write another.", denied.Kind)
	}
}

// sentence begins a text with a capital letter.
func sentence(text string) string {
	return strings.ToUpper(text[:1]) + text[1:]
}

func (c *checker) secrets(e *Endpoint) {
	if len(e.Secrets) == 0 {
		c.fail("secret", "Missing secret", "Set secret, for example to env(\"ERP_SECRET\"); `tailpost secret` makes one.")
	}
	for i, s := range e.Secrets {
		name := fmt.Sprintf("secret[%d]", i)
		if s.IsZero() {
			c.fail(name, "Empty secret", "Set it to a value; `tailpost secret` makes one.")
			continue
		}
		if detail := secretProblem(s.Reveal(), e.Signature); detail != "" {
			c.fail(name, "Invalid secret", "%s", detail)
		}
		if slices.ContainsFunc(e.Secrets[:i], s.Equal) {
			c.fail(name, "Repeated secret", "Remove one of the two.")
		}
	}
}

// secretProblem says what is wrong with a secret, without a word of it. Stripe and GitHub sign with
// any text, whole: a whsec_ in front of it is part of the secret there, as it is at Stripe.
func secretProblem(secret string, scheme Signature) string {
	const remedy = " `tailpost secret` makes one."
	hmac, ed25519 := strings.HasPrefix(secret, "whsec_"), strings.HasPrefix(secret, "whsk_")
	if strings.TrimSpace(secret) != secret {
		return "Remove the white space around it."
	}
	_, err := signature.NewSignerFor(signature.Scheme(scheme), secret)
	switch {
	case scheme != SignatureStandard && ed25519:
		return "A whsk_ key signs with signature = \"standard\" only; use a text or a whsec_ secret."
	case scheme != SignatureStandard:
		return ""
	case hmac && err != nil:
		return "Write whsec_ and the base64 of 24 to 64 random bytes." + remedy
	case ed25519 && err != nil:
		return "Write whsk_ and the base64 of an Ed25519 seed (32 bytes) or private key (64 bytes)." + remedy
	case !hmac && !ed25519:
		return "Write a secret that begins with whsec_ (HMAC-SHA256) or whsk_ (Ed25519)." + remedy
	}
	return ""
}

func (c *checker) headers(e *Endpoint) {
	seen := make(map[string]bool, len(e.Headers))
	for _, name := range sortedKeys(e.Headers) {
		at := "headers." + name
		lower := strings.ToLower(name)
		switch {
		case !receiver.ValidName(name):
			c.fail(at, "Invalid header name", "Write letters, digits and hyphens.")
		case receiver.Reserved(name):
			c.fail(at, "Reserved header", "Remove it: Tailpost and HTTP itself set this header.")
		case seen[lower]:
			c.fail(at, "Repeated header", "Header names ignore case. Remove one of the two.")
		}
		seen[lower] = true
		value, fixed := c.header(e, name)
		if fixed && (len(value) > receiver.MaxHeaderValue || !receiver.ValidValue(value)) {
			c.fail(at, "Invalid header value", "Write one line of at most %d bytes without white space around it.", receiver.MaxHeaderValue)
		}
	}
}

// header returns the value of a header that is the same for every event.
func (c *checker) header(e *Endpoint, name string) (value string, fixed bool) {
	if c.addressed == nil {
		return e.Headers[name], !hasExpression(e.Headers[name])
	}
	value, fixed = c.addressed.Headers[name]
	return value, fixed
}

func (c *checker) events(subscription int, events []string) {
	for i, text := range events {
		name := fmt.Sprintf("subscription[%d].events[%d]", subscription, i)
		if _, err := ParsePattern(text); err != nil {
			detail := err.Error()
			c.fail(name, "Invalid event pattern", "%s.", strings.ToUpper(detail[:1])+detail[1:])
		}
	}
}
