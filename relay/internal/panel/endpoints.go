package panel

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// names are endpoints by id, without their counters. Beyond the newest 250, links show ids.
type names map[string]api.Endpoint

// Of is the name of an endpoint, or its id.
func (n names) Of(id string) string { return n.Named(id, "") }

// Named is the name of an endpoint, which a list may have too. An event that cannot be read has one
// delivery, which stands for those to all endpoints that might have wanted it.
func (n names) Named(id, name string) string {
	if id == "*" {
		return "every endpoint"
	}
	return cmp.Or(n[id].Name, name, id)
}

// tellApart puts beside a name that several have what tells them apart: the tenant, or else the id.
func (n names) tellApart() {
	same := make(map[string][]string) // ids by name
	for id := range n {
		name := strings.ToLower(n[id].Name)
		same[name] = append(same[name], id)
	}
	for name, ids := range same {
		if name == "" || len(ids) == 1 {
			continue
		}
		of := make(map[string]int) // how many a tenant has
		for _, id := range ids {
			of[n[id].Tenant]++
		}
		for _, id := range ids {
			e, beside := n[id], n[id].Tenant
			if beside == "" || of[beside] > 1 {
				beside = id
			}
			e.Name += " (" + beside + ")"
			n[id] = e
		}
	}
}

const namesKnown = 250

// readNames reads the endpoints that lists refer to.
func readNames(v *visit) (names, error) {
	if v.known != nil {
		return v.known, nil
	}
	known := make(names)
	if !v.may().ReadEndpoints {
		return known, nil
	}
	var list api.Page[api.Endpoint]
	if err := v.get("/v1/endpoints", queryOf("limit", textOf(namesKnown), "stats", "false"), &list); err != nil {
		return nil, err
	}
	for i := range list.Data {
		known[list.Data[i].ID] = list.Data[i]
	}
	known.tellApart()
	v.known = known
	return known, nil
}

// endpointOf returns the id of the endpoint that a person wrote the id or the name of. An id is
// itself, whatever others have as a name. A name that several have is none's: names are not
// unique, and tenants choose theirs. Text that nobody has as a name is taken for an id.
func endpointOf(v *visit, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	known, err := readNames(v)
	if _, is := known[text]; is || err != nil || !v.may().ReadEndpoints {
		return text, err
	}
	if strings.Trim(text, ".") != "" { // that would be another path
		if err := v.get(pathOf("endpoints", text), nil, nil); err == nil || !notFound(err) {
			return text, err // older than those that lists know
		}
	}
	named, more, err := namedEndpoints(v, text)
	switch {
	case err != nil:
		return "", err
	case len(named) == 0:
		return text, nil
	case len(named) == 1:
		return named[0].ID, nil
	}
	p := refuse(http.StatusUnprocessableEntity, "Several endpoints have the name "+short(shownName, text)+". Write the id of the one that you mean:")
	for i := range named {
		e := &named[i]
		of := " of no tenant, at " + hostOf(e.URL)
		if e.Tenant != "" {
			of = " of tenant " + e.Tenant + ", at " + hostOf(e.URL)
		}
		p.Errors = append(p.Errors, api.FieldProblem{Detail: e.ID + of}) // a field's name would be put in words
	}
	if more {
		p.Errors = append(p.Errors, api.FieldProblem{Detail: "and others"})
	}
	return "", p
}

// The bounds of what is said of a name that several have.
const (
	shownName  = 40
	shownNamed = 20
)

// namedEndpoints returns endpoints that have a name, the newest first, and whether there are more.
func namedEndpoints(v *visit, name string) (list []api.Endpoint, more bool, err error) {
	var page api.Page[api.Endpoint]
	err = v.get("/v1/endpoints", queryOf("name", name, "stats", "false", "limit", textOf(shownNamed)), &page)
	return page.Data, page.NextCursor != "", err
}

// endpointsPage lists endpoints.
type endpointsPage struct {
	Status, Source, Tenant string
	Rows                   []endpointRow
	Days                   bool // rows have one
	Copies                 []copied
	Pager                  pager
	Filtered               bool
}

type endpointRow struct {
	api.Endpoint

	Day day
}

// pager leads to other pages of a list.
type pager struct{ First, Next, Note, Label string }

// pagerOf makes a pager for a list whose filters are in the query.
func pagerOf(v *visit, page string, query url.Values, next string) pager {
	p := pager{}
	at := func(cursor string) string {
		q := maps.Clone(query)
		if q == nil {
			q = make(url.Values)
		}
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		if len(q) == 0 {
			return v.site.root + page
		}
		return v.site.root + page + "?" + q.Encode()
	}
	if v.r.URL.Query().Get("cursor") != "" {
		p.First = at("")
	}
	if next != "" {
		p.Next = at(next)
	}
	return p
}

// filtersOf takes the named parameters that the visitor's link has.
func filtersOf(v *visit, names ...string) url.Values {
	q, has := make(url.Values), v.r.URL.Query()
	for _, name := range names {
		if text := has.Get(name); text != "" {
			q.Set(name, text)
		}
	}
	return q
}

func listEndpoints(v *visit) error {
	q := filtersOf(v, "status", "source", "tenant")
	call := filtersOf(v, "status", "source", "tenant", "cursor")
	var list api.Page[api.Endpoint]
	if err := v.get("/v1/endpoints", call, &list); err != nil {
		return err
	}
	body := &endpointsPage{
		Status: q.Get("status"), Source: q.Get("source"), Tenant: q.Get("tenant"), Filtered: len(q) > 0,
		Pager: pagerOf(v, "endpoints", q, list.NextCursor),
	}
	days, err := readDays(v, list.Data)
	if err != nil {
		return err
	}
	body.Days = len(days) > 0
	for i := range list.Data {
		body.Rows = append(body.Rows, endpointRow{Endpoint: list.Data[i], Day: days[list.Data[i].ID]})
	}
	s := statement{
		columns: "id, name, url, status, disabled_reason, failing_since, source, origin, tenant, secret_prefix, created_at",
		from:    "tailpost.endpoint", order: "created_at DESC, id DESC", limit: pageSize,
	}
	s.equal("status", body.Status)
	s.equal("source", body.Source)
	s.equal("tenant", body.Tenant)
	s.equal("tenant", v.session.Tenant())
	body.Copies = copiesOf(v, s.String(), "/v1/endpoints", call, "endpoints", "--status", body.Status, "--source", body.Source, "--tenant", body.Tenant)
	v.show(http.StatusOK, "endpoints", "Endpoints", "endpoints", body)
	return nil
}

// pageSize is the API's.
const pageSize = 50
