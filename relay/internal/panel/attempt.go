package panel

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/api"
)

// attemptPage is one request and its answer.
type attemptPage struct {
	api.Attempt

	Endpoint       *api.Endpoint // nil: it is gone
	Payload        shown
	Binary         bool // the payload is no text
	Gone           bool // the payload is
	Response       shown
	Prev, Next     string // within the delivery
	Siblings       []*attemptRow
	Together       []*attemptRow // of the same request, some of them
	AllTogether    bool          // all of them
	Waiting        *api.Delivery // what comes next
	Curl           []copied
	Copies         []copied
	Sent, Answered []header // headers of the request and of the answer
	Kept           bool     // they are on record
}

type header struct{ Name, Value string }

// exactly asks for a payload as its text is.
func exactly() url.Values { return url.Values{"raw": {"true"}} }

func showAttempt(v *visit) error {
	q := v.r.URL.Query()
	event, endpoint, number := q.Get("event"), q.Get("endpoint"), q.Get("n")
	var list api.Page[api.Attempt]
	call := queryOf("event_id", event, "endpoint_id", endpoint, "limit", "250")
	if event == "" || endpoint == "" {
		return refuse(http.StatusNotFound, "This link names no attempt.")
	}
	if err := v.get("/v1/attempts", call, &list); err != nil {
		return err
	}
	at := -1
	for i := range list.Data {
		if a := &list.Data[i]; iso(a.AttemptedAt) == q.Get("at") && (number == "" || strconv.Itoa(a.Number) == number) {
			at = i
		}
	}
	if at < 0 {
		return refuse(http.StatusNotFound, "There is no such attempt: retention may have taken it, or it is not yours to see.")
	}
	body := &attemptPage{Attempt: list.Data[at], Response: showText(list.Data[at].ResponseBody)}
	if at+1 < len(list.Data) {
		body.Prev = attemptLink(v.site.root, &list.Data[at+1])
	}
	if at > 0 {
		body.Next = attemptLink(v.site.root, &list.Data[at-1])
	}
	const siblings = 20 // of this attempt, around it
	for i := max(0, at-siblings/2); i < min(len(list.Data), at+siblings/2); i++ {
		body.Siblings = append(body.Siblings, &attemptRow{Attempt: list.Data[i], root: v.site.root})
	}
	if err := fillRequest(v, body); err != nil {
		return err
	}
	if err := fillAttempt(v, body); err != nil {
		return err
	}
	f := logFilter{Event: event, Endpoint: endpoint}
	body.Copies = copiesOf(v, logSQL(v, &f), "/v1/attempts", queryOf("event_id", event, "endpoint_id", endpoint), "explain "+quoteShell(event), "--endpoint", endpoint)
	v.show(http.StatusOK, "attempt", "Attempt "+strconv.Itoa(body.Number)+" of "+body.EventType, "log", body)
	return nil
}

// fillRequest reads what else the request of an attempt had.
func fillRequest(v *visit, body *attemptPage) error {
	if body.RequestID == "" {
		return nil
	}
	var list api.Page[api.Attempt]
	if err := v.get("/v1/attempts", queryOf("request_id", body.RequestID, "endpoint_id", body.EndpointID, "limit", "50"), &list); err != nil {
		return err
	}
	body.Together, body.AllTogether = attemptRows(v, list.Data, nil), list.NextCursor == ""
	return nil
}

// fillAttempt reads what belongs to an attempt.
func fillAttempt(v *visit, body *attemptPage) error {
	var ev api.Event
	switch err := v.get(pathOf("events", body.EventID), exactly(), &ev); {
	case notFound(err):
		body.Gone = true
	case err != nil:
		return err
	}
	body.Payload, body.Gone = showText(ev.PayloadText), body.Gone || !ev.PayloadExists
	body.Binary = ev.PayloadBase64 != ""
	for i := range ev.Deliveries {
		if ev.Deliveries[i].EndpointID == body.EndpointID {
			body.Waiting = &ev.Deliveries[i]
		}
	}
	if v.may().ReadEndpoints {
		var e api.Endpoint
		switch err := v.get(pathOf("endpoints", body.EndpointID), nil, &e); {
		case err == nil:
			body.Endpoint = &e
		case !notFound(err):
			return err
		}
	}
	body.Sent, body.Answered, body.Kept = headersOf(body.RequestHeaders), headersOf(body.ResponseHeaders), body.RequestHeaders != nil
	if !body.Kept {
		body.Sent = []header{
			{"webhook-id", cmp.Or(body.RequestID, body.EventID)},
			{"webhook-timestamp", strconv.FormatInt(body.AttemptedAt.Unix(), 10)},
			{"webhook-signature", "not kept: it is made anew for every request"},
		}
	}
	if text := ev.PayloadText; text != "" && len(text) <= prettyBytes && body.Endpoint != nil {
		body.Curl = repeat(body, &ev, inVersion(v.panel.config().Versions, body, text))
	}
	return nil
}

// headersOf are headers in the order of their names.
func headersOf(all map[string]string) []header {
	list := make([]header, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, header{name, all[name]})
	}
	return list
}

func showHelp(v *visit) error {
	v.show(http.StatusOK, "help", "Help", "", nil)
	return nil
}

// showNothing answers where there is no page.
func showNothing(_ *visit) error {
	return refuse(http.StatusNotFound, "There is no page at this address.")
}

// searchedEvents returns the ids of the newest events with a value to search by, a few at most,
// and reports whether these are all. A page ends when its time is over, whatever it has: the search
// goes on with the next ones, up to a bound.
func searchedEvents(v *visit, text string) (ids []string, all bool, err error) {
	const enough, most = 2, 10
	cursor := ""
	for range most {
		var list api.EventPage
		if err := v.get("/v1/events", queryOf("search", text, "limit", textOf(enough), "cursor", cursor), &list); err != nil {
			return nil, false, err
		}
		for i := range list.Data {
			ids = append(ids, list.Data[i].ID)
		}
		if cursor = list.NextCursor; cursor == "" || len(ids) >= enough {
			break
		}
	}
	return ids, cursor == "", nil
}

// findAnything leads to what a person looks for: an endpoint by its id or name, an event by its
// id, what the configuration names to search by, or the events of a key.
func findAnything(v *visit) error {
	text := strings.TrimSpace(v.r.URL.Query().Get("q"))
	if text == "" {
		v.see("events", "")
		return nil
	}
	for _, kind := range []string{"endpoints", "events"} {
		err := v.get(pathOf(kind, text), nil, nil)
		switch p := problemOf(err); {
		case err == nil:
			v.see(kind+"/"+url.PathEscape(text), "")
			return nil
		case p == nil || p.Status != http.StatusNotFound && p.Status != http.StatusForbidden:
			return err
		}
	}
	if v.may().ReadEndpoints {
		named, _, err := namedEndpoints(v, text)
		if err != nil && problemOf(err) == nil {
			return err
		}
		if len(named) == 1 {
			v.see("endpoints/"+url.PathEscape(named[0].ID), "")
			return nil
		}
	}
	if name, _ := config.SplitSearchTerm(text); name != "" || len(v.panel.config().Outbox.Search.Names()) > 0 {
		found, all, err := searchedEvents(v, text)
		switch {
		case err != nil && problemOf(err) == nil:
			return err
		case len(found) == 1 && all:
			v.see("events/"+url.PathEscape(found[0]), "")
			return nil
		case len(found) > 0 || name != "":
			v.redirect(href(v.site.root, "events", "search", text))
			return nil
		}
	}
	v.redirect(href(v.site.root, "events", "key", text))
	return nil
}
