package config

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/tailpost/tailpost/outbox"
)

// MarshalJSON returns the configuration without its secrets: for people and for `tailpost check
// --json`. Values of headers, queries of URLs, and paths of URLs that came from the environment
// count as secrets.
func (c Config) MarshalJSON() ([]byte, error) {
	endpoints := make([]endpointJSON, 0, len(c.Endpoints))
	for i := range c.Endpoints {
		endpoints = append(endpoints, newEndpointJSON(&c.Endpoints[i]))
	}
	m := &c.Outbox.Mapping
	text, err := json.Marshal(map[string]any{
		"database": map[string]any{
			"url": c.Database.URL, "replication_url": c.Database.ReplicationURL, "slot": c.Database.Slot,
		},
		"outbox": map[string]any{
			"table": m.Table, "messages": c.Outbox.Messages, "start": c.Outbox.Start.String(),
			"retention": spell(c.Outbox.Retention, "forever"), "search": c.Outbox.Search.Source(), "time_zone": m.TimeZone,
			"columns": newColumnsJSON(m),
		},
		"attempts":  map[string]bool{"headers": c.Attempts.Headers},
		"endpoints": endpoints, "versions": newVersionsJSON(c.Versions),
		"catalogue": map[string]any{"files": append([]string{}, c.Catalogue.Files...), "types": len(c.Catalogue.Types), "validate": c.Catalogue.Validate},
		"network": map[string]any{
			"allow": allowed(&c.Network), "allow_http": c.Network.AllowHTTP, "proxy": c.Network.Proxy,
			"proxy_resolves": c.Network.ProxyResolves, "no_proxy": append([]string{}, c.Network.NoProxy...), "ca": c.Network.CA != "",
		},
		"secrets": map[string]any{"keys": append([]Secret{}, c.Secrets.Keys...)},
		"fanout":  newFanoutJSON(&c.Fanout),
		"api":     newAPIJSON(&c.API),
		"panel":   map[string]any{"portal": newPortalJSON(&c.Panel.Portal)},
		"metrics": newMetricsJSON(&c.Metrics),
		"log":     map[string]string{"level": c.Log.Level, "format": c.Log.Format},
	})
	if err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	return text, nil
}

// columnsJSON are the columns of the outbox table as JSON shows them.
type columnsJSON struct {
	ID        string            `json:"id"`
	Type      string            `json:"type"`
	Key       string            `json:"key"`
	Tenant    string            `json:"tenant"`
	Payload   string            `json:"payload"`
	Headers   string            `json:"headers"`
	CreatedAt string            `json:"created_at"`
	DeliverAt string            `json:"deliver_at"`
	ExpiresAt string            `json:"expires_at"`
	Extra     map[string]string `json:"extra,omitempty"`
}

func newColumnsJSON(m *outbox.Mapping) columnsJSON {
	return columnsJSON{m.ID, m.Type, m.Key, m.Tenant, m.Payload, m.Headers, m.CreatedAt, m.DeliverAt, m.ExpiresAt, m.Extra}
}

// MarshalJSON returns the endpoint without its secrets, as Config.MarshalJSON does.
func (e Endpoint) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(newEndpointJSON(&e))
	if err != nil {
		return nil, fmt.Errorf("encode endpoint: %w", err)
	}
	return text, nil
}

// allowed returns the networks that are allowed, as text.
func allowed(n *Network) []string {
	allow := make([]string, 0, len(n.Allow))
	for _, prefix := range n.Allow {
		allow = append(allow, prefix.String())
	}
	return allow
}

// apiJSON is the api block as JSON shows it.
type apiJSON struct {
	Listen string       `json:"listen"`
	Keys   []apiKeyJSON `json:"keys"`
	TLS    bool         `json:"tls"`

	Network map[string]any `json:"network"`
	Quotas  map[string]int `json:"quotas"`
}

type apiKeyJSON struct {
	Name   string   `json:"name"`
	Secret Secret   `json:"secret"`
	Scopes []string `json:"scopes"`
	Tenant string   `json:"tenant,omitempty"`
}

// newAPIJSON returns nil where there is no API.
func newAPIJSON(a *API) *apiJSON {
	if !a.Enabled() {
		return nil
	}
	shown := &apiJSON{Listen: a.Listen, Keys: make([]apiKeyJSON, 0, len(a.Keys)), TLS: a.TLS != TLS{}}
	shown.Quotas = map[string]int{
		"endpoints": a.Quotas.Endpoints, "concurrency": a.Quotas.Concurrency, "tests": a.Quotas.Tests, "expressions": a.Quotas.Expressions,
	}
	shown.Network = map[string]any{"allow": allowed(&a.Network), "allow_http": a.Network.AllowHTTP}
	for _, k := range a.Keys {
		shown.Keys = append(shown.Keys, apiKeyJSON{k.Name, k.Secret, k.Scopes, k.Tenant})
	}
	return shown
}

// portalJSON is the portal block as JSON shows it.
type portalJSON struct {
	Name         string   `json:"name,omitempty"`
	Logo         bool     `json:"logo"`
	Color        string   `json:"color,omitempty"`
	ColorDark    string   `json:"color_dark,omitempty"`
	URL          string   `json:"url,omitempty"`
	FrameOrigins []string `json:"frame_origins"`
	RefreshURL   string   `json:"refresh_url,omitempty"`
	Verify       Verify   `json:"verify"`
}

func newPortalJSON(p *Portal) portalJSON {
	return portalJSON{
		p.Name, p.Logo.Data != nil, p.Color, p.ColorDark, p.URL, append([]string{}, p.FrameOrigins...), p.RefreshURL, p.Verify,
	}
}

// metricsJSON is the metrics block as JSON shows it.
type metricsJSON struct {
	Listen string `json:"listen"`
}

// newMetricsJSON returns nil where there are no metrics.
func newMetricsJSON(m *Metrics) *metricsJSON {
	if !m.Enabled() {
		return nil
	}
	return &metricsJSON{m.Listen}
}

// endpointJSON is an endpoint as JSON shows it, with the words of the configuration file.
type endpointJSON struct {
	ID            string             `json:"id"`
	Name          string             `json:"name"`
	Description   string             `json:"description,omitempty"`
	URL           string             `json:"url"`
	Secrets       []Secret           `json:"secrets"`
	Signature     Signature          `json:"signature"`
	Format        Format             `json:"format"`
	Method        string             `json:"method"`
	HTTP          string             `json:"http,omitempty"`
	Gzip          bool               `json:"gzip,omitempty"`
	Answer        Answer             `json:"answer"`
	Verify        Verify             `json:"verify,omitempty"`
	Version       string             `json:"version,omitempty"`
	Headers       map[string]string  `json:"headers,omitempty"`
	Query         map[string]string  `json:"query,omitempty"`
	Timeout       string             `json:"timeout"`
	Concurrency   int                `json:"concurrency"`
	Rate          float64            `json:"rate,omitempty"`
	Ordering      Ordering           `json:"ordering"`
	OnDead        OnDead             `json:"on_dead,omitempty"`
	Redirects     int                `json:"redirects"`
	Tenant        string             `json:"tenant,omitempty"`
	ParkAfter     string             `json:"park_after"`
	Schedule      []string           `json:"schedule"`
	Success       []string           `json:"success,omitempty"`
	Permanent     []string           `json:"permanent,omitempty"`
	Circuit       *circuitJSON       `json:"circuit,omitempty"`
	Batch         *batchJSON         `json:"batch,omitempty"`
	DisableAfter  string             `json:"disable_after"`
	Auth          *authJSON          `json:"auth,omitempty"`
	TLS           *tlsJSON           `json:"tls,omitempty"`
	Subscriptions []subscriptionJSON `json:"subscriptions"`
	File          string             `json:"file,omitempty"`
	Line          int                `json:"line,omitempty"`
}

type authJSON struct {
	Kind     AuthKind `json:"type"`
	User     string   `json:"user,omitempty"`
	TokenURL string   `json:"token_url,omitempty"`
	ClientID string   `json:"client_id,omitempty"`
	Scopes   []string `json:"scopes,omitempty"`
	Audience string   `json:"audience,omitempty"`
	Style    string   `json:"style,omitempty"`

	Assertion *assertionJSON `json:"assertion,omitempty"`
}

type assertionJSON struct {
	Use       string `json:"use"`
	KeyID     string `json:"key_id,omitempty"`
	Algorithm string `json:"algorithm,omitempty"`
	Issuer    string `json:"issuer,omitempty"`
	Subject   string `json:"subject,omitempty"`
	Audience  string `json:"audience,omitempty"`
}

func newAuthJSON(a *Auth) *authJSON {
	if a.Kind == AuthNone {
		return nil
	}
	j := &authJSON{a.Kind, a.User, ShownURL(a.TokenURL), a.ClientID, a.Scopes, a.Audience, a.Style, nil}
	if as := &a.Assertion; !as.IsZero() {
		j.Assertion = &assertionJSON{as.Use, as.KeyID, as.Algorithm, as.Issuer, as.Subject, as.Audience}
	}
	return j
}

// tlsJSON says what an endpoint has of its own, not what that is.
type tlsJSON struct {
	Cert bool `json:"cert"`
	CA   bool `json:"ca"`
}

func newTLSJSON(t *ClientTLS) *tlsJSON {
	if t.IsZero() {
		return nil
	}
	return &tlsJSON{t.Cert != "", t.CA != ""}
}

type circuitJSON struct {
	Failures int    `json:"failures"`
	Reopen   string `json:"reopen"`
}

type batchJSON struct {
	Events  int    `json:"events"`
	Wait    string `json:"wait"`
	Bytes   string `json:"bytes"`
	Partial bool   `json:"partial"`
}

type subscriptionJSON struct {
	Events []string `json:"events"`
	Where  string   `json:"where,omitempty"`
	Body   string   `json:"body,omitempty"`
}

func newEndpointJSON(e *Endpoint) endpointJSON {
	j := endpointJSON{
		ID: e.ID, Name: e.Name, Description: e.Description, URL: e.ShownURL(), Secrets: e.Secrets,
		Signature: e.Signature, Format: e.Format, Timeout: spell(e.Timeout, ""), Concurrency: e.Concurrency,
		Rate: e.Rate, Ordering: e.Ordering, Redirects: e.Redirects, Tenant: e.Tenant, ParkAfter: spell(e.ParkAfter, ""),
		OnDead: e.OnDead, DisableAfter: spell(e.DisableAfter, "never"), File: e.Origin.File, Line: e.Origin.Line,
		Auth: newAuthJSON(&e.Auth), TLS: newTLSJSON(&e.TLS),
		Method: e.Method, HTTP: e.HTTP, Gzip: e.Gzip, Answer: e.Answer, Verify: e.Verify, Version: e.Version, Success: e.Retry.Success, Permanent: e.Retry.Permanent,
		Query:         e.ShownQuery(),
		Schedule:      make([]string, 0, len(e.Retry.Schedule)),
		Headers:       make(map[string]string, len(e.Headers)),
		Subscriptions: make([]subscriptionJSON, 0, len(e.Subscriptions)),
	}
	for _, delay := range e.Retry.Schedule {
		j.Schedule = append(j.Schedule, spell(delay, ""))
	}
	for name := range e.Headers {
		j.Headers[name] = redacted
	}
	if e.Circuit.Failures > 0 {
		j.Circuit = &circuitJSON{Failures: e.Circuit.Failures, Reopen: spell(e.Circuit.Reopen, "")}
	}
	if b := &e.Batch; b.On() {
		j.Batch = &batchJSON{b.Events, b.Wait.String(), SpellSize(b.Bytes), b.Partial}
	}
	for i := range e.Subscriptions {
		sub := subscriptionJSON{Events: append([]string{}, e.Subscriptions[i].Events...)}
		if e.Subscriptions[i].Where != nil {
			sub.Where = e.Subscriptions[i].Where.Source()
		}
		if e.Subscriptions[i].Body != nil {
			sub.Body = e.Subscriptions[i].Body.Source()
		}
		j.Subscriptions = append(j.Subscriptions, sub)
	}
	return j
}

// ShownURL returns a URL without its user information and query, which may hold tokens.
func ShownURL(text string) string {
	e := Endpoint{URL: text}
	return e.ShownURL()
}

// ShownURL returns the URL as people and tables may have it: without its user information and
// query, which may hold tokens, and of one that is a secret itself only scheme and host.
// Expressions stand as they are written.
func (e *Endpoint) ShownURL() string {
	if hasExpression(e.URL) {
		return e.shownTemplate()
	}
	u, err := url.Parse(e.URL)
	if err != nil {
		return redacted
	}
	if u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && !e.SensitiveURL {
		return e.URL // most are; one string serves both
	}
	shown := u.Scheme + "://" + u.Host
	switch {
	case e.SensitiveURL:
		return shown + "/" + redacted
	case u.RawQuery != "":
		return shown + u.EscapedPath() + "?" + redacted
	default:
		return shown + u.EscapedPath()
	}
}

func (e *Endpoint) shownTemplate() string {
	a := &Address{}
	parts, p := a.compileText("url", e.URL)
	if p != nil || a.compileURL(e.URL) != nil {
		return redacted
	}
	if e.SensitiveURL {
		return a.URL.Scheme + "://" + a.URL.Host + "/" + redacted
	}
	var b strings.Builder
	for i := range parts {
		if parts[i].Source != "" {
			b.WriteString("${" + parts[i].Source + "}")
			continue
		}
		path, _, asks := strings.Cut(parts[i].Literal, "?")
		b.WriteString(escapeTemplate(path))
		if asks {
			return b.String() + "?" + redacted
		}
	}
	return b.String()
}

// ShownQuery returns the parameters that the endpoint adds as people and tables may have them: of
// values that are the same for every event, which may be tokens, only their names.
func (e *Endpoint) ShownQuery() map[string]string {
	if e.Query == nil {
		return nil
	}
	shown := make(map[string]string, len(e.Query))
	for name, value := range e.Query {
		shown[name] = redacted
		if hasExpression(value) && !e.SensitiveURL {
			shown[name] = value
		}
	}
	return shown
}

// spell writes a duration, or what zero means.
func spell(d time.Duration, zero string) string {
	if d == 0 && zero != "" {
		return zero
	}
	return d.String()
}

// String returns the form of the configuration file.
func (s Start) String() string {
	switch {
	case s.Beginning:
		return "beginning"
	case !s.At.IsZero():
		return s.At.Format(time.RFC3339Nano)
	default:
		return "now"
	}
}
