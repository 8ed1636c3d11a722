package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/query"
	routing "github.com/tailpost/tailpost/relay/internal/route"
)

// The bounds of what a backtest shows.
const (
	defaultBacktest = 1000
	shownEvents     = 20
	shownBodies     = 10
	shownBodySize   = 64 << 10
)

// BacktestSettings are subscriptions to try.
type BacktestSettings struct {
	Events        *[]string       `json:"events,omitempty" maxItems:"1000" doc:"Which events it would want; as in an endpoint."`
	Where         *string         `json:"where,omitempty" maxLength:"16384" doc:"Only events for which this is true."`
	Body          *string         `json:"body,omitempty" maxLength:"65536" doc:"What the receiver would get in place of the payload."`
	Subscriptions *[]Subscription `json:"subscriptions,omitempty" maxItems:"100" doc:"Several selections of events, in place of events, where and body."`
	Version       *string         `json:"payload_version,omitempty" maxLength:"64" doc:"The version of the events' data that it would get. Default: that of the endpoint; for a new one the newest."`
	Most          int             `json:"most,omitempty" minimum:"1" maximum:"10000" doc:"On how many of the newest events. Default: 1000."`
}

// NewBacktest is the request for a backtest of a new endpoint.
type NewBacktest struct {
	BacktestSettings

	Tenant string `json:"tenant,omitempty" maxLength:"200" doc:"The tenant that the endpoint would have."`
}

// Backtest says what subscriptions would have done with recent events.
type Backtest struct {
	LookedAt        int64            `json:"looked_at" doc:"Recent events that were looked at."`
	Whole           bool             `json:"whole" doc:"As many as were asked for, or all there are. Otherwise time or size set an end."`
	From            *time.Time       `json:"from,omitempty" doc:"When the oldest of them was created."`
	To              *time.Time       `json:"to,omitempty" doc:"When the newest of them was created."`
	Matched         int64            `json:"matched" doc:"How many the new settings take."`
	MatchedBefore   int64            `json:"matched_before" doc:"How many the settings of now take."`
	Missing         int64            `json:"missing" doc:"How often the new filters met a null or missing value."`
	NewlyMatched    BacktestEvents   `json:"newly_matched"`
	NoLongerMatched BacktestEvents   `json:"no_longer_matched"`
	Bodies          []BacktestBodies `json:"bodies" nullable:"false" doc:"What the first events that match would send; only for keys with payloads:read."`
	Failed          int64            `json:"failed" doc:"Events whose body cannot be built, because their payload is not JSON."`
	BeforeVersion   string           `json:"before_version,omitempty" doc:"The version of now. Missing: there are no versions, or there is no endpoint yet."`
	Version         string           `json:"payload_version,omitempty" doc:"The version that was tried. Missing: there are no versions."`
	Note            string           `json:"note,omitempty" doc:"Why there was nothing to look at."`
}

// BacktestEvents are events that settings treat differently.
type BacktestEvents struct {
	Count  int64           `json:"count"`
	Events []BacktestEvent `json:"events" nullable:"false" doc:"The newest 20."`
}

// BacktestEvent is one of them.
type BacktestEvent struct {
	ID        string     `json:"id"`
	Type      string     `json:"type"`
	CreatedAt *time.Time `json:"created_at,omitempty"`
}

// BacktestBodies holds the body that an endpoint sends for an event, and the one it would send.
type BacktestBodies struct {
	EventID string   `json:"event_id"`
	Before  any      `json:"before,omitempty" doc:"Missing: it does not send it, or the payload is too large to show."`
	After   any      `json:"after,omitempty" doc:"Missing: it would not send it, or the payload is too large to show."`
	Newest  any      `json:"newest,omitempty" doc:"The data as the application writes it, where an older version was tried."`
	Differs []string `json:"differs,omitempty" maxItems:"100" doc:"Pointers to what differs between before and after; where there is no before, between newest and after. At most 100."`
}

type backtestOutput struct {
	Body Backtest
}

type newBacktestInput struct {
	Body NewBacktest
}

type backtestInput struct {
	EndpointID

	Body BacktestSettings
}

func (b *BacktestSettings) settings() *EndpointSettings {
	return &EndpointSettings{Events: b.Events, Where: b.Where, Body: b.Body, Subscriptions: b.Subscriptions}
}

// expresses reports whether the settings have an expression over the payload.
func (b *BacktestSettings) expresses() bool {
	if b.Where != nil && *b.Where != "" || b.Body != nil && *b.Body != "" {
		return true
	}
	return b.Subscriptions != nil && slices.ContainsFunc(*b.Subscriptions, func(s Subscription) bool { return s.Where != "" || s.Body != "" })
}

func backtestNew(ctx context.Context, s *Server, p *principal, in *newBacktestInput) (*backtestOutput, error) {
	tenant, own := ownTenant(p, in.Body.Tenant)
	if !own {
		return nil, invalid(at("/tenant", "This key is bound to another tenant: leave tenant out."))
	}
	return runBacktest(ctx, s, p, nil, &config.Endpoint{Tenant: tenant}, &in.Body.BacktestSettings)
}

func backtestEndpoint(ctx context.Context, s *Server, p *principal, in *backtestInput) (*backtestOutput, error) {
	row, err := s.store.Endpoint(ctx, p.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	before := decodeRow(s, &row)
	after := before
	return runBacktest(ctx, s, p, &before, &after, &in.Body)
}

// runBacktest tries settings, put upon after, on recent events; before is the endpoint as it is,
// nil: there is none.
func runBacktest(ctx context.Context, s *Server, p *principal, before, after *config.Endpoint, in *BacktestSettings) (*backtestOutput, error) {
	if in.expresses() && !p.learnsPayloads() {
		return nil, problem(http.StatusForbidden, "To try where or body tells what is in payloads, and this key has neither "+
			config.ScopePayloadsRead+" nor "+config.ScopeEndpointsWrite+": try types alone.")
	}
	set := settler{e: after}
	set.subscriptions(in.settings())
	set.patterns()
	set.pinVersion(s.config().Versions, in.Version)
	if len(set.problems) > 0 {
		return nil, invalid(set.problems...)
	}
	if len(after.Subscriptions) == 0 {
		after.Subscriptions = []config.Subscription{{}}
	}
	if s.config().Outbox.Mapping.Table == "" {
		return nil, problem(http.StatusConflict, "Events come as logical messages only: there is no outbox table with recent events.")
	}
	tenant := after.Tenant
	if tenant == "" {
		tenant = p.tenant()
	}
	most := in.Most
	if most == 0 {
		most = defaultBacktest
	}
	try := newTrial(before, after, p.readsPayloads(), s.config().Versions.Newest())
	recent, err := s.store.Recent(ctx, query.RecentQuery{Tenant: tenant, Most: most}, try.event)
	if err != nil {
		return nil, err
	}
	try.out.Whole, try.out.Missing = recent.Listed && !recent.Stopped, int64(try.table.MissingOf(1)) //nolint:gosec // events are fewer
	if !recent.Listed {
		try.out.Note = "The outbox table cannot be listed: no index begins with its id."
	}
	return &backtestOutput{Body: try.out}, nil
}

// trial compares what an endpoint does with events before a change and after it.
type trial struct {
	table  *routing.Table  // before at 0, if there is one, after at 1
	bodies bool            // may be shown
	newest string          // version; empty: there are none
	steps  [2]config.Steps // of before and after
	out    Backtest
}

func newTrial(before, after *config.Endpoint, bodies bool, newest string) *trial {
	t := &trial{bodies: bodies, newest: newest, out: Backtest{
		NewlyMatched: BacktestEvents{Events: []BacktestEvent{}}, NoLongerMatched: BacktestEvents{Events: []BacktestEvent{}}, Bodies: []BacktestBodies{},
		Version: after.Version,
	}}
	t.steps[1] = after.Steps()
	changes := []routing.Change{{Index: 1, Endpoint: after}}
	if before != nil {
		changes = append(changes, routing.Change{Index: 0, Endpoint: before})
		t.steps[0], t.out.BeforeVersion = before.Steps(), before.Version
	}
	t.table = (&routing.Table{}).Change(changes)
	return t
}

// event looks at one event.
func (t *trial) event(ev *outbox.Event) {
	t.out.LookedAt++
	widen(&t.out.From, &t.out.To, ev.CreatedAt)
	var before, after *routing.Match
	matches := t.table.Match(nil, ev)
	for i := range matches {
		if matches[i].Index == 0 {
			before = &matches[i]
		} else {
			after = &matches[i]
		}
	}
	if before != nil {
		t.out.MatchedBefore++
	}
	if after != nil {
		t.out.Matched++
	}
	switch {
	case before == nil && after != nil:
		t.out.NewlyMatched.add(ev)
	case before != nil && after == nil:
		t.out.NoLongerMatched.add(ev)
	}
	if before != nil || after != nil {
		t.show(ev, before, after)
	}
}

// show renders the bodies of an event.
func (t *trial) show(ev *outbox.Event, before, after *routing.Match) {
	was, _ := t.rendered(before, ev) // that it fails as it is, is no news
	is, err := t.rendered(after, ev)
	if err != nil {
		t.out.Failed++
	}
	if !t.bodies || len(t.out.Bodies) == shownBodies {
		return
	}
	bodies := BacktestBodies{EventID: ev.ID}
	if is != nil {
		bodies.After = is
	}
	against := was
	if was != nil {
		bodies.Before = was
	}
	if t.out.Version != t.newest && after != nil {
		if written := showable(ev.Payload); written != nil {
			bodies.Newest = written
			if before == nil {
				against = written
			}
		}
	}
	if is != nil && against != nil {
		bodies.Differs = differences(against, is)
	}
	t.out.Bodies = append(t.out.Bodies, bodies)
}

// rendered returns the data that a match sends, nil where there is none or it is too large to show.
func (t *trial) rendered(m *routing.Match, ev *outbox.Event) (json.RawMessage, error) {
	if m == nil {
		return nil, nil
	}
	ev, err := t.steps[m.Index].Event(ev)
	if err != nil {
		return nil, err
	}
	data := []byte(ev.Payload)
	if m.Body != nil {
		if data, err = m.Body.Append(nil, ev); err != nil {
			return nil, err
		}
	}
	return showable(data), nil
}

// showable returns a document, or nil where it is none or too large to show.
func showable(data []byte) json.RawMessage {
	if len(data) == 0 || len(data) > shownBodySize || !json.Valid(data) {
		return nil
	}
	return data
}

func (e *BacktestEvents) add(ev *outbox.Event) {
	e.Count++
	if len(e.Events) < shownEvents {
		e.Events = append(e.Events, BacktestEvent{ID: ev.ID, Type: ev.Type, CreatedAt: writable(ev.CreatedAt)})
	}
}
