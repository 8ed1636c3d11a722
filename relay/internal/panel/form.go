package panel

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/api"
)

// endpointForm is an endpoint as a person writes it: text, as it was typed.
type endpointForm struct {
	ID, Version string // of the one that is changed; empty: a new one
	Name, URL, Description, Tenant,
	Events, Where, Body,
	Signature, Format, Method, HTTP, Gzip, Answer, Verify, Timeout, Rate, Concurrency, Ordering, OnDead, Retry, Success, Permanent, Query, SecretType, PayloadVersion string
	identity
	batching

	Unshown   bool // a secret was written that this page does not show again
	Several   bool // it has subscriptions that this form does not show, and leaves alone
	Catalogue []api.EventType
	Versions  []string // of events, that may be pinned; none: there are none
	Problem   *api.Problem
	Wrong     map[string]string // by field: what is wrong with it
	Nonce     string
	Title     string
	AskTenant bool
	Verdicts  map[string]verdict
	Trial     *trial // on recent events; nil: not asked for
}

// fields are the parts of a form by the names of its inputs.
func (f *endpointForm) fields() map[string]*string {
	fields := map[string]*string{
		"name": &f.Name, "url": &f.URL, "description": &f.Description, "tenant": &f.Tenant, "events": &f.Events, "where": &f.Where,
		"body": &f.Body, "signature": &f.Signature, "format": &f.Format, "timeout": &f.Timeout, "rate": &f.Rate,
		"concurrency": &f.Concurrency, "ordering": &f.Ordering, "on_dead": &f.OnDead, "method": &f.Method, "http": &f.HTTP, "gzip": &f.Gzip, "answer": &f.Answer, "verify": &f.Verify,
		"success": &f.Success, "permanent": &f.Permanent, "retry": &f.Retry, "query": &f.Query, "secret_type": &f.SecretType,
		"payload_version": &f.PayloadVersion,
	}
	maps.Copy(fields, f.identity.fields())
	maps.Copy(fields, f.batching.fields())
	return fields
}

func readForm(v *visit) *endpointForm {
	f := &endpointForm{Nonce: v.r.PostFormValue("nonce"), Version: v.r.PostFormValue("version"), Several: v.r.PostFormValue("several") != ""}
	for name, to := range f.fields() {
		*to = strings.TrimSpace(v.r.PostFormValue(name))
	}
	return f
}

// settings is the form as a call of the API. What is empty is left out, or null where that brings
// the default back. Has is what the endpoint has that is changed; nil: it is a new one.
func (f *endpointForm) settings(has *api.Endpoint) map[string]any {
	s, change := map[string]any{"url": f.URL}, has != nil
	if change {
		was := identityOf(has)
		f.put(s, &was, !config.SameReceiver(has.URL, f.URL))
	} else {
		f.put(s, nil, false)
	}
	put := func(name string, value any, empty bool) {
		switch {
		case !empty:
			s[name] = value
		case change:
			s[name] = nil
		}
	}
	for name, text := range map[string]string{
		"name": f.Name, "description": f.Description, "signature": f.Signature, "format": f.Format, "timeout": f.Timeout, "rate": f.Rate,
		"ordering": f.Ordering, "on_dead": f.OnDead, "method": f.Method, "http": f.HTTP, "answer": f.Answer, "verify": f.Verify,
	} {
		put(name, text, text == "")
	}
	if n, err := strconv.Atoi(f.Concurrency); err == nil {
		put("concurrency", n, false)
	} else {
		put("concurrency", f.Concurrency, f.Concurrency == "")
	}
	put("gzip", true, f.Gzip == "")
	if f.PayloadVersion != "" { // left out it stays, or is the newest of a new one
		s["payload_version"] = f.PayloadVersion
	}
	put("success", words(f.Success), f.Success == "")
	put("permanent", words(f.Permanent), f.Permanent == "")
	batch := f.batching.settings(change)
	put("batch", batch, batch == nil)
	put("query", pairs(f.Query, "="), f.Query == "")
	put("retry", map[string]any{"schedule": words(f.Retry)}, f.Retry == "")
	if !f.Several {
		events := words(f.Events)
		put("events", events, len(events) == 0)
		put("where", f.Where, f.Where == "")
		put("body", f.Body, f.Body == "")
	}
	if !change && f.Tenant != "" {
		s["tenant"] = f.Tenant
	}
	if !change && f.SecretType != "" {
		s["secret_type"] = f.SecretType
	}
	return s
}

// pairs reads a name and a value in each line, as in tenant=${event.tenant}.
func pairs(text, between string) map[string]string {
	all := make(map[string]string)
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			name, value, _ := strings.Cut(line, between)
			all[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return all
}

// checkLines refuses a name that two lines have, of which the API would see one, and a header
// without a colon, which it would take for a name and repeat in its answer, value and all.
func (f *endpointForm) checkLines() *api.Problem {
	p := refuse(http.StatusUnprocessableEntity, "The request is not valid.")
	fail := func(field, detail string) {
		p.Errors = append(p.Errors, api.FieldProblem{Pointer: "#/" + field, Detail: detail})
	}
	for _, field := range [][3]string{{"query", f.Query, "="}, {"headers", f.Headers, ":"}} {
		n, seen := 0, make(map[string]bool)
		for line := range strings.Lines(field[1]) {
			n++
			name, _, found := strings.Cut(strings.TrimSpace(line), field[2])
			name = strings.TrimSpace(name)
			switch {
			case name == "" && !found:
			case !found && field[0] == "headers":
				fail(field[0], fmt.Sprintf("Line %d has no colon: write the name, a colon and the value.", n))
			case seen[name]:
				fail(field[0], name+" is there twice: remove one of the two.")
			}
			seen[name] = found
		}
	}
	if len(p.Errors) == 0 {
		return nil
	}
	return p
}

// parameterLines is pairs the other way.
func parameterLines(query map[string]string) string {
	lines := make([]string, 0, len(query))
	for _, name := range slices.Sorted(maps.Keys(query)) {
		lines = append(lines, name+"="+query[name])
	}
	return strings.Join(lines, "\n")
}

// refused notes what the API said of the fields.
func (f *endpointForm) refused(p *api.Problem) {
	f.Problem, f.Wrong = p, make(map[string]string)
	for _, e := range p.Errors {
		part := strings.TrimPrefix(strings.TrimPrefix(e.Pointer, "#"), "/")
		name, _, _ := strings.Cut(part, "/")
		if input := inputOf(part); input != "" {
			name = input
		}
		if f.Wrong[name] != "" {
			f.Wrong[name] += " "
		}
		f.Wrong[name] += plainly(e.Detail)
	}
}

func showForm(v *visit, status int, f *endpointForm) error {
	var types api.Page[api.EventType]
	if err := v.get("/v1/event-types", queryOf("limit", textOf(namesKnown)), &types); err != nil {
		return err
	}
	if err := f.readVersions(v); err != nil {
		return err
	}
	f.Catalogue, f.AskTenant = types.Data, v.session.Tenant() == ""
	if f.Nonce == "" {
		f.Nonce = newToken()
	}
	f.Title = "New endpoint"
	if f.ID != "" {
		f.Title = "Change " + f.Name
	}
	f.Unshown = f.hideHeaders() || f.AuthSecret != "" || f.CertKey != "" || f.AssertionKey != ""
	f.Verdicts = map[string]verdict{"where": judgeWhere(f.Where), "body": judgeBody(f.Body)}
	v.show(status, "endpoint-form", f.Title, "endpoints", f)
	return nil
}

// readVersions reads what an endpoint may pin. One that the configuration no longer has stays where
// it is, so that saving the form changes nothing without a word.
func (f *endpointForm) readVersions(v *visit) error {
	var all api.PayloadVersions
	if err := v.get("/v1/versions", nil, &all); err != nil {
		return err
	}
	for i := range all.Data {
		f.Versions = append(f.Versions, all.Data[i].Name)
	}
	if f.PayloadVersion != "" && !slices.Contains(f.Versions, f.PayloadVersion) {
		f.Versions = append(f.Versions, f.PayloadVersion)
	}
	return nil
}

func newEndpoint(v *visit) error {
	return showForm(v, http.StatusOK, &endpointForm{Events: strings.Join(v.r.URL.Query()["type"], "\n")})
}

func createEndpoint(v *visit) error {
	f := readForm(v)
	if v.r.PostFormValue("act") == "try" {
		return tryForm(v, f, "/v1/endpoints/backtest")
	}
	if p := f.checkLines(); p != nil {
		f.refused(p)
		return showForm(v, p.Status, f)
	}
	var made api.Endpoint
	err := v.do(api.Request{Method: http.MethodPost, Path: "/v1/endpoints", Header: onceHeader(v), Body: f.settings(nil)}, &made)
	if p := problemOf(err); p != nil && p.Status < http.StatusInternalServerError && p.Status != http.StatusUnauthorized {
		f.refused(p)
		return showForm(v, p.Status, f)
	}
	if err != nil {
		return err
	}
	to := "endpoints/" + url.PathEscape(made.ID)
	if !isFresh(v, made.CreatedAt) {
		v.see(to, "made-before")
		return nil
	}
	v.show(http.StatusOK, "secret", "The secret", "endpoints", &secretPage{
		Title: made.Name + " is made", Secret: made.Secret, PublicKey: made.PublicKey, To: to, EndpointID: made.ID,
		What: "The receiver verifies signatures with it. Events that commit from now on go to the endpoint.",
	})
	return nil
}

// editable refuses endpoints that are declared elsewhere.
func editable(e *api.Endpoint) error {
	if e.Source != "config" {
		return nil
	}
	where := "in the configuration file"
	if e.Origin != "" {
		where = "at " + e.Origin
	}
	return refuse(http.StatusConflict, fmt.Sprintf("Endpoint %q is declared %s: change it there, and reload the configuration.", e.Name, where))
}

func editEndpoint(v *visit) error {
	e, err := readEndpoint(v)
	if err != nil {
		return err
	}
	if err := editable(&e); err != nil {
		return err
	}
	f := &endpointForm{
		ID: e.ID, Version: strconv.FormatInt(e.Version, 10), Name: e.Name, URL: e.URL, Description: e.Description, Tenant: e.Tenant,
		Signature: e.Signature, Format: e.Format, Timeout: e.Timeout, Rate: e.Rate, Concurrency: strconv.Itoa(e.Concurrency),
		Ordering: e.Ordering, OnDead: e.OnDead, Method: e.Method, HTTP: e.HTTP, Answer: e.Answer, Verify: e.Verify, Success: strings.Join(e.Success, " "), Permanent: strings.Join(e.Permanent, " "),
		Retry: strings.Join(spans(e.Retry.Schedule), " "), identity: identityOf(&e), batching: batchingOf(&e),
		PayloadVersion: e.PayloadVersion, Query: parameterLines(e.Query),
	}
	if e.Gzip {
		f.Gzip = "true"
	}
	switch len(e.Subscriptions) {
	case 0:
	case 1:
		s := &e.Subscriptions[0]
		f.Events, f.Where, f.Body = strings.Join(s.Events, "\n"), s.Where, s.Body
	default:
		f.Several = true
	}
	return showForm(v, http.StatusOK, f)
}

func saveEndpoint(v *visit) error {
	f := readForm(v)
	f.ID = v.r.PathValue("id")
	if v.r.PostFormValue("act") == "try" {
		return tryForm(v, f, pathOf("endpoints", f.ID, "backtest"))
	}
	if p := f.checkLines(); p != nil {
		f.refused(p)
		return showForm(v, p.Status, f)
	}
	e, err := readEndpoint(v)
	if err != nil {
		return err
	}
	in := api.Request{Method: http.MethodPatch, Path: pathOf("endpoints", f.ID), Body: f.settings(&e)}
	if f.Version != "" {
		in.Header = http.Header{"If-Match": {strconv.Quote(f.Version)}}
	}
	err = v.do(in, nil)
	p := problemOf(err)
	switch {
	case p != nil && p.Status == http.StatusPreconditionFailed:
		f.Problem = refuse(p.Status, "Somebody changed the endpoint since this form was opened. Open it again to see what, and make your change there.")
		return showForm(v, p.Status, f)
	case p != nil && p.Status < http.StatusInternalServerError && p.Status != http.StatusUnauthorized && p.Status != http.StatusNotFound:
		f.refused(p)
		return showForm(v, p.Status, f)
	case err != nil:
		return err
	}
	v.see("endpoints/"+url.PathEscape(f.ID), "saved")
	return nil
}
