package panel

import (
	"net/http"
	"sort"
	"time"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// eventPage is an event with what became of it.
type eventPage struct {
	eventDetail

	Shown    shown
	Timeline []moment
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

// events finds events.
func (v *visit) events() error {
	text := v.r.URL.Query().Get("q")
	body := &eventsPage{Query: text}
	if text != "" {
		var ev eventDetail
		switch err := v.get(pathOf("events", text), nil, &ev); {
		case err == nil:
			http.Redirect(v.w, v.r, Root+"events/"+pathOf(text)[len("/v1/"):], http.StatusSeeOther)
			return nil
		case !notFound(err):
			return err
		}
	}
	v.show(http.StatusOK, "events", "Events", "events", body)
	return nil
}

func (v *visit) event() error {
	id := v.r.PathValue("id")
	body := &eventPage{}
	if err := v.get(pathOf("events", id), nil, &body.eventDetail); err != nil {
		return err
	}
	var err error
	if body.Names, err = v.names(); err != nil {
		return err
	}
	body.Shown = showText(body.text())
	body.Timeline = timeline(&body.eventDetail, body.Names)
	f := logFilter{Event: id}
	body.Copies = v.copies(v.logSQL(&f), pathOf("events", id), nil, "tailpost events "+quoteShell(id))
	v.show(http.StatusOK, "event", body.Type, "events", body)
	return nil
}

// timeline is what happened to an event in the order of time, and what comes next.
func timeline(ev *eventDetail, known names) []moment {
	var list []moment
	if ev.CreatedAt != nil {
		list = append(list, moment{At: *ev.CreatedAt, Title: "Created", Text: "The application wrote the event."})
	}
	for i := range ev.Attempts {
		a := &ev.Attempts[i]
		m := moment{At: a.AttemptedAt, Attempt: a, Name: known.Of(a.EndpointID), Link: attemptLink(a)}
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
		if d.NextAttemptAt != nil {
			m.At, m.Title = *d.NextAttemptAt, "Next attempt"
		}
		if d.State == "dead" {
			m.Kind, m.Title = "bad", "Waits for a person"
		}
		list = append(list, m)
	}
	return list
}
