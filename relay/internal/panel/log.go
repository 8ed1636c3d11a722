package panel

import (
	"cmp"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/api"
)

// attemptRow is an attempt in a list.
type attemptRow struct {
	api.Attempt

	EndpointName string
	ShowEndpoint bool
	root         string // of the site
}

// Link is the attempt's page.
func (r *attemptRow) Link() string { return attemptLink(r.root, &r.Attempt) }

// Anchor tells rows apart within a page.
func (r *attemptRow) Anchor() string {
	const size = 8
	return hex.EncodeToString(hashOf(r.Link())[:size])
}

func attemptLink(root string, a *api.Attempt) string {
	return href(root, "attempt", "event", a.EventID, "endpoint", a.EndpointID, "at", iso(a.AttemptedAt), "n", strconv.Itoa(a.Number))
}

// attemptRows are attempts with the names of their endpoints; nil: of one endpoint, which the page
// names.
func attemptRows(v *visit, list []api.Attempt, known names) []*attemptRow {
	rows := make([]*attemptRow, len(list))
	for i := range list {
		rows[i] = &attemptRow{Attempt: list[i], ShowEndpoint: known != nil, root: v.site.root}
		if known != nil {
			rows[i].EndpointName = known.Of(list[i].EndpointID)
		}
	}
	return rows
}

// attemptTable is a list of attempts.
type attemptTable struct {
	Rows         []*attemptRow
	ShowEndpoint bool
	Tail         string // where new rows come from; empty: nowhere
	Full         bool   // what is older is on another page
}

// logPage is a list of attempts with its filters.
type logPage struct {
	Of         *api.Endpoint // whose log it is; nil: all
	Filter     logFilter
	Table      attemptTable
	Endpoints  names
	Views      []view
	Copies     []copied
	Pager      pager
	Filtered   bool
	Terms      []string // what the configuration names to search by
	FirstEvent string
}

// logFilter is the filter in the link of a log.
type logFilter struct {
	Endpoint, Event, Type, Tenant, Outcome, Class, Search, Since, Until string
}

// view is a filter that many people want.
type view struct {
	Name, Link string
	Current    bool
}

func readLogFilter(v *visit) logFilter {
	q := v.r.URL.Query()
	return logFilter{
		Endpoint: q.Get("endpoint"), Event: q.Get("event"), Type: q.Get("type"), Tenant: q.Get("tenant"), Outcome: q.Get("outcome"),
		Class: q.Get("class"), Search: q.Get("search"), Since: q.Get("since"), Until: q.Get("until"),
	}
}

// link is the filter in a link of ours.
func (f *logFilter) link() url.Values {
	return queryOf("endpoint", f.Endpoint, "event", f.Event, "type", f.Type, "tenant", f.Tenant, "outcome", f.Outcome, "class", f.Class,
		"search", f.Search, "since", f.Since, "until", f.Until)
}

// call is the filter in a call of the API.
func logCall(v *visit, f *logFilter) url.Values {
	return queryOf("endpoint_id", f.Endpoint, "event_id", f.Event, "event_type", f.Type, "tenant", f.Tenant, "outcome", f.Outcome,
		"status_class", f.Class, "search", f.Search, "since", sinceOf(v, f.Since), "until", sinceOf(v, f.Until))
}

// logSQL is the statement of a page of the log.
func logSQL(v *visit, f *logFilter) string {
	s := statement{
		columns: "attempted_at, event_id, event_type, tenant, endpoint_id, number, trigger, outcome, status_code, error, duration_ms",
		from:    "tailpost.attempt", order: "attempted_at DESC, event_id DESC, endpoint_id DESC, number DESC", limit: pageSize,
	}
	s.equal("endpoint_id", f.Endpoint)
	s.equal("event_id", f.Event)
	s.like("event_type", f.Type)
	s.equal("tenant", f.Tenant)
	s.equal("outcome", f.Outcome)
	if f.Class != "" {
		s.condition("status_code / 100 = %s::integer", f.Class[:1])
	}
	searchSQL(v, &s, f.Search)
	s.condition("attempted_at >= %s", sinceOf(v, f.Since))
	s.condition("attempted_at < %s", sinceOf(v, f.Until))
	s.tenantOf("endpoint_id", v.session.Tenant())
	return s.String()
}

// searchSQL finds what is searched for as the API does.
func searchSQL(v *visit, s *statement, text string) {
	if text == "" {
		return
	}
	name, value := config.SplitSearchTerm(text)
	names := []string{name}
	if name == "" {
		names = v.panel.config().Outbox.Search.Names()
	}
	for i, n := range names {
		names[i] = quoteSQL(config.SearchTerm(n, value))
	}
	s.where = append(s.where, "search IS NOT NULL AND search && ARRAY["+strings.Join(names, ", ")+"]::text[]")
}

func showLog(v *visit) error {
	body := &logPage{Filter: readLogFilter(v)}
	var err error
	if body.Filter.Endpoint, err = endpointOf(v, body.Filter.Endpoint); err != nil {
		return err
	}
	if err := fillLog(v, body, "log", "/v1/attempts"); err != nil {
		return err
	}
	v.show(http.StatusOK, "log", "Log", "log", body)
	return nil
}

func showEndpointLog(v *visit) error {
	e, err := readEndpoint(v)
	if err != nil {
		return err
	}
	body := &logPage{Of: &e, Filter: readLogFilter(v)}
	body.Filter.Endpoint = e.ID
	if err := fillLog(v, body, "endpoints/"+url.PathEscape(e.ID)+"/log", "/v1/attempts"); err != nil {
		return err
	}
	v.show(http.StatusOK, "log", e.Name+": log", "endpoints", body)
	return nil
}

// fillLog reads a page of attempts.
func fillLog(v *visit, body *logPage, page, path string) error {
	if err := cmp.Or(checkTimes(v, body.Filter.Since, body.Filter.Until), checkType(body.Filter.Type)); err != nil {
		return err
	}
	call, link := logCall(v, &body.Filter), body.Filter.link()
	if body.Of != nil {
		link.Del("endpoint")
	}
	asked := maps.Clone(call)
	live := body.Filter.Until == "" // nothing new belongs to a time that is over
	if cursor := v.r.URL.Query().Get("cursor"); cursor != "" {
		asked.Set("cursor", cursor)
		live = false
	}
	if live {
		asked.Set("follow", "true")
	}
	var list api.AttemptPage
	if err := v.get(path, asked, &list); err != nil {
		return err
	}
	var err error
	if body.Endpoints, err = readNames(v); err != nil {
		return err
	}
	body.Filtered, body.Terms = len(link) > 0, v.panel.config().Outbox.Search.Names()
	body.FirstEvent = firstEventSQL(&v.panel.config().Outbox)
	known := body.Endpoints
	if body.Of != nil {
		known = nil
	}
	body.Table = attemptTable{Rows: attemptRows(v, list.Data, known), ShowEndpoint: known != nil, Full: list.NextCursor != "" && len(list.Data) == pageSize}
	if live {
		q := body.Filter.link()
		q.Set("after", list.After)
		if body.Of != nil {
			q.Set("one", "1") // endpoint: its name is not repeated in each row
		}
		body.Table.Tail = v.site.root + "log/stream?" + q.Encode()
	}
	body.Pager = pagerOf(v, page, link, list.NextCursor)
	if list.NextCursor != "" && len(list.Data) < pageSize {
		body.Pager.Note = "There may be older ones."
		if body.Filtered {
			body.Pager.Note = "What the filter chooses is rare here: the search goes on with the next page."
		}
		body.Pager.Label = "Go on"
	}
	for _, w := range []struct{ name, query string }{
		{"All", ""}, {"Retry", "outcome=retry"}, {"Given up", "outcome=dead"}, {"5xx", "class=5xx"}, {"4xx", "class=4xx"}, {"Last hour", "since=1h"},
	} {
		at := v.site.root + page
		if w.query != "" {
			at += "?" + w.query
		}
		body.Views = append(body.Views, view{Name: w.name, Link: at, Current: link.Encode() == w.query})
	}
	f := &body.Filter
	body.Copies = copiesOf(v, logSQL(v, f), path, call, "attempts", "--endpoint", f.Endpoint, "--event", f.Event, "--type", f.Type, "--tenant", f.Tenant,
		"--outcome", f.Outcome, "--status", f.Class,
		"--search", f.Search, "--since", sinceOf(v, f.Since), "--until", sinceOf(v, f.Until))
	return nil
}
