package panel

import (
	"maps"
	"net/http"
	"net/url"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// undeliveredPage lists what is not delivered.
type undeliveredPage struct {
	Filter    deliveryFilter
	Rows      []api.Delivery
	Endpoints names
	Reasons   []string
	Views     []view
	Matching  *int64 // how many the filter chooses
	Copies    []copied
	Pager     pager
	Filtered  bool
}

// deliveryFilter chooses deliveries: in links, in forms and in calls of the API.
type deliveryFilter struct {
	State, Reason, Endpoint, Event, Type, Tenant, Since, Until string
}

func readDeliveryFilter(of func(string) string) deliveryFilter {
	return deliveryFilter{
		State: of("state"), Reason: of("reason"), Endpoint: of("endpoint"), Event: of("event"), Type: of("type"), Tenant: of("tenant"),
		Since: of("since"), Until: of("until"),
	}
}

func (f *deliveryFilter) link() url.Values {
	return queryOf("state", f.State, "reason", f.Reason, "endpoint", f.Endpoint, "event", f.Event, "type", f.Type, "tenant", f.Tenant,
		"since", f.Since, "until", f.Until)
}

// describe is the filter for people.
func (f *deliveryFilter) describe() (list []header) {
	state := map[string]string{"dead": "given up", "pending": "waiting"}[f.State]
	for _, h := range []header{
		{"State", state},
		{"Reason", reasonInWords(f.Reason)},
		{"Endpoint", f.Endpoint},
		{"Event", f.Event},
		{"Type", f.Type},
		{"Tenant", f.Tenant},
		{"Created since", f.Since},
		{"Created before", f.Until},
	} {
		if h.Value != "" {
			list = append(list, h)
		}
	}
	return list
}

// selectionOf is the filter as the API's bulk calls take it.
func selectionOf(v *visit, f *deliveryFilter) map[string]any {
	s := make(map[string]any)
	for name, value := range map[string]string{
		"state": f.State, "reason": f.Reason, "endpoint_id": f.Endpoint, "event_id": f.Event, "tenant": f.Tenant,
		"since": sinceOf(v, f.Since), "until": sinceOf(v, f.Until),
	} {
		if value != "" {
			s[name] = value
		}
	}
	if f.Type != "" {
		s["event_types"] = []string{f.Type}
	}
	if chooses := len(s); chooses == 0 || chooses == 1 && f.State != "" {
		s["all"] = true
	}
	return s
}

// countDeliveries says how many deliveries a selection chooses.
func countDeliveries(v *visit, selection map[string]any) (api.Selected, error) {
	asked := map[string]any{"dry_run": true}
	maps.Copy(asked, selection)
	var counted api.Selected
	// Discarding needs no more than to read where nothing is discarded, but the scope all the same.
	err := v.post("/v1/deliveries/discard", asked, &counted)
	if p := problemOf(err); p != nil && p.Status == http.StatusForbidden {
		return counted, nil
	}
	return counted, err
}

func listUndelivered(v *visit) error {
	f := readDeliveryFilter(v.r.URL.Query().Get)
	if f.State == "" {
		f.State = "dead"
	}
	if err := checkTimes(v, f.Since, f.Until); err != nil {
		return err
	}
	if err := checkType(f.Type); err != nil {
		return err
	}
	var err error
	if f.Endpoint, err = endpointOf(v, f.Endpoint); err != nil {
		return err
	}
	link := f.link()
	call := queryOf("state", f.State, "reason", f.Reason, "endpoint_id", f.Endpoint, "event_id", f.Event, "event_type", f.Type, "tenant", f.Tenant,
		"since", sinceOf(v, f.Since), "until", sinceOf(v, f.Until))
	body := &undeliveredPage{Filter: f, Filtered: len(link) > 1, Reasons: []string{
		"failed", "exhausted", "lane_full", "slow", "paused", "disabled", "rate_limited", "circuit_open", "order", "scheduled", "expired", "shutdown", "unverified", "unusable", "audit", "invalid", "unaddressable", "rejected", "auth_failed", "id_reused", "resend", "replay",
	}}
	page := queryOf("cursor", v.r.URL.Query().Get("cursor"))
	maps.Copy(page, call)
	var list api.Page[api.Delivery]
	if err := v.get("/v1/deliveries", page, &list); err != nil {
		return err
	}
	if body.Endpoints, err = readNames(v); err != nil {
		return err
	}
	body.Rows, body.Pager = list.Data, pagerOf(v, "undelivered", link, list.NextCursor)
	if v.may().WriteDeliveries {
		counted, err := countDeliveries(v, selectionOf(v, &f))
		if err != nil {
			return err
		}
		body.Matching = &counted.Matched
	}
	for _, w := range []struct{ name, query string }{{"Given up", "state=dead"}, {"Waiting", "state=pending"}} {
		body.Views = append(body.Views, view{Name: w.name, Link: v.site.root + "undelivered?" + w.query, Current: link.Encode() == w.query})
	}
	s := statement{
		columns: "u.event_id, u.event_type, u.endpoint_id, u.endpoint_name, u.state, u.reason, u.attempts, u.next_attempt_at, u.last_status, u.last_error, u.age",
		from:    "tailpost.undelivered AS u", order: "u.event_created_at DESC, u.event_id DESC, u.endpoint_id DESC", limit: pageSize,
	}
	s.equal("u.state", f.State)
	s.equal("u.reason", f.Reason)
	s.equal("u.endpoint_id", f.Endpoint)
	s.equal("u.event_id", f.Event)
	s.equal("u.event_type", f.Type)
	s.equal("u.tenant", f.Tenant)
	s.condition("u.event_created_at >= %s", sinceOf(v, f.Since))
	s.condition("u.event_created_at < %s", sinceOf(v, f.Until))
	s.tenantOf("u.endpoint_id", v.session.Tenant())
	body.Copies = copiesOf(v, s.String(), "/v1/deliveries", call, "deliveries", "--state", f.State, "--reason", f.Reason, "--endpoint", f.Endpoint,
		"--event", f.Event, "--type", f.Type, "--tenant", f.Tenant, "--since", sinceOf(v, f.Since), "--until", sinceOf(v, f.Until))
	v.show(http.StatusOK, "undelivered", "Undelivered", "undelivered", body)
	return nil
}
