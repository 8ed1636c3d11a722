package api

import (
	"context"
	"errors"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// EventSummary is an event with a summary of what became of it.
type EventSummary struct {
	ID            string     `json:"id"`
	Type          string     `json:"type"`
	Key           string     `json:"key,omitempty" doc:"Ordering key. Missing: none, or not known any more."`
	Tenant        string     `json:"tenant,omitempty"`
	CreatedAt     *time.Time `json:"created_at,omitempty" doc:"Missing: not known, or no time that RFC 3339 can write."`
	State         string     `json:"state" enum:"delivered,pending,dead,discarded,unmatched,new" doc:"dead (given up at an endpoint), pending (it waits for one), delivered, discarded (by a person, or with its endpoint), unmatched (no endpoint wanted it) or new (the relay has not come to it)."`
	Delivered     int64      `json:"delivered" doc:"Endpoints that have it; of an event of thousands, those among the first thousand."`
	Pending       int64      `json:"pending" doc:"Endpoints that it waits for."`
	Dead          int64      `json:"dead" doc:"Endpoints at which it was given up."`
	LastAttemptAt *time.Time `json:"last_attempt_at,omitempty"`
	PayloadExists bool       `json:"payload_exists" doc:"Whether the outbox row, or an unfinished delivery, still has the payload."`
}

// EventPage is a part of a list of events.
type EventPage struct {
	Page[EventSummary]

	Order  string   `json:"order" enum:"created_at,id,attempted_at" doc:"What the events are in the order of, from the newest: their time, their id where no index of the outbox table begins with the time, or their last attempt where there is no table to list, or something is searched for."`
	Advice []string `json:"advice" nullable:"false" doc:"Indexes of the outbox table that would make this list better or faster, as SQL."`
}

type eventPageOutput struct {
	Body EventPage
}

type listEventsInput struct {
	Paged
	SearchFilter

	ID     string    `query:"id" maxLength:"1000" doc:"Only the event with this id."`
	Key    string    `query:"key" maxLength:"1000" doc:"Only events with this ordering key, as far as their outbox rows are there."`
	Type   string    `query:"type" maxLength:"255" doc:"Only of this type, or of those that a pattern names as in subscriptions." example:"order.*"`
	Tenant string    `query:"tenant" maxLength:"200" doc:"Only this tenant's."`
	Since  time.Time `query:"since" doc:"Only those created at or after it; of one whose outbox row is gone, those attempted."`
	Until  time.Time `query:"until" doc:"Only those created before it; of one whose outbox row is gone, those attempted."`
}

func listEvents(ctx context.Context, s *Server, p *principal, in *listEventsInput) (*eventPageOutput, error) {
	after, err := readCursor[query.EventPosition](in.Cursor)
	if err != nil {
		return nil, err
	}
	tenant, found := ownTenant(p, in.Tenant)
	if !found {
		return showEvents(&query.EventPage{Order: "created_at"})
	}
	if in.ID != "" {
		if in.Key != "" || in.Type != "" || !in.Since.IsZero() || !in.Until.IsZero() || len(in.Search) > 0 {
			return nil, invalid(of("id", "It names one event: leave key, type, since, until and search out."))
		}
		return findEvent(ctx, s, p, in)
	}
	q := query.EventQuery{
		Tenant: p.tenant(), Key: in.Key, EventTenant: tenant, Since: in.Since, Until: in.Until, After: after, Limit: in.limit(),
	}
	if q.Search, err = searchTerms(s, &in.SearchFilter); err != nil {
		return nil, err
	}
	if in.Key != "" && len(q.Search) > 0 {
		return nil, invalid(of("key", "Events are searched for in what is on record, which has no key: leave key or search out."))
	}
	if in.Type != "" {
		if q.Type, err = config.ParsePattern(in.Type); err != nil {
			return nil, invalid(of("type", "%s", sentence(err.Error())))
		}
	}
	page, err := s.store.Events(ctx, q)
	if err != nil {
		return nil, err
	}
	return showEvents(&page)
}

// findEvent is the list of the one event with an id.
func findEvent(ctx context.Context, s *Server, p *principal, in *listEventsInput) (*eventPageOutput, error) {
	page := query.EventPage{Order: "created_at"}
	found, err := s.store.Event(ctx, p.tenant(), in.ID)
	switch {
	case errors.Is(err, query.ErrNotFound):
		return showEvents(&page)
	case err != nil:
		return nil, err
	}
	ev := &found.Event
	if in.Tenant != "" && ev.Tenant != in.Tenant {
		return showEvents(&page)
	}
	page.Events = []query.ListedEvent{{
		ID: in.ID, Type: ev.Type, Key: ev.Key, Tenant: ev.Tenant, CreatedAt: ev.CreatedAt, HasRow: found.HasRow,
	}}
	if err := s.store.EventStates(ctx, p.tenant(), page.Events); err != nil {
		return nil, err
	}
	return showEvents(&page)
}

func showEvents(page *query.EventPage) (*eventPageOutput, error) {
	out := &eventPageOutput{Body: EventPage{
		Page: Page[EventSummary]{Data: make([]EventSummary, 0, len(page.Events))}, Order: page.Order, Advice: append([]string{}, page.Advice...),
	}}
	for i := range page.Events {
		e := &page.Events[i]
		out.Body.Data = append(out.Body.Data, EventSummary{
			ID: e.ID, Type: e.Type, Key: e.Key, Tenant: e.Tenant, CreatedAt: writable(e.CreatedAt), State: e.State,
			Delivered: e.Delivered, Pending: e.Pending, Dead: e.Dead, LastAttemptAt: writable(e.LastAttemptAt),
			PayloadExists: e.HasRow || e.Pending+e.Dead > 0,
		})
	}
	if page.Next == nil {
		return out, nil
	}
	var err error
	out.Body.NextCursor, err = cursor(page.Next)
	return out, err
}

// writable returns a time in UTC, or nil where there is none or RFC 3339 cannot write it.
func writable(t time.Time) *time.Time {
	t = t.UTC()
	if t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		return nil
	}
	return &t
}

// widen widens a span to include a time, if it can be written.
func widen(from, to **time.Time, t time.Time) {
	at := writable(t)
	if at == nil {
		return
	}
	if *from == nil || at.Before(**from) {
		*from = at
	}
	if *to == nil || at.After(**to) {
		*to = at
	}
}
