package panel

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"

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
func countDeliveries(v *visit, selection map[string]any) (int64, error) {
	asked := map[string]any{"dry_run": true}
	maps.Copy(asked, selection)
	var counted api.Selected
	// Discarding needs no more than to read where nothing is discarded, but the scope all the same.
	err := v.post("/v1/deliveries/discard", asked, &counted)
	if p := problemOf(err); p != nil && p.Status == http.StatusForbidden {
		return 0, nil
	}
	return counted.Matched, err
}

func listUndelivered(v *visit) error {
	f := readDeliveryFilter(v.r.URL.Query().Get)
	if f.State == "" {
		f.State = "dead"
	}
	if err := checkTimes(v, f.Since, f.Until); err != nil {
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
		"failed", "exhausted", "lane_full", "slow", "paused", "disabled", "rate_limited", "circuit_open", "order", "shutdown", "unusable", "audit", "invalid", "rejected", "auth_failed", "id_reused", "resend", "replay",
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
		n, err := countDeliveries(v, selectionOf(v, &f))
		if err != nil {
			return err
		}
		body.Matching = &n
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

// bulkPage asks whether a person means to act on deliveries, and says how many there are.
type bulkPage struct {
	Resend   bool // or discard
	Filter   deliveryFilter
	Chosen   []string // state, endpoint and event of each; none: all that the filter chooses
	Count    int64
	Curl     []copied
	Pending  bool
	Describe []header
}

// errNothingChosen is a form in which no delivery is chosen.
var errNothingChosen = errors.New("nothing is chosen")

// readChosen reads which deliveries a form is about.
func readChosen(v *visit) (deliveryFilter, []string, error) {
	if err := v.r.ParseForm(); err != nil {
		return deliveryFilter{}, nil, refuse(http.StatusBadRequest, "The form could not be read.")
	}
	f := readDeliveryFilter(v.r.PostFormValue)
	if err := checkTimes(v, f.Since, f.Until); err != nil {
		return f, nil, err // without them, it would be about more
	}
	if v.r.PostFormValue("which") == "all" {
		return f, nil, nil
	}
	list := v.r.Form["delivery"]
	if len(list) == 0 {
		return f, nil, errNothingChosen
	}
	return f, list, nil
}

func confirmDeliveries(v *visit) error {
	f, chosen, err := readChosen(v)
	if errors.Is(err, errNothingChosen) {
		v.redirect(v.site.root + "undelivered?" + f.link().Encode() + "&done=nothing-chosen")
		return nil
	}
	if err != nil {
		return err
	}
	body := &bulkPage{Resend: v.r.PostFormValue("act") == "resend", Filter: f, Chosen: chosen, Count: int64(len(chosen)), Pending: f.State == "pending"}
	if chosen == nil {
		if body.Count, err = countDeliveries(v, selectionOf(v, &f)); err != nil {
			return err
		}
		path := "/v1/deliveries/discard"
		if body.Resend {
			path = "/v1/deliveries/resend"
		}
		text, err := json.Marshal(selectionOf(v, &f))
		if err != nil {
			return err
		}
		body.Curl = []copied{{ID: "copy-curl", Name: "curl", Text: curlOf(v, "POST", path, nil, string(text)), Hint: "Set TAILPOST_API_KEY to a key of the API."}}
		if body.Resend {
			name := "resend"
			if selectionOf(v, &f)["all"] == true {
				name += " --all"
			}
			body.Curl = append(body.Curl, copied{ID: "copy-command", Name: "a command", Hint: "Set TAILPOST_API_KEY to a key of the API.", Text: commandOf(v, name,
				"--state", f.State, "--reason", f.Reason, "--endpoint", f.Endpoint, "--event", f.Event, "--type", f.Type, "--tenant", f.Tenant,
				"--since", sinceOf(v, f.Since), "--until", sinceOf(v, f.Until))})
		}
	}
	body.Describe = f.describe()
	title := "Discard"
	if body.Resend {
		title = "Resend"
	}
	v.show(http.StatusOK, "bulk", title+" deliveries", "undelivered", body)
	return nil
}

func actOnDeliveries(v *visit) error {
	f, chosen, err := readChosen(v)
	if errors.Is(err, errNothingChosen) {
		return refuse(http.StatusUnprocessableEntity, "No delivery was chosen: nothing was changed.")
	}
	if err != nil {
		return err
	}
	resend := v.r.PostFormValue("act") == "resend"
	path, done := "/v1/deliveries/discard", "discarded"
	if resend {
		path, done = "/v1/deliveries/resend", "resent"
	}
	if chosen == nil {
		return actOnAll(v, &f, resend, path)
	}
	for _, one := range chosen {
		state, rest, _ := strings.Cut(one, " ")
		endpoint, event, _ := strings.Cut(rest, " ") // ids of endpoints have no space
		asked := map[string]any{"event_id": event, "endpoint_id": endpoint}
		if state != "-" { // the delivery waits; otherwise it was made, and is taken from the outbox
			asked["state"] = state
		}
		err := v.post(path, asked, nil)
		if err != nil && !notFound(err) { // gone meanwhile: delivered, or somebody was quicker
			return err
		}
	}
	if resend && len(chosen) > 1 {
		done = "resent-many"
	}
	if back := v.r.PostFormValue("back"); back != "" {
		v.see(next(back), done)
		return nil
	}
	v.redirect(v.site.root + "undelivered?" + f.link().Encode() + "&done=" + done)
	return nil
}

// actOnAll acts on all that a filter chooses. A resend goes on in the background and has a page.
func actOnAll(v *visit, f *deliveryFilter, resend bool, path string) error {
	if resend {
		var made api.Resend
		if err := v.post(path, selectionOf(v, f), &made); err != nil {
			return err
		}
		if made.ID == "" { // the filter names one delivery, which was queued
			v.see("undelivered", "resent")
			return nil
		}
		v.see("resends/"+url.PathEscape(made.ID), "resending")
		return nil
	}
	var gone api.Selected
	if err := v.post(path, selectionOf(v, f), &gone); err != nil && !notFound(err) {
		return err
	}
	done := "discarded"
	if gone.More {
		done = "discarded-more"
	}
	v.redirect(v.site.root + "undelivered?" + f.link().Encode() + "&done=" + done)
	return nil
}
