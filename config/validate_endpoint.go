package config

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
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
	maxHeaderValue = 4096
)

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
	c.url(e)
	oneOf(c, "signature", e.Signature, SignatureStandard, SignatureStripe, SignatureGitHub)
	oneOf(c, "format", e.Format, FormatStandard, FormatRaw, FormatCloudEvents, FormatCloudEventsBinary)
	oneOf(c, "ordering", e.Ordering, OrderingNone, OrderingKey, OrderingStrict)
	oneOf(c, "on_dead", e.OnDead, OnDeadSkip, OnDeadHold)
	if e.OnDead == OnDeadHold && e.Ordering == OrderingNone {
		c.fail("on_dead", "Nothing to hold", "Without an order no delivery waits for another. Set ordering = \"key\" or \"strict\", or leave on_dead out.")
	}
	c.secrets(e)
	c.headers(e)
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
	if len(e.Retry.Schedule) > maxSchedule {
		c.fail("retry.schedule", "Too many retries", "Write at most %d delays.", maxSchedule)
	}
	for i, delay := range e.Retry.Schedule {
		c.within(fmt.Sprintf("retry.schedule[%d]", i), delay, time.Millisecond, maxRetryDelay)
	}
	if e.Circuit.Failures < 0 || e.Circuit.Failures > 1_000_000 {
		c.fail("circuit.failures", "Number out of range", "Write a number from 1 to 1000000, or leave the circuit block out.")
	}
	if e.Circuit.Failures > 0 {
		c.within("circuit.reopen", e.Circuit.Reopen, time.Millisecond, 24*time.Hour)
	}
	if e.DisableAfter != 0 {
		c.within("disable_after", e.DisableAfter, time.Second, 365*24*time.Hour)
	}
	for i := range e.Subscriptions {
		c.events(i, e.Subscriptions[i].Events)
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
	u, err := url.Parse(e.URL)
	switch {
	case err != nil || !u.IsAbs() || u.Opaque != "" || u.Hostname() == "" || !validPort(u.Port()):
		c.fail("url", "Invalid URL", "Write an absolute URL with a host, such as https://example.com/webhooks.")
	case u.User != nil:
		c.fail("url", "User information in the URL", "Remove user and password from the URL; send them with headers = { Authorization = env(\"…\") }.")
	case u.Fragment != "" || strings.HasSuffix(e.URL, "#"):
		c.fail("url", "Fragment in the URL", "Remove the # and what stands behind it; it is never sent.")
	case u.Scheme == "http" && !c.config.Network.AllowHTTP:
		c.fail("url", "Plain http URL", "Use https, or set allow_http = true in the network block.")
	case u.Scheme != "http" && u.Scheme != "https":
		c.fail("url", "Unsupported URL scheme", "Use https.")
	}
}

func validPort(port string) bool {
	n, err := strconv.Atoi(port)
	return port == "" || (err == nil && n > 0 && n < 1<<16)
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

// secretProblem says what is wrong with a secret, without a word of it. Stripe and GitHub sign with any text, whole: a
// whsec_ in front of it is part of the secret there, as it is at Stripe.
func secretProblem(secret string, signature Signature) string {
	const remedy = " `tailpost secret` makes one."
	encoded, hmac := strings.CutPrefix(secret, "whsec_")
	seed, ed25519 := strings.CutPrefix(secret, "whsk_")
	switch {
	case strings.TrimSpace(secret) != secret:
		return "Remove the white space around it."
	case signature != SignatureStandard && ed25519:
		return "A whsk_ key signs with signature = \"standard\" only; use a text or a whsec_ secret."
	case signature != SignatureStandard:
		return ""
	case hmac:
		key, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(key) < 24 || len(key) > 64 {
			return "Write whsec_ and the base64 of 24 to 64 random bytes." + remedy
		}
	case ed25519:
		key, err := base64.StdEncoding.DecodeString(seed)
		if err != nil || (len(key) != 32 && len(key) != 64) {
			return "Write whsk_ and the base64 of an Ed25519 seed (32 bytes) or private key (64 bytes)." + remedy
		}
	default:
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
		case !validHeaderName(name):
			c.fail(at, "Invalid header name", "Write letters, digits and hyphens.")
		case reservedHeader(lower):
			c.fail(at, "Reserved header", "Remove it: Tailpost and HTTP itself set this header.")
		case seen[lower]:
			c.fail(at, "Repeated header", "Header names ignore case. Remove one of the two.")
		}
		seen[lower] = true
		value := e.Headers[name]
		bad := strings.ContainsFunc(value, func(r rune) bool { return (r < ' ' && r != '\t') || r == 0x7f })
		if bad || len(value) > maxHeaderValue || strings.TrimSpace(value) != value {
			c.fail(at, "Invalid header value", "Write one line of at most %d bytes without white space around it.", maxHeaderValue)
		}
	}
}

func validHeaderName(s string) bool {
	const marks = "!#$%&'*+-.^_`|~"
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune(marks, r)
	})
}

// reservedHeader reports whether the relay or HTTP sets a header, given in lower case.
func reservedHeader(name string) bool {
	for _, prefix := range []string{"webhook-", "content-", "ce-", "proxy-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	switch name {
	case "host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect",
		"stripe-signature", "x-hub-signature", "x-hub-signature-256":
		return true
	default:
		return false
	}
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
