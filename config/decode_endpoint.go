package config

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/tailpost/tailpost/config/filter"
)

// policyAttributes are those that the defaults block takes too.
func policyAttributes() []string {
	return []string{
		"signature", "format", "headers", "timeout", "concurrency", "rate", "ordering", "on_dead", "redirects", "park_after", "disable_after",
		"method", "success", "permanent", "http", "gzip", "answer", "verify",
		"version", "query",
	}
}

func policyBlocks() []string {
	return []string{"retry", "circuit", "batch"}
}

// endpointAttributes are those of an endpoint block only.
func endpointAttributes() []string {
	return []string{"url", "description", "secret", "tenant"}
}

// endpoint decodes an endpoint block over the defaults.
func (d *decoder) endpoint(top *section, b *hclsyntax.Block) {
	e := d.base
	e.Headers, e.Query = maps.Clone(e.Headers), maps.Clone(e.Query)
	e.Retry.Schedule = slices.Clone(e.Retry.Schedule)
	e.Retry.Success, e.Retry.Permanent = slices.Clone(e.Retry.Success), slices.Clone(e.Retry.Permanent)
	e.Origin = Origin{File: top.src.Name(), Line: b.TypeRange.Start.Line}
	if len(b.Labels) > 0 {
		e.ID = b.Labels[0]
	}
	index := len(d.config.Endpoints)
	d.endpointPlaces(index, b.DefRange())
	s := top.nested(b, "", "an endpoint")
	s.endpoint = index
	s.check(slices.Concat(endpointAttributes(), policyAttributes()), append(policyBlocks(), "subscription", "auth", "tls"))
	if len(b.Labels) == 0 {
		d.spoil(index, "") // the label is missing, which check reported; the rules would call it invalid
	}
	if text, marked, ok := s.address("url"); ok {
		e.URL, e.SensitiveURL = text, e.SensitiveURL || marked
	}
	e.Description, _ = s.text("description")
	e.Tenant, _ = s.text("tenant")
	e.Secrets = s.secrets("secret")
	d.policy(s, &e)
	s.auth(&e.Auth)
	s.clientTLS(&e.TLS)
	for i, inner := range blocksOf(b.Body, "subscription") {
		e.Subscriptions = append(e.Subscriptions, d.subscription(s, inner, i))
	}
	d.config.Endpoints = append(d.config.Endpoints, e)
}

func blocksOf(body *hclsyntax.Body, blockType string) []*hclsyntax.Block {
	var found []*hclsyntax.Block
	for _, b := range body.Blocks {
		if b.Type == blockType {
			found = append(found, b)
		}
	}
	return found
}

// policy decodes what endpoints and the defaults block share, over what e holds already.
func (d *decoder) policy(s *section, e *Endpoint) {
	if text, ok := s.text("signature"); ok {
		e.Signature = Signature(text)
	}
	if text, ok := s.text("format"); ok {
		e.Format = Format(text)
	}
	if text, ok := s.text("ordering"); ok {
		e.Ordering = Ordering(text)
	}
	if text, ok := s.text("on_dead"); ok {
		e.OnDead = OnDead(text)
	}
	if text, ok := s.text("verify"); ok {
		e.Verify = Verify(text)
	}
	if text, ok := s.text("answer"); ok {
		e.Answer = Answer(text)
	}
	for name, to := range map[string]*string{"method": &e.Method, "http": &e.HTTP, "version": &e.Version} {
		set(to)(s.text(name))
	}
	if s.body.Attributes["gzip"] != nil {
		e.Gzip = s.flag("gzip")
	}
	s.statuses("success", &e.Retry.Success)
	s.statuses("permanent", &e.Retry.Permanent)
	if headers, _, ok := s.addresses("headers"); ok {
		s.literalHeaders()
		e.Headers = headers
	}
	if query, marked, ok := s.addresses("query"); ok {
		e.Query, e.SensitiveURL = query, e.SensitiveURL || marked
	}
	set(&e.Timeout)(s.duration("timeout"))
	set(&e.ParkAfter)(s.duration("park_after"))
	if text, ok := s.text("disable_after"); ok {
		e.DisableAfter = 0
		if text != "never" {
			set(&e.DisableAfter)(s.duration("disable_after"))
		}
	}
	s.count("concurrency", &e.Concurrency, 1)
	s.count("redirects", &e.Redirects, 0)
	if text, ok := s.text("rate"); ok {
		e.Rate = s.rate(text)
	}
	if b := s.single("retry"); b != nil {
		inner := s.nested(b, "retry.", "a retry block")
		inner.check([]string{"schedule"}, nil)
		inner.schedule(&e.Retry)
	}
	if b := s.single("circuit"); b != nil {
		inner := s.nested(b, "circuit.", "a circuit block")
		inner.check([]string{"failures", "reopen"}, nil)
		if e.Circuit.Failures == 0 {
			e.Circuit.Failures = defaultFailures
		}
		inner.count("failures", &e.Circuit.Failures, 1)
		set(&e.Circuit.Reopen)(inner.duration("reopen"))
	}
	decodeBatch(s, &e.Batch)
}

// literalHeaders warns of credentials that stand in the file.
func (s *section) literalHeaders() {
	object, ok := filter.Unwrap(s.body.Attributes["headers"].Expr).(*hclsyntax.ObjectConsExpr)
	if !ok {
		return
	}
	for _, item := range object.Items {
		context := &hcl.EvalContext{Functions: s.functions}
		key, _ := item.KeyExpr.Value(context) // errors are reported already
		if seesEvent(item.ValueExpr) {
			continue
		}
		value, _ := item.ValueExpr.Value(context)
		key, _ = key.UnmarkDeep()
		if key.Type() != cty.String || !key.IsKnown() || key.IsNull() || value.ContainsMarked() {
			continue
		}
		switch strings.ToLower(key.AsString()) {
		case "authorization", "cookie", "x-api-key", "x-auth-token", "api-key":
			s.literal(item.ValueExpr.Range())
		}
	}
}

// set returns a function that keeps what a getter found.
func set[T any](to *T) func(v T, ok bool) {
	return func(v T, ok bool) {
		if ok {
			*to = v
		}
	}
}

// count decodes a number that is at least least. Zero would mean the default to the rules, which is
// not what was written.
func (s *section) count(name string, to *int, least int) {
	n, ok := s.integer(name)
	if !ok {
		return
	}
	if n < least {
		s.wrong(name, s.body.Attributes[name].Expr.Range(), "Number out of range", "Write a number from %d.", least)
		return
	}
	*to = n
}

// statuses decodes a list of statuses, which may be written as numbers. An empty list would mean
// the default to the rules, which is not what was written.
func (s *section) statuses(name string, to *Statuses) {
	texts, ok := s.texts(name)
	if !ok {
		return
	}
	if len(texts) == 0 {
		s.wrong(name, s.body.Attributes[name].Expr.Range(), "Empty list", "Write statuses, such as [\"2xx\", 409], or leave %s out.", name)
		return
	}
	*to = texts
}

// rate reads "100/s", "100/m" or "100/h" as requests a second.
func (s *section) rate(text string) float64 {
	n, ok := ParseRate(text)
	if !ok {
		s.wrong("rate", s.body.Attributes["rate"].Expr.Range(), "Invalid rate",
			`Write a number above zero and a unit, such as "100/s", "30/m" or "1000/h".`)
	}
	return n
}

// ParseRate reads a rate such as "100/s", "30/m" or "1000/h" as requests a second.
func ParseRate(text string) (perSecond float64, ok bool) {
	number, unit, _ := strings.Cut(text, "/")
	seconds := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || seconds == 0 || !(n > 0) || n > 1e12 {
		return 0, false
	}
	return n / seconds, true
}

func (s *section) schedule(r *Retry) {
	texts, ok := s.texts("schedule")
	if !ok {
		return
	}
	r.Schedule = make([]time.Duration, 0, len(texts))
	for i, text := range texts {
		delay, detail := parseDuration(text)
		if detail != "" {
			at, placed := s.d.places[s.endpoint][fmt.Sprintf("retry.schedule[%d]", i)]
			if !placed {
				at = s.body.Attributes["schedule"].Expr.Range()
			}
			s.wrong(fmt.Sprintf("schedule[%d]", i), at, "Invalid duration", "%s", detail)
		}
		r.Schedule = append(r.Schedule, delay)
	}
}

// subscription decodes a subscription block.
func (d *decoder) subscription(s *section, b *hclsyntax.Block, index int) Subscription {
	prefix := fmt.Sprintf("subscription[%d]", index)
	d.place(s.endpoint, prefix, b.DefRange())
	inner := s.nested(b, prefix+".", "a subscription")
	inner.check([]string{"events", "where", "body"}, nil)
	var sub Subscription
	sub.Events, _ = inner.texts("events")
	for i, pattern := range sub.Events {
		if pattern == "*" {
			at := d.places[s.endpoint][fmt.Sprintf("%s.events[%d]", prefix, i)]
			d.diags = append(d.diags, s.src.Diagnose(SeverityWarning, at, "Types without a dot only",
				`"*" stands for one segment: it takes "ping", not "order.paid". Write "**" for all types, or leave events out.`))
		}
	}
	sub.Where, sub.Body = inner.selection()
	return sub
}

// selection decodes the expressions where and body.
func (s *section) selection() (where *Filter, body *Body) {
	if expr, text := s.expression("where"); expr != nil {
		compiled, diags := filter.CompileSyntax(s.src, expr, text)
		where = compiled
		s.d.diags = append(s.d.diags, diags...)
	}
	if expr, text := s.expression("body"); expr != nil {
		compiled, diags := filter.CompileBodySyntax(s.src, expr, text)
		body = compiled
		s.d.diags = append(s.d.diags, diags...)
	}
	return where, body
}

// expression returns an attribute's expression and its text, or nil.
func (s *section) expression(name string) (expr hclsyntax.Expression, text string) {
	attr := s.body.Attributes[name]
	if attr == nil {
		return nil, ""
	}
	at := hcl.Range{Start: attr.EqualsRange.End, End: attr.SrcRange.End}
	if !at.CanSliceBytes(s.src.Text()) {
		at = attr.Expr.Range()
	}
	return attr.Expr, string(bytes.TrimSpace(at.SliceBytes(s.src.Text())))
}

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
		inner.oauth2(b, to)
	}
	if len(found) != 1 {
		s.wrong("auth", b.DefRange(), "One way to authenticate", "Write one of bearer = …, basic { … } and oauth2 { … }.")
	}
}

// oauth2 decodes an oauth2 block.
func (s *section) oauth2(b *hclsyntax.Block, to *Auth) {
	inner := s.nested(b, "auth.oauth2.", "an oauth2 block")
	inner.check([]string{"token_url", "client_id", "client_secret", "scopes", "audience", "style"}, []string{"assertion"})
	to.Kind, to.Secret = AuthOAuth2, inner.secret("client_secret", isText)
	to.TokenURL, _ = inner.text("token_url")
	to.ClientID, _ = inner.text("client_id")
	to.Audience, _ = inner.text("audience")
	to.Style, _ = inner.text("style")
	if scopes, ok := inner.texts("scopes"); ok {
		to.Scopes = slices.Clone(scopes)
	}
	if b := inner.single("assertion"); b != nil {
		inner.assertion(b, &to.Assertion)
	}
}

// assertion decodes an assertion block. Its key is PEM itself: file("tailpost.key") reads it, and
// is read again when the file changes.
func (s *section) assertion(b *hclsyntax.Block, to *Assertion) {
	inner := s.nested(b, "auth.oauth2.assertion.", "an assertion block")
	inner.check([]string{"use", "key", "key_id", "algorithm", "issuer", "subject", "audience"}, nil)
	to.Use, to.Key = AssertClient, inner.secret("key", isText)
	for name, text := range map[string]*string{
		"use": &to.Use, "key_id": &to.KeyID, "algorithm": &to.Algorithm, "issuer": &to.Issuer, "subject": &to.Subject, "audience": &to.Audience,
	} {
		if value, ok := inner.text(name); ok {
			*text = value
		}
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
