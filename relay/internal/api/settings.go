package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// settler puts the settings of a request into an endpoint and gathers what is wrong with them.
type settler struct {
	e        *config.Endpoint
	sealed   ledger.Sealed // of the row that is changed; zero: there is none yet
	problems []FieldProblem
	moved    bool // the request goes to another receiver
	flat     bool // the request has events, where or body, not subscriptions
	guarded  bool // the portal asks for verify, whatever the request says
}

func (s *settler) fail(pointer, detail string) {
	s.problems = append(s.problems, at(pointer, "%s", detail))
}

// nulls lists the settings that a body sets to null, and the parts of batch and circuit.
func nulls(raw []byte) []string {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return nil
	}
	var names []string
	for name, value := range members {
		switch {
		case string(value) == "null":
			names = append(names, name)
		case name == "batch" || name == "circuit":
			for _, part := range nulls(value) {
				names = append(names, name+"/"+part)
			}
		}
	}
	return names
}

// reset brings settings back to their defaults, which complete fills in.
func (s *settler) reset(names []string) { //nolint:funlen // a case for each setting
	var zero config.Endpoint
	e := s.e
	for _, name := range names {
		switch name {
		case "name":
			e.Name = ""
		case "description":
			e.Description = ""
		case "events", "subscriptions":
			e.Subscriptions = nil
		case "where":
			s.one(func(sub *config.Subscription) { sub.Where = nil })
		case "body":
			s.one(func(sub *config.Subscription) { sub.Body = nil })
		case "signature":
			e.Signature = ""
		case "format":
			e.Format = ""
		case "headers":
			e.Headers = nil
		case "query":
			e.Query = nil
		case "timeout":
			e.Timeout = 0
		case "concurrency":
			e.Concurrency = 0
		case "rate":
			e.Rate = 0
		case "ordering":
			e.Ordering = ""
		case "on_dead":
			e.OnDead = ""
		case "auth":
			e.Auth = zero.Auth
		case "tls":
			e.TLS = zero.TLS
		case "method":
			e.Method = ""
		case "http":
			e.HTTP = ""
		case "payload_version":
			e.Version = "" // finish pins the newest
		case "gzip":
			e.Gzip = false
		case "answer":
			e.Answer = ""
		case "verify":
			e.Verify = ""
		case "success":
			e.Retry.Success = nil
		case "permanent":
			e.Retry.Permanent = nil
		case "redirects":
			e.Redirects = 0
		case "retry":
			e.Retry.Schedule = nil
		case "circuit":
			e.Circuit = zero.Circuit
		case "batch":
			e.Batch = zero.Batch
		case "batch/events":
			e.Batch.Events = config.DefaultBatch().Events
		case "batch/wait":
			e.Batch.Wait = config.DefaultBatch().Wait
		case "batch/bytes":
			e.Batch.Bytes = config.DefaultBatch().Bytes
		case "batch/partial":
			e.Batch.Partial = false
		case "circuit/reopen":
			e.Circuit.Reopen = 0
		case "park_after":
			e.ParkAfter = 0
		case "disable_after":
			e.DisableAfter = 0
		default:
			s.fail("/"+escapePointer(name), "It has no default to go back to: leave it out, or give a value.")
		}
	}
}

// one changes the only subscription.
func (s *settler) one(change func(*config.Subscription)) {
	switch len(s.e.Subscriptions) {
	case 0:
		s.e.Subscriptions = []config.Subscription{{}}
	case 1:
		s.e.Subscriptions = append([]config.Subscription{}, s.e.Subscriptions...)
	default:
		s.fail("/subscriptions", "This endpoint has several subscriptions: change them through subscriptions.")
		return
	}
	change(&s.e.Subscriptions[0])
}

// name refuses a name that could look like another one.
func (s *settler) name(text *string) {
	if text == nil {
		return
	}
	if err := config.CheckName(*text); err != nil {
		s.fail("/name", sentence(err.Error()))
	}
}

// apply puts in what a request has.
func (s *settler) apply(in *EndpointSettings) {
	e := s.e
	set(&e.Name, in.Name)
	s.name(in.Name)
	set(&e.Description, in.Description)
	setText(&e.Signature, in.Signature)
	setText(&e.Format, in.Format)
	setText(&e.Ordering, in.Ordering)
	setText(&e.OnDead, in.OnDead)
	set(&e.Method, in.Method)
	set(&e.HTTP, in.HTTP)
	set(&e.Gzip, in.Gzip)
	setText(&e.Answer, in.Answer)
	setText(&e.Verify, in.Verify)
	set(&e.Version, in.PayloadVersion)
	setTexts(&e.Retry.Success, in.Success)
	setTexts(&e.Retry.Permanent, in.Permanent)
	s.headers(in.Headers)
	set(&e.Query, in.Query)
	s.auth(in.Auth)
	s.tls(in.TLS)
	set(&e.Concurrency, in.Concurrency)
	set(&e.Redirects, in.Redirects)
	s.duration("/timeout", &e.Timeout, in.Timeout)
	s.duration("/park_after", &e.ParkAfter, in.ParkAfter)
	if in.DisableAfter != nil && *in.DisableAfter == "never" {
		e.DisableAfter = 0
	} else {
		s.duration("/disable_after", &e.DisableAfter, in.DisableAfter)
	}
	if in.Rate != nil {
		rate, ok := config.ParseRate(*in.Rate)
		if !ok {
			s.fail("/rate", `Write a number above zero and a unit, such as "100/s", "30/m" or "1000/h".`)
		}
		e.Rate = rate
	}
	if in.Retry != nil {
		e.Retry.Schedule = make([]time.Duration, len(in.Retry.Schedule))
		for i := range in.Retry.Schedule {
			s.duration("/retry/schedule/"+strconv.Itoa(i), &e.Retry.Schedule[i], &in.Retry.Schedule[i])
		}
	}
	if in.Circuit != nil {
		e.Circuit.Failures = in.Circuit.Failures
		if in.Circuit.Reopen != "" {
			s.duration("/circuit/reopen", &e.Circuit.Reopen, &in.Circuit.Reopen)
		}
	}
	s.batch(in.Batch)
	s.subscriptions(in)
}

// batch changes how events share requests: what it leaves out stays, or has its default where each
// had a request of its own.
func (s *settler) batch(in *Batch) {
	if in == nil {
		return
	}
	b := s.e.Batch
	if !b.On() {
		b = config.DefaultBatch()
	}
	set(&b.Events, in.Events)
	set(&b.Partial, in.Partial)
	var ok bool
	if in.Wait != nil {
		if b.Wait, ok = config.ParseWait(*in.Wait); !ok {
			s.fail("/batch/wait", `Write "0s" or a number and a unit, such as "200ms" or "1s".`)
		}
	}
	if in.Bytes != nil {
		if b.Bytes, ok = config.ParseSize(*in.Bytes); !ok {
			s.fail("/batch/bytes", `Write a number and a unit, such as "500KB", "1MB" or "256KiB".`)
			b.Bytes = config.DefaultBatch().Bytes
		}
	}
	s.e.Batch = b
}

// moveTo changes the URL. Values of headers, authentication and certificates are for whoever they
// were given: another receiver does not inherit them.
func (s *settler) moveTo(to string) {
	if !config.SameReceiver(s.e.URL, to) {
		s.moved, s.sealed = true, ledger.Sealed{Secrets: s.sealed.Secrets}
		s.e.Query = nil
	}
	s.e.URL = to
}

// requireRestated refuses a request that would lose settings in silence: where the URL leads to
// another receiver, which inherits none of these, it has to say what becomes of each.
func (s *settler) requireRestated(to string, raw []byte) {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil || config.SameReceiver(s.e.URL, to) {
		return
	}
	for _, setting := range []struct {
		name string
		has  bool
	}{
		{"headers", len(s.sealed.Headers) > 0}, {"query", len(s.e.Query) > 0}, {"auth", s.sealed.Auth.Kind != config.AuthNone}, {"tls", !s.sealed.TLS.IsZero()},
	} {
		if _, said := members[setting.name]; setting.has && !said {
			s.fail("/"+setting.name, "The URL leads to another scheme, host or port, which does not inherit this: write it again, or null for none.")
		}
	}
}

// kept stands, as the value of a header, for the one that the endpoint has, which is shown to
// nobody.
const kept = "[redacted]"

func (s *settler) headers(in *map[string]string) {
	if in == nil {
		return
	}
	s.e.Headers = make(map[string]string, len(*in))
	for _, name := range slices.Sorted(maps.Keys(*in)) {
		value := (*in)[name]
		if value == kept {
			var found bool
			if value, found = s.header(name); !found {
				if s.moved {
					s.fail("/headers/"+escapePointer(name), "The URL has another scheme, host or port: write the value again.")
					continue
				}
				s.fail("/headers/"+escapePointer(name), kept+" keeps the value that the endpoint has, and it has none: write one.")
			}
		}
		s.e.Headers[name] = value
	}
}

// header returns the value that the endpoint has of a header.
func (s *settler) header(name string) (value string, found bool) {
	for n, value := range s.sealed.Headers {
		if strings.EqualFold(n, name) {
			return value, true
		}
	}
	return "", false
}

func (s *settler) subscriptions(in *EndpointSettings) {
	s.flat = in.Events != nil || in.Where != nil || in.Body != nil
	switch {
	case s.flat && in.Subscriptions != nil:
		s.fail("/subscriptions", "Give either subscriptions, or events, where and body.")
	case in.Subscriptions != nil:
		s.e.Subscriptions = make([]config.Subscription, 0, len(*in.Subscriptions))
		for i, sub := range *in.Subscriptions {
			pointer := "/subscriptions/" + strconv.Itoa(i)
			s.e.Subscriptions = append(s.e.Subscriptions, config.Subscription{
				Events: sub.Events, Where: s.filter(pointer+"/where", sub.Where), Body: s.body(pointer+"/body", sub.Body),
			})
		}
	case s.flat:
		s.one(func(sub *config.Subscription) {
			set(&sub.Events, in.Events)
			if in.Where != nil {
				sub.Where = s.filter("/where", *in.Where)
			}
			if in.Body != nil {
				sub.Body = s.body("/body", *in.Body)
			}
		})
	}
}

// patterns checks the types that the subscriptions name. Where the whole endpoint is checked, the
// configuration's rules do.
func (s *settler) patterns() {
	for i := range s.e.Subscriptions {
		for j, text := range s.e.Subscriptions[i].Events {
			if _, err := config.ParsePattern(text); err != nil {
				s.fail(s.pointer("subscription["+strconv.Itoa(i)+"].events["+strconv.Itoa(j)+"]"), sentence(err.Error()))
			}
		}
	}
}

func (s *settler) filter(pointer, text string) *config.Filter {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	filter, diags := config.CompileFilter(text, "where", 1)
	s.diagnose(pointer, diags)
	return filter
}

func (s *settler) body(pointer, text string) *config.Body {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	body, diags := config.CompileBody(text, "body", 1)
	s.diagnose(pointer, diags)
	return body
}

// diagnose reports what is wrong with an expression.
func (s *settler) diagnose(pointer string, diags config.Diagnostics) {
	for i := range diags {
		if d := &diags[i]; d.Severity == config.SeverityError {
			s.fail(pointer, fmt.Sprintf("At line %d, character %d: %s: %s", d.Line, d.Column, d.Summary, d.Detail))
		}
	}
}

func (s *settler) duration(pointer string, to *time.Duration, text *string) {
	if text == nil {
		return
	}
	d, err := time.ParseDuration(*text)
	if err != nil || d <= 0 {
		s.fail(pointer, `Write a number above zero and a unit, such as "500ms", "15s", "30m" or "24h".`)
		return
	}
	*to = d
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func setText[T ~string](to *T, from *string) {
	if from != nil {
		*to = T(*from)
	}
}

// setTexts puts in what a request has; an empty list is the default.
func setTexts(to *config.Statuses, from *[]string) {
	if from != nil {
		*to = *from
	}
}

// finish fills in the defaults and applies the rules of the configuration. An endpoint that pins no
// version gets the newest.
func (s *settler) finish(current *config.Config) error {
	if len(s.problems) > 0 {
		return invalid(s.problems...)
	}
	for _, d := range append(config.ValidateEndpoint(s.e, current.TenantNetwork(), current.Versions), config.CheckExtras(s.e, current.Outbox)...) {
		switch {
		case d.Severity != config.SeverityError:
		case s.guarded && d.Field == "verify":
			s.refuseExpressions()
		default:
			s.fail(s.pointer(d.Field), d.Summary+". "+d.Detail)
		}
	}
	if len(s.problems) > 0 {
		return invalid(s.problems...)
	}
	return nil
}

// pointer turns the configuration's name of a setting, such as subscription[0].events[1], into a
// pointer.
func (s *settler) pointer(field string) string {
	for _, object := range []string{"headers", "query"} {
		if name, ok := strings.CutPrefix(field, object+"."); ok {
			return "/" + object + "/" + escapePointer(name)
		}
	}
	if field == "version" {
		return "/payload_version"
	}
	if rest, ok := strings.CutPrefix(field, "auth."); ok {
		if rest == "bearer" {
			return "/auth/token"
		}
		_, member, _ := strings.Cut(rest, ".") // of basic or oauth2
		return "/auth/" + strings.ReplaceAll(member, ".", "/")
	}
	pointer := strings.NewReplacer("[", "/", "]", "", ".", "/").Replace("/" + field)
	if strings.HasPrefix(pointer, "/secret/") {
		return "/secret"
	}
	if rest, ok := strings.CutPrefix(pointer, "/subscription/0/"); ok && s.flat {
		return "/" + rest
	}
	return strings.Replace(pointer, "/subscription/", "/subscriptions/", 1)
}
