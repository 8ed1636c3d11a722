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
func (n names) Of(id string) string {
	if e, ok := n[id]; ok && e.Name != "" {
		return e.Name
	}
	return id
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
	v.known = known
	return known, nil
}

// endpointOf returns the id of the endpoint that a person wrote the id or the name of. Text that is
// no name that lists know, or that of several, is taken for an id.
func endpointOf(v *visit, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	known, err := readNames(v)
	if _, is := known[text]; is || err != nil {
		return text, err
	}
	found := ""
	for id := range known {
		if !strings.EqualFold(known[id].Name, text) {
			continue
		}
		if found != "" {
			return text, nil
		}
		found = id
	}
	return cmp.Or(found, text), nil
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
