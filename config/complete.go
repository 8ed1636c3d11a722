package config

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/tailpost/tailpost/outbox"
)

// The defaults.
const (
	defaultSlot        = "tailpost"
	defaultTimeout     = 15 * time.Second
	defaultConcurrency = 32
	defaultParkAfter   = time.Second
	defaultReopen      = 30 * time.Second
	defaultFailures    = 10 // of a circuit block that does not say
	defaultAudit       = time.Hour
	defaultAttempts    = 30 * 24 * time.Hour
	defaultDead        = 30 * 24 * time.Hour
	defaultStats       = 90 * 24 * time.Hour
	defaultLogLevel    = "info"
	defaultLogFormat   = "json"
)

// DefaultSchedule is when failed deliveries are attempted again unless their endpoint says
// otherwise: 10 attempts over about three days.
func DefaultSchedule() []time.Duration {
	return []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour,
		20 * time.Hour, 24 * time.Hour,
	}
}

// Complete fills in the defaults of what is zero and checks every rule, as Load does for files. The
// error is of type Diagnostics and lists all problems. The receiver is left as it is.
func (c Config) Complete() (*Config, error) {
	var diags Diagnostics
	done := c.complete(func(p problem) {
		diags = append(diags, Diagnostic{
			Severity: SeverityError, Field: p.field.text(&c), Summary: p.summary, Detail: p.detail,
		})
	})
	if len(diags) > 0 {
		return nil, diags
	}
	return done, nil
}

// unnamedColumns returns the default mapping where no column is named: the table may lack those
// that an event can do without.
func unnamedColumns() outbox.Mapping {
	m := outbox.DefaultMapping()
	m.Optional = outbox.Optional{Key: true, Tenant: true, Headers: true, CreatedAt: true}
	return m
}

// complete returns a copy with defaults, and reports what breaks a rule.
func (c Config) complete(report func(problem)) *Config {
	c.Database.Slot = cmp.Or(c.Database.Slot, defaultSlot)
	if c.Outbox.Mapping.IsZero() && c.Outbox.Messages == "" {
		c.Outbox.Mapping = unnamedColumns()
	}
	c.Outbox.AuditInterval = cmp.Or(c.Outbox.AuditInterval, defaultAudit)
	c.Retention.Attempts = cmp.Or(c.Retention.Attempts, defaultAttempts)
	c.Retention.Dead = cmp.Or(c.Retention.Dead, defaultDead)
	c.Retention.Stats = cmp.Or(c.Retention.Stats, defaultStats)
	c.Log.Level = cmp.Or(c.Log.Level, defaultLogLevel)
	c.Log.Format = cmp.Or(c.Log.Format, defaultLogFormat)
	c.Network.Allow, c.Network.NoProxy = slices.Clone(c.Network.Allow), slices.Clone(c.Network.NoProxy)
	c.Secrets.Keys = slices.Clone(c.Secrets.Keys)
	c.Versions = c.Versions.complete()
	c.Endpoints = slices.Clone(c.Endpoints)
	schedule := DefaultSchedule()
	for i := range c.Endpoints {
		completeEndpoint(&c.Endpoints[i], c.Versions, schedule)
	}
	c.Fanout.complete()
	c.API.complete()
	c.Panel.Portal.Verify = cmp.Or(c.Panel.Portal.Verify, VerifyEcho)
	c.Catalogue.complete()
	check := checker{config: &c, report: report, endpoint: global}
	check.all()
	return &c
}

// completeEndpoint fills in the defaults of an endpoint, the given schedule among them, and copies
// what the caller may change yet.
func completeEndpoint(e *Endpoint, versions Versions, schedule []time.Duration) {
	versions.Pin(e, versions.Newest())
	e.Name = cmp.Or(e.Name, e.ID)
	e.Signature = cmp.Or(e.Signature, SignatureStandard)
	e.Format = cmp.Or(e.Format, FormatStandard)
	e.Timeout = cmp.Or(e.Timeout, defaultTimeout)
	e.Concurrency = cmp.Or(e.Concurrency, defaultConcurrency)
	e.Ordering = cmp.Or(e.Ordering, OrderingNone)
	e.OnDead = cmp.Or(e.OnDead, OnDeadSkip)
	e.Answer = cmp.Or(e.Answer, AnswerStatus)
	e.Method = cmp.Or(e.Method, http.MethodPost)
	e.ParkAfter = cmp.Or(e.ParkAfter, defaultParkAfter)
	if e.Circuit.Failures > 0 {
		e.Circuit.Reopen = cmp.Or(e.Circuit.Reopen, defaultReopen)
	}
	completeBatch(&e.Batch)
	if e.Retry.Schedule == nil {
		e.Retry.Schedule = schedule
	} else {
		e.Retry.Schedule = slices.Clone(e.Retry.Schedule)
	}
	e.Retry.Success, e.Retry.Permanent = slices.Clone(e.Retry.Success), slices.Clone(e.Retry.Permanent)
	e.Secrets = slices.Clone(e.Secrets)
	e.Headers, e.Query = maps.Clone(e.Headers), maps.Clone(e.Query)
	if e.Verify == VerifyNone { // against the defaults
		e.Verify = ""
	}
	if a := &e.Auth; a.Kind == AuthOAuth2 {
		if !a.Assertion.IsZero() {
			a.Assertion.Use = cmp.Or(a.Assertion.Use, AssertClient)
		}
		if a.Assertion.Use != AssertClient {
			a.Style = cmp.Or(a.Style, OAuth2Header)
		}
	}
	e.Auth.Scopes = slices.Clone(e.Auth.Scopes)
	e.Subscriptions = slices.Clone(e.Subscriptions)
	if len(e.Subscriptions) == 0 {
		e.Subscriptions = []Subscription{{}}
	}
}
