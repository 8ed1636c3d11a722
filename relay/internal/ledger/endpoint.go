package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tailpost/tailpost/config"
)

// The sources of an endpoint.
const (
	SourceConfig = "config"
	SourceAPI    = "api"
)

// EndpointRow is a row of tailpost.endpoint. Empty texts and zero times stand for NULL.
type EndpointRow struct {
	ID             string
	Tenant         string
	Name           string
	URL            string
	Description    string
	Subscriptions  []byte // JSON, see EncodeEndpoint
	Policy         []byte // JSON, see EncodeEndpoint
	Status         string
	DisabledReason string
	FailingSince   time.Time
	Source         string
	Secrets        []byte // sealed, see EncodeSealed
	SecretPrefix   string
	Origin         string
	Version        int64
	Verified       string // see config.Endpoint.Proof
	VerifyError    string // why it did not pass the last time
	RemovedPaused  bool   // it was paused when the configuration last lost it, and is so when it returns
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// State is the part of the row that is no setting.
func (r *EndpointRow) State() EndpointState {
	return EndpointState{Status: r.Status, DisabledReason: r.DisabledReason, FailingSince: r.FailingSince, Verified: r.Verified}
}

// subscriptionJSON is an element of tailpost.endpoint.subscriptions.
type subscriptionJSON struct {
	Events []string `json:"events"`
	Where  string   `json:"where,omitempty"`
	Body   string   `json:"body,omitempty"`
}

// policyJSON is tailpost.endpoint.policy.
type policyJSON struct {
	Signature    string            `json:"signature"`
	Format       string            `json:"format"`
	Headers      headersJSON       `json:"headers"`
	Query        map[string]string `json:"query,omitempty"`
	Timeout      string            `json:"timeout"`
	Concurrency  int               `json:"concurrency"`
	Rate         float64           `json:"rate"`
	Ordering     string            `json:"ordering"`
	OnDead       string            `json:"on_dead,omitempty"`
	Redirects    int               `json:"redirects"`
	Method       string            `json:"method,omitempty"`
	HTTP         string            `json:"http,omitempty"`
	Version      string            `json:"version,omitempty"`
	Gzip         bool              `json:"gzip,omitempty"`
	Answer       string            `json:"answer,omitempty"` // missing: status
	Verify       string            `json:"verify,omitempty"`
	Retry        []string          `json:"retry"`
	Success      []string          `json:"success,omitempty"`
	Permanent    []string          `json:"permanent,omitempty"`
	Circuit      circuitJSON       `json:"circuit"`
	Batch        *batchJSON        `json:"batch,omitempty"`
	ParkAfter    string            `json:"park_after"`
	DisableAfter string            `json:"disable_after"`
	Auth         *authJSON         `json:"auth,omitempty"`
	TLS          *tlsJSON          `json:"tls,omitempty"`
}

type circuitJSON struct {
	Failures int    `json:"failures"`
	Reopen   string `json:"reopen"`
}

type batchJSON struct {
	Events  int    `json:"events"`
	Wait    string `json:"wait"`
	Bytes   int    `json:"bytes"`
	Partial bool   `json:"partial,omitempty"`
}

// headersJSON is a list of names: values of headers may be credentials. A row that was written
// before they were sealed has an object of names and values.
type headersJSON struct {
	names  []string
	values map[string]string
}

// MarshalJSON implements json.Marshaler.
func (h headersJSON) MarshalJSON() ([]byte, error) {
	return json.Marshal(append([]string{}, h.names...))
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *headersJSON) UnmarshalJSON(text []byte) error {
	*h = headersJSON{}
	if len(text) > 0 && text[0] == '[' {
		return json.Unmarshal(text, &h.names)
	}
	if err := json.Unmarshal(text, &h.values); err != nil {
		return err
	}
	h.names = slices.Sorted(maps.Keys(h.values))
	return nil
}

// EncodeEndpoint returns the columns subscriptions and policy of a complete endpoint: every setting
// that has no column of its own, filters and bodies as they were written. Secrets and the values of
// headers are not among them.
func EncodeEndpoint(e config.Endpoint) (subscriptions, policy []byte, err error) {
	subs := make([]subscriptionJSON, 0, len(e.Subscriptions))
	for _, s := range e.Subscriptions {
		sub := subscriptionJSON{Events: append([]string{}, s.Events...)}
		if s.Where != nil {
			sub.Where = s.Where.Source()
		}
		if s.Body != nil {
			sub.Body = s.Body.Source()
		}
		subs = append(subs, sub)
	}
	if subscriptions, err = json.Marshal(subs); err != nil {
		return nil, nil, fmt.Errorf("encode subscriptions: %w", err)
	}
	p := policyJSON{
		Signature: string(e.Signature), Format: string(e.Format), Headers: headersJSON{names: slices.Sorted(maps.Keys(e.Headers))},
		Timeout: e.Timeout.String(), Concurrency: e.Concurrency, Rate: e.Rate, Ordering: string(e.Ordering), OnDead: string(e.OnDead),
		Redirects: e.Redirects, Circuit: circuitJSON{Failures: e.Circuit.Failures, Reopen: e.Circuit.Reopen.String()},
		ParkAfter: e.ParkAfter.String(), DisableAfter: e.DisableAfter.String(),
		Auth: openAuth(&e.Auth), TLS: openTLS(&e.TLS), Query: e.Query,
		Method: e.Method, HTTP: e.HTTP, Gzip: e.Gzip, Verify: string(e.Verify), Success: e.Retry.Success, Permanent: e.Retry.Permanent,
		Retry: make([]string, 0, len(e.Retry.Schedule)), Version: e.Version,
	}
	if e.Answer != config.AnswerStatus {
		p.Answer = string(e.Answer)
	}
	if b := &e.Batch; b.On() {
		p.Batch = &batchJSON{Events: b.Events, Wait: b.Wait.String(), Bytes: b.Bytes, Partial: b.Partial}
	}
	for _, d := range e.Retry.Schedule {
		p.Retry = append(p.Retry, d.String())
	}
	if policy, err = json.Marshal(p); err != nil {
		return nil, nil, fmt.Errorf("encode policy: %w", err)
	}
	return subscriptions, policy, nil
}

// DecodeEndpoint returns the endpoint of a row, without its secrets and with the names of its
// headers alone: both are Sealed. Filters and bodies are compiled, settings that the row does not
// have get their defaults when the endpoint is completed. An endpoint that cannot be decoded was
// written by another version or by hand; what could be read of it is given with the error.
func DecodeEndpoint(row EndpointRow) (config.Endpoint, error) {
	e := config.Endpoint{
		ID: row.ID, Name: row.Name, Description: row.Description, URL: row.URL, Tenant: row.Tenant,
	}
	subErr := decodeSubscriptions(&e, row.Subscriptions)
	return e, errors.Join(subErr, decodePolicy(&e, row.Policy))
}

// PinnedVersion returns the version that the row names; empty: none, or the policy is no such JSON.
func (r *EndpointRow) PinnedVersion() string {
	var p struct {
		Version string `json:"version"`
	}
	if json.Unmarshal(r.Policy, &p) != nil {
		return ""
	}
	return p.Version
}

// Pin has an endpoint that was decoded of a row get events of the version that the row names, and
// reports whether there is such a version. A row without one is of before there were versions: one
// of the API stays at the oldest, which is what it got then; the configuration's gets the newest.
func Pin(e *config.Endpoint, row *EndpointRow, versions config.Versions) bool {
	otherwise := versions.Newest()
	if row.Source == SourceAPI {
		otherwise = versions.Oldest()
	}
	return versions.Pin(e, otherwise)
}

func decodeSubscriptions(e *config.Endpoint, text []byte) error {
	var subs []subscriptionJSON
	if err := json.Unmarshal(text, &subs); err != nil {
		return fmt.Errorf("read subscriptions: %w", err)
	}
	for i, s := range subs {
		sub := config.Subscription{Events: s.Events}
		for _, pattern := range s.Events {
			if _, err := config.ParsePattern(pattern); err != nil {
				return fmt.Errorf("subscription %d: event pattern %q: %w", i, pattern, err)
			}
		}
		if s.Where != "" {
			filter, diags := config.CompileFilter(s.Where, "where", 1)
			if diags.HasErrors() {
				return fmt.Errorf("subscription %d: compile its filter: %w", i, diags)
			}
			sub.Where = filter
		}
		if s.Body != "" {
			body, diags := config.CompileBody(s.Body, "body", 1)
			if diags.HasErrors() {
				return fmt.Errorf("subscription %d: compile its body: %w", i, diags)
			}
			sub.Body = body
		}
		e.Subscriptions = append(e.Subscriptions, sub)
	}
	return nil
}

func decodePolicy(e *config.Endpoint, text []byte) error {
	var p policyJSON
	if err := json.Unmarshal(text, &p); err != nil {
		return fmt.Errorf("read policy: %w", err)
	}
	e.Signature, e.Format, e.Ordering = config.Signature(p.Signature), config.Format(p.Format), config.Ordering(p.Ordering)
	e.OnDead, e.Method, e.HTTP, e.Gzip = config.OnDead(p.OnDead), p.Method, p.HTTP, p.Gzip
	e.Retry.Success, e.Retry.Permanent = p.Success, p.Permanent
	e.Answer, e.Verify = config.Answer(p.Answer), config.Verify(p.Verify)
	e.Version = p.Version
	e.Auth, e.TLS, e.Query = p.Auth.decode(), p.TLS.decode(), p.Query
	e.Concurrency, e.Rate, e.Redirects, e.Circuit.Failures = p.Concurrency, p.Rate, p.Redirects, p.Circuit.Failures
	if len(p.Headers.names) > 0 {
		e.Headers = make(map[string]string, len(p.Headers.names))
	}
	for _, name := range p.Headers.names {
		e.Headers[name] = ""
	}
	if p.Batch == nil {
		p.Batch = new(batchJSON)
	}
	e.Batch.Events, e.Batch.Bytes, e.Batch.Partial = p.Batch.Events, p.Batch.Bytes, p.Batch.Partial
	for _, d := range []struct {
		name string
		text string
		to   *time.Duration
	}{
		{"timeout", p.Timeout, &e.Timeout},
		{"park_after", p.ParkAfter, &e.ParkAfter},
		{"disable_after", p.DisableAfter, &e.DisableAfter},
		{"circuit.reopen", p.Circuit.Reopen, &e.Circuit.Reopen},
		{"batch.wait", p.Batch.Wait, &e.Batch.Wait},
	} {
		if d.text == "" {
			continue
		}
		var err error
		if *d.to, err = time.ParseDuration(d.text); err != nil {
			return fmt.Errorf("read policy: %s: %w", d.name, err)
		}
	}
	if p.Retry != nil {
		e.Retry.Schedule = make([]time.Duration, 0, len(p.Retry))
	}
	for _, text := range p.Retry {
		delay, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("read policy: retry: %w", err)
		}
		e.Retry.Schedule = append(e.Retry.Schedule, delay)
	}
	return nil
}

// secretPrefixSize is how much of a secret tells people which one it is.
const secretPrefixSize = 12

// SecretPrefix returns tailpost.endpoint.secret_prefix. Nothing is shown of a secret that is too
// short to lose it.
func SecretPrefix(s config.Secret) string {
	text := s.Reveal()
	if len(text) < 2*secretPrefixSize {
		return ""
	}
	return text[:secretPrefixSize]
}
