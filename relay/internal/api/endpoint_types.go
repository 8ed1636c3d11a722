package api

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// Subscription is which events an endpoint wants, and as what body.
type Subscription struct {
	Events []string `json:"events,omitempty" maxItems:"1000" doc:"Exact names, * for one segment, ** for the rest; empty: all events." example:"[\"order.*\"]"`
	Where  string   `json:"where,omitempty" maxLength:"16384" doc:"Only events for which this is true, in the language of the configuration file." example:"event.data.total > 100"`
	Body   string   `json:"body,omitempty" maxLength:"65536" doc:"What the receiver gets in place of the payload, in the language of the configuration file." example:"{ id = event.data.id }"`
}

// Retry is when a failed delivery is attempted again.
type Retry struct {
	Schedule []string `json:"schedule" nullable:"false" maxItems:"100" doc:"Delay before each further attempt; used up: dead." example:"[\"5s\",\"5m\",\"2h\"]"`
}

// Circuit is when a failing endpoint is left alone.
type Circuit struct {
	Failures int    `json:"failures" minimum:"0" maximum:"1000000" doc:"Failures in a row that open it; 0: never."`
	Reopen   string `json:"reopen,omitempty" doc:"How long until a probe." example:"30s"`
}

// Batch is how many events share a request.
type Batch struct {
	Events  *int    `json:"events,omitempty" minimum:"1" maximum:"1000" doc:"Events of a request, at most. Default: 100."`
	Wait    *string `json:"wait,omitempty" doc:"How long an event waits for company at most; shorter than park_after. Default: 200ms." example:"200ms"`
	Bytes   *string `json:"bytes,omitempty" doc:"Size of a body before it is compressed, at most; an event that is larger goes alone. Default: 1MB." example:"1MB"`
	Partial *bool   `json:"partial,omitempty" doc:"The answer may name the events that failed. Default: false."`
}

// EndpointSettings are the settings of an endpoint that have a default.
type EndpointSettings struct {
	Name          *string            `json:"name,omitempty" minLength:"1" maxLength:"200" doc:"Name for people. Default: the id."`
	Description   *string            `json:"description,omitempty" maxLength:"2000" doc:"Free text."`
	Events        *[]string          `json:"events,omitempty" maxItems:"1000" doc:"Which events it wants: exact names, * for one segment, ** for the rest. Default, or empty: all events." example:"[\"order.*\",\"inventory.low_stock\"]"`
	Where         *string            `json:"where,omitempty" maxLength:"16384" doc:"Only events for which this is true, in the language of the configuration file." example:"event.data.total > 100"`
	Body          *string            `json:"body,omitempty" maxLength:"65536" doc:"What the receiver gets in place of the payload, in the language of the configuration file."`
	Subscriptions *[]Subscription    `json:"subscriptions,omitempty" maxItems:"100" doc:"Several selections of events, in place of events, where and body. An event goes out once if any matches."`
	Signature     *string            `json:"signature,omitempty" enum:"standard,stripe,github" doc:"How requests are signed. Default: standard."`
	Format        *string            `json:"format,omitempty" enum:"standard,raw,cloudevents,cloudevents-binary,form,slack,teams" doc:"The shape of the body. Default: standard."`
	Method        *string            `json:"method,omitempty" enum:"POST,PUT,PATCH,DELETE" doc:"The method of requests. Default: POST."`
	HTTP          *string            `json:"http,omitempty" enum:"1.1,2" doc:"The version of HTTP that connections speak. Default: HTTP/2 where the receiver speaks it, else HTTP/1.1."`
	Gzip          *bool              `json:"gzip,omitempty" doc:"Compress bodies of a kilobyte and more. The signature is that of the compressed bytes. Default: false."`
	Answer        *string            `json:"answer,omitempty" enum:"status,complete" doc:"How much of an answer with a status that means success has to come for the event to count as delivered: its head, or all of it. Default: status."`
	Verify        *string            `json:"verify,omitempty" enum:"echo,cloudevents" doc:"What the receiver has to do before its first event: answer with the challenge of a request (echo), or allow the origin by the webhook specification of CloudEvents. Until then its deliveries wait. A changed URL has to pass again. Default: nothing; of a visitor of the portal, what its configuration says."`
	Headers       *map[string]string `json:"headers,omitempty" doc:"Further headers of every request: texts in which ${…} is an expression over the event. Their values are kept as secret as the signing secret: answers show the names only, and [redacted] as a value keeps the one that the endpoint has."`
	Query         *map[string]string `json:"query,omitempty" doc:"Parameters that are added to those of the URL: texts with expressions over the event, as in url." example:"{\"tenant\":\"${event.tenant}\"}"`
	Timeout       *string            `json:"timeout,omitempty" doc:"How long an attempt may take." example:"15s"`
	Concurrency   *int               `json:"concurrency,omitempty" minimum:"1" maximum:"10000" doc:"Requests at once. Default: 32."`
	Rate          *string            `json:"rate,omitempty" doc:"Requests in a second, minute or hour. Default: unlimited." example:"100/s"`
	Ordering      *string            `json:"ordering,omitempty" enum:"none,key,strict" doc:"What is kept in the order of commits. Default: none."`
	OnDead        *string            `json:"on_dead,omitempty" enum:"skip,hold" doc:"Whether what follows a dead delivery in its order goes out (skip) or waits (hold). Default: skip."`
	Redirects     *int               `json:"redirects,omitempty" minimum:"0" maximum:"2" doc:"How many redirects are followed. Default: 0."`
	Retry         *Retry             `json:"retry,omitempty" doc:"When a failed delivery is attempted again."`
	Success       *[]string          `json:"success,omitempty" maxItems:"50" doc:"Statuses of answers that take the event: single ones, or classes. Default: 2xx." example:"[\"2xx\",\"409\"]"`
	Permanent     *[]string          `json:"permanent,omitempty" maxItems:"50" doc:"Statuses of answers after which the delivery is dead at once. A single one counts before a class. Default: none." example:"[\"400\",\"422\"]"`
	Circuit       *Circuit           `json:"circuit,omitempty" doc:"When a failing endpoint is left alone. What a change leaves out of it stays."`
	Batch         *Batch             `json:"batch,omitempty" doc:"Send several events in a request, as an array. Default: each has a request of its own. What a change leaves out of it stays."`
	Auth          *EndpointAuth      `json:"auth,omitempty" doc:"How requests show who sends them, beside the signature. Its secrets are kept as secret as the signing secret. Default: not at all."`
	TLS           *EndpointTLS       `json:"tls,omitempty" doc:"A client certificate, and authorities of its own."`
	ParkAfter     *string            `json:"park_after,omitempty" doc:"How long a delivery may wait in memory." example:"1s"`
	DisableAfter  *string            `json:"disable_after,omitempty" doc:"For how long it may fail without one success before it is disabled, or never." example:"120h"`

	PayloadVersion *string `json:"payload_version,omitempty" maxLength:"64" doc:"The version of the events' data that it gets: a version block of the configuration file. Default for a new endpoint: the newest, which it then keeps. A replacement that leaves it out keeps it; null pins the newest." example:"2026-09-20"`
}

// NewEndpoint is the request for a new endpoint.
type NewEndpoint struct {
	EndpointSettings

	URL        string `json:"url" minLength:"1" maxLength:"2048" doc:"Where requests go. Behind the host, ${…} is an expression over the event: its value, percent-encoded." example:"https://example.com/webhooks"`
	Tenant     string `json:"tenant,omitempty" maxLength:"200" doc:"It gets only this tenant's events. Default: that of the key; without one, every tenant's."`
	Secret     string `json:"secret,omitempty" maxLength:"512" doc:"A signing secret of your own: whsec_ and the base64 of 24 to 64 bytes, or whsk_ and an Ed25519 key. Default: a new one." writeOnly:"true"`
	SecretType string `json:"secret_type,omitempty" enum:"whsec,whsk" doc:"What a new secret is: shared (whsec, HMAC-SHA256) or a key pair (whsk, Ed25519). Default: whsec."`
}

// EndpointPatch changes some settings of an endpoint.
type EndpointPatch struct {
	EndpointSettings

	URL    *string `json:"url,omitempty" minLength:"1" maxLength:"2048" doc:"Where requests go. Behind the host, ${…} is an expression over the event: its value, percent-encoded."`
	Status *string `json:"status,omitempty" enum:"active,paused,disabled" doc:"active sends, paused queues, disabled queues until a person enables it."`
}

// EndpointReplacement replaces the settings of an endpoint.
type EndpointReplacement struct {
	EndpointSettings

	URL    string  `json:"url" minLength:"1" maxLength:"2048" doc:"Where requests go. Behind the host, ${…} is an expression over the event: its value, percent-encoded."`
	Status *string `json:"status,omitempty" enum:"active,paused,disabled" doc:"Default: what it is."`
}

// EndpointStats counts the deliveries of an endpoint over all time.
type EndpointStats struct {
	TotalDeliveries int64 `json:"total_deliveries" doc:"Deliveries that came to an end: made, or given up."`
	Successful      int64 `json:"successful" doc:"Deliveries made."`
	Failed          int64 `json:"failed" doc:"Deliveries given up."`
	SuccessRate     int64 `json:"success_rate" minimum:"0" maximum:"100" doc:"Successful ones in percent, rounded down; 0 without any."`
}

// Endpoint is a URL with its policy.
type Endpoint struct {
	ID             string            `json:"id" doc:"Identity." example:"ep_2x8Kq0T7vC4mWfZ1nYdRbL"`
	Name           string            `json:"name"`
	URL            string            `json:"url" doc:"Where requests go, without user information."`
	Description    string            `json:"description"`
	Events         []string          `json:"events" nullable:"false" doc:"Which events it wants; empty: all."`
	Subscriptions  []Subscription    `json:"subscriptions" nullable:"false" doc:"The same with filters and bodies."`
	Status         string            `json:"status" enum:"active,paused,disabled"`
	DisabledReason string            `json:"disabled_reason,omitempty" doc:"Why it is disabled."`
	FailingSince   *time.Time        `json:"failing_since,omitempty" doc:"First failure after the last success."`
	Secret         string            `json:"secret,omitempty" doc:"The signing secret; only in the answer of the call that made the endpoint."`
	SecretPrefix   string            `json:"secret_prefix,omitempty" doc:"First 12 characters of the signing secret."`
	PublicKey      string            `json:"public_key,omitempty" doc:"The public key (whpk_) of an endpoint that signs with a key pair; only where the secret is."`
	Source         string            `json:"source" enum:"config,api" doc:"Who declares it: the configuration file or the API."`
	Origin         string            `json:"origin,omitempty" doc:"File and line of one that the configuration declares."`
	Tenant         string            `json:"tenant,omitempty" doc:"It gets only this tenant's events."`
	Signature      string            `json:"signature" enum:"standard,stripe,github"`
	Format         string            `json:"format" enum:"standard,raw,cloudevents,cloudevents-binary,form,slack,teams"`
	Method         string            `json:"method" enum:"POST,PUT,PATCH,DELETE"`
	HTTP           string            `json:"http,omitempty" enum:"1.1,2" doc:"The version of HTTP that it insists on. Missing: what the receiver settles on."`
	Gzip           bool              `json:"gzip" doc:"Bodies of a kilobyte and more are compressed."`
	Answer         string            `json:"answer" enum:"status,complete" doc:"How much of an answer has to come for the event to count as delivered."`
	Verify         string            `json:"verify,omitempty" enum:"echo,cloudevents" doc:"What the receiver has to do before its first event. Missing: nothing."`
	Unverified     bool              `json:"unverified,omitempty" doc:"It has not done that yet: its deliveries wait."`
	VerifyError    string            `json:"verify_error,omitempty" doc:"Why it did not pass the last time."`
	Query          map[string]string `json:"query,omitempty" doc:"Parameters that are added to those of the URL. Of an endpoint that the configuration declares, a value without an expression is [redacted]."`
	HeaderNames    []string          `json:"header_names" nullable:"false" doc:"Names of its further headers."`
	Timeout        string            `json:"timeout"`
	Concurrency    int               `json:"concurrency"`
	Rate           string            `json:"rate,omitempty" doc:"Missing: unlimited."`
	Ordering       string            `json:"ordering" enum:"none,key,strict"`
	OnDead         string            `json:"on_dead" enum:"skip,hold"`
	Redirects      int               `json:"redirects"`
	Retry          Retry             `json:"retry"`
	Success        []string          `json:"success,omitempty" doc:"Statuses of answers that take the event. Missing: 2xx."`
	Permanent      []string          `json:"permanent,omitempty" doc:"Statuses of answers after which a delivery is dead at once."`
	Circuit        Circuit           `json:"circuit"`
	Batch          *Batch            `json:"batch,omitempty" doc:"How many events share a request. Missing: each has its own."`
	Auth           *EndpointAuth     `json:"auth,omitempty" doc:"How requests show who sends them, without its secret."`
	TLS            *EndpointTLS      `json:"tls,omitempty" doc:"What its connections have of their own, without the key."`
	ParkAfter      string            `json:"park_after"`
	DisableAfter   string            `json:"disable_after" doc:"A duration, or never."`
	Stats          EndpointStats     `json:"stats"`
	Admission      *Admission        `json:"admission,omitempty" doc:"How much it is sent now; only of one endpoint, from the process that delivers."`
	Version        int64             `json:"version" doc:"Raised by every change; the ETag."`
	CreatedAt      time.Time         `json:"created_at"`
	UpdatedAt      time.Time         `json:"updated_at"`

	PayloadVersion string `json:"payload_version,omitempty" doc:"The version of the events' data that it gets. Missing: the configuration has no versions."`
}

// show returns an endpoint as the API shows it.
func show(row *ledger.EndpointRow, cfg *config.Endpoint, stats query.Stats) Endpoint {
	e := Endpoint{
		ID: row.ID, Name: row.Name, URL: row.URL, Description: row.Description, Status: row.Status,
		DisabledReason: row.DisabledReason, SecretPrefix: row.SecretPrefix, Source: row.Source, Origin: row.Origin,
		Tenant: row.Tenant, Version: row.Version, CreatedAt: row.CreatedAt.UTC(), UpdatedAt: row.UpdatedAt.UTC(),
		Signature: string(cfg.Signature), Format: string(cfg.Format), Timeout: cfg.Timeout.String(),
		Concurrency: cfg.Concurrency, Rate: rateText(cfg.Rate), Ordering: string(cfg.Ordering), OnDead: string(cfg.OnDead), Redirects: cfg.Redirects,
		ParkAfter: cfg.ParkAfter.String(), DisableAfter: "never", HeaderNames: []string{}, Events: []string{},
		Auth: showAuth(&cfg.Auth), TLS: showTLS(&cfg.TLS), Query: cfg.Query,
		Method: cmp.Or(cfg.Method, http.MethodPost), HTTP: cfg.HTTP, Gzip: cfg.Gzip, Answer: string(cmp.Or(cfg.Answer, config.AnswerStatus)), Verify: string(cfg.Verify), Success: cfg.Retry.Success, Permanent: cfg.Retry.Permanent,
		Retry:   Retry{Schedule: make([]string, 0, len(cfg.Retry.Schedule))},
		Circuit: Circuit{Failures: cfg.Circuit.Failures}, Stats: totals(stats),
		Subscriptions: make([]Subscription, 0, len(cfg.Subscriptions)),
	}
	e.PayloadVersion = cfg.Version
	if proof := cfg.Proof(); proof != "" && proof != row.Verified {
		e.Unverified, e.VerifyError = true, row.VerifyError
	}
	if !row.FailingSince.IsZero() {
		e.FailingSince = &row.FailingSince
	}
	if cfg.DisableAfter > 0 {
		e.DisableAfter = cfg.DisableAfter.String()
	}
	if cfg.Circuit.Reopen > 0 {
		e.Circuit.Reopen = cfg.Circuit.Reopen.String()
	}
	if b := cfg.Batch; b.On() {
		wait, bytes := b.Wait.String(), config.SpellSize(b.Bytes)
		e.Batch = &Batch{&b.Events, &wait, &bytes, &b.Partial}
	}
	for name := range cfg.Headers {
		e.HeaderNames = append(e.HeaderNames, name)
	}
	slices.Sort(e.HeaderNames)
	for _, d := range cfg.Retry.Schedule {
		e.Retry.Schedule = append(e.Retry.Schedule, d.String())
	}
	if e.OnDead == "" {
		e.OnDead = string(config.OnDeadSkip) // the row is older than the setting
	}
	e.showSubscriptions(cfg.Subscriptions)
	return e
}

func (e *Endpoint) showSubscriptions(subs []config.Subscription) {
	all := false
	for i := range subs {
		sub := Subscription{Events: append([]string{}, subs[i].Events...)}
		if subs[i].Where != nil {
			sub.Where = subs[i].Where.Source()
		}
		if subs[i].Body != nil {
			sub.Body = subs[i].Body.Source()
		}
		all = all || len(sub.Events) == 0
		e.Subscriptions = append(e.Subscriptions, sub)
		for _, name := range sub.Events {
			if !slices.Contains(e.Events, name) {
				e.Events = append(e.Events, name)
			}
		}
	}
	if all {
		e.Events = []string{}
	}
}

// totals sums the counters up for people.
func totals(s query.Stats) EndpointStats {
	t := EndpointStats{TotalDeliveries: s.Delivered + s.Dead, Successful: s.Delivered, Failed: s.Dead}
	if t.TotalDeliveries > 0 {
		t.SuccessRate = 100 * t.Successful / t.TotalDeliveries
	}
	return t
}

// rateText writes requests a second in the unit that makes it a whole number.
func rateText(rate float64) string {
	if rate <= 0 {
		return ""
	}
	for _, unit := range []struct {
		seconds float64
		suffix  string
	}{{1, "/s"}, {60, "/m"}, {3600, "/h"}} {
		n := rate * unit.seconds
		if whole := float64(int64(n + 0.5)); whole >= 1 && n-whole < 1e-9*n && whole-n < 1e-9*n {
			return strconv.FormatInt(int64(whole), 10) + unit.suffix
		}
	}
	return strconv.FormatFloat(rate, 'g', -1, 64) + "/s"
}

// nullable returns properties that may be null, where the object may lack them.
func nullable(properties map[string]*huma.Schema) map[string]*huma.Schema {
	all := make(map[string]*huma.Schema, len(properties))
	for name, p := range properties {
		own := *p
		own.Nullable = name != "failures"
		all[name] = &own
	}
	return all
}

// TransformSchema lets every setting be null, which resets it to its default.
func (EndpointPatch) TransformSchema(r huma.Registry, s *huma.Schema) *huma.Schema {
	for name, p := range s.Properties {
		switch {
		case name == "url" || name == "status":
		case p.Ref != "":
			// Not anyOf with null: huma takes anything for that.
			object := *r.SchemaFromRef(p.Ref)
			object.Description, object.Nullable = p.Description, true
			if name == "batch" || name == "circuit" { // what they leave out stays
				object.Properties = nullable(object.Properties)
			}
			s.Properties[name] = &object
		default:
			p.Nullable = true
			if p.Enum != nil {
				p.Enum = append(p.Enum, nil)
			}
		}
	}
	return s
}
