package panel

import (
	"net/http"
	"net/url"
	"sort"
	"time"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/api"
)

// eventPage is an event with what became of it.
type eventPage struct {
	api.Event

	Shown    shown
	Extras   shown // the extra columns
	Timeline []moment
	Why      api.Explanation
	More     string // further endpoints
	Copies   []copied
	Names    names
}

// moment is one thing that happened to an event, or will.
type moment struct {
	At      time.Time // zero: nobody knows
	Kind    string    // good, bad, warn or empty
	Title   string
	Text    string
	Link    string
	Attempt *api.Attempt
	Waiting *api.Delivery
	Name    string // of the endpoint
}

// eventsPage lists events.
type eventsPage struct {
	Filter     eventFilter
	Rows       []api.EventSummary
	Advice     []string
	Copies     []copied
	Pager      pager
	Filtered   bool
	FirstEvent string
	Terms      []string // what the configuration names to search by
}

// eventFilter is the filter in the link of a list of events.
type eventFilter struct{ ID, Key, Type, Tenant, Search, Since, Until string }

func listEvents(v *visit) error {
	q := v.r.URL.Query()
	f := eventFilter{q.Get("id"), q.Get("key"), q.Get("type"), q.Get("tenant"), q.Get("search"), q.Get("since"), q.Get("until")}
	if err := checkTimes(v, f.Since, f.Until); err != nil {
		return err
	}
	link := queryOf("id", f.ID, "key", f.Key, "type", f.Type, "tenant", f.Tenant, "search", f.Search, "since", f.Since, "until", f.Until)
	call := queryOf("id", f.ID, "key", f.Key, "type", f.Type, "tenant", f.Tenant, "search", f.Search, "since", sinceOf(v, f.Since),
		"until", sinceOf(v, f.Until), "cursor", q.Get("cursor"))
	var list api.EventPage
	if err := v.get("/v1/events", call, &list); err != nil {
		return err
	}
	mapping := v.panel.config().Outbox.Mapping
	body := &eventsPage{
		Filter: f, Rows: list.Data, Advice: list.Advice, Filtered: len(link) > 0, FirstEvent: firstEventSQL(&v.panel.config().Outbox),
		Terms: v.panel.config().Outbox.Search.Names(),
		Pager: pagerOf(v, "events", link, list.NextCursor),
	}
	if list.NextCursor != "" && len(list.Data) < pageSize {
		body.Pager.Note, body.Pager.Label = "What the filter chooses is rare here: the search goes on with the next page.", "Go on"
	}
	call.Del("cursor")
	sql := eventsSQL(v, &f, &mapping, list.Order)
	if f.Search != "" {
		sql = logSQL(v, &logFilter{Type: f.Type, Tenant: f.Tenant, Search: f.Search, Since: f.Since, Until: f.Until})
	}
	body.Copies = copiesOf(v, sql, "/v1/events", call)
	v.show(http.StatusOK, "events", "Events", "events", body)
	return nil
}

// eventsSQL lists events of the outbox table with what is on record of them, in the order of the
// list: that of the times only where an index has it. Without a table, or a time, there is none.
func eventsSQL(v *visit, f *eventFilter, m *outbox.Mapping, order string) string {
	if m.Table == "" || m.CreatedAt == "" || v.session.Tenant() != "" && m.Tenant == "" {
		return ""
	}
	column := func(name string) string { return "o." + quoteName(name) }
	schema, table := m.SchemaAndName()
	id, by := column(m.ID)+"::text", column(m.ID)+" DESC"
	if order == "created_at" {
		by = column(m.CreatedAt) + " DESC, " + by
	}
	s := statement{
		columns: column(m.ID) + ", " + column(m.Type) + ", " + column(m.CreatedAt) + ",\n" +
			"       (SELECT count(*) FROM tailpost.attempt AS a WHERE a.event_id = " + id + " AND a.outcome = 'delivered') AS delivered,\n" +
			"       (SELECT count(*) FROM tailpost.undelivered AS d WHERE d.event_id = " + id + ") AS undelivered",
		from: quoteName(schema) + "." + quoteName(table) + " AS o", order: by, limit: pageSize,
	}
	s.equal(id, f.ID)
	if m.Key != "" {
		s.equal(column(m.Key), f.Key)
	}
	s.like(column(m.Type), f.Type)
	if m.Tenant != "" {
		s.equal(column(m.Tenant), f.Tenant)
		s.equal(column(m.Tenant), v.session.Tenant())
	}
	s.condition(column(m.CreatedAt)+" >= %s", sinceOf(v, f.Since))
	s.condition(column(m.CreatedAt)+" < %s", sinceOf(v, f.Until))
	return s.String()
}

func showEvent(v *visit) error {
	id := v.r.PathValue("id")
	body := &eventPage{}
	if err := v.get(pathOf("events", id), exactly(), &body.Event); err != nil {
		return err
	}
	id = body.ID // as the outbox table writes it
	var err error
	if body.Names, err = readNames(v); err != nil {
		return err
	}
	const most = "25" // endpoints in a page
	cursor := v.r.URL.Query().Get("cursor")
	if err := v.get(pathOf("events", id, "explain"), queryOf("limit", most, "cursor", cursor), &body.Why); err != nil {
		return err
	}
	if body.Why.NextCursor != "" {
		body.More = href(v.site.root, "events/"+url.PathEscape(id), "cursor", body.Why.NextCursor)
	}
	body.Shown, body.Extras = showText(body.PayloadText), showText(body.ExtraText)
	body.Timeline = timeline(&body.Event, body.Names)
	f := logFilter{Event: id}
	body.Copies = copiesOf(v, logSQL(v, &f), pathOf("events", id), nil, "explain "+quoteShell(id))
	v.show(http.StatusOK, "event", body.Type, "events", body)
	return nil
}

// shownMoments bounds a timeline; the log has all attempts.
const shownMoments = 40

// timeline returns what happened to an event in the order of time, and what comes next.
func timeline(ev *api.Event, known names) []moment {
	var list []moment
	if len(ev.Attempts) > shownMoments {
		ev.Attempts, ev.MoreAttempts = ev.Attempts[:shownMoments], true // the newest
	}
	if len(ev.Deliveries) > shownMoments {
		ev.Deliveries, ev.MoreAttempts = ev.Deliveries[:shownMoments], true
	}
	if ev.CreatedAt != nil {
		list = append(list, moment{At: *ev.CreatedAt, Title: "Created", Text: "The application wrote the event."})
	}
	for i := range ev.Attempts {
		a := &ev.Attempts[i]
		m := moment{At: a.AttemptedAt, Attempt: a, Name: known.Of(a.EndpointID), Link: attemptLink(Root, a)}
		switch a.Outcome {
		case "delivered":
			m.Kind, m.Title = "good", "Delivered"
		case "dead":
			m.Kind, m.Title = "bad", "Given up"
		default:
			m.Kind, m.Title = "warn", "Failed, to be tried again"
		}
		list = append(list, m)
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].At.Before(list[j].At) })
	for i := range ev.Deliveries {
		d := &ev.Deliveries[i]
		m := moment{Waiting: d, Name: known.Of(d.EndpointID), Title: "Waits", Text: d.Explanation}
		if d.NextAttemptAt != nil && held(d.Reason) == "" {
			m.At, m.Title = *d.NextAttemptAt, "Next attempt"
		}
		if d.State == "dead" {
			m.Kind, m.Title = "bad", "Waits for a person"
		}
		list = append(list, m)
	}
	return list
}
