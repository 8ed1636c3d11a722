package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// Delivery is an event that an endpoint should have and has not.
type Delivery struct {
	EventID        string     `json:"event_id"`
	EventType      string     `json:"event_type"`
	Tenant         string     `json:"tenant,omitempty" doc:"Tenant of the event."`
	Key            string     `json:"key,omitempty" doc:"Ordering key of the event."`
	EndpointID     string     `json:"endpoint_id"`
	EndpointName   string     `json:"endpoint_name,omitempty"`
	State          string     `json:"state" enum:"pending,dead" doc:"pending (will be attempted) or dead (given up, waits for a person)."`
	Reason         string     `json:"reason" doc:"Why it is not delivered, in a word." example:"exhausted"`
	Explanation    string     `json:"explanation" doc:"Why it is not delivered, and what happens next."`
	Attempts       int        `json:"attempts" doc:"Requests made so far."`
	NextAttemptAt  *time.Time `json:"next_attempt_at,omitempty" doc:"When it is due; missing: dead, or waiting behind an earlier one of its key."`
	Trigger        string     `json:"trigger,omitempty" enum:"resend,replay" doc:"What a person asked for."`
	LastStatus     int        `json:"last_status,omitempty"`
	LastError      string     `json:"last_error,omitempty"`
	EventCreatedAt *time.Time `json:"event_created_at,omitempty" doc:"Missing: no time that RFC 3339 can write."`
	DeliverAt      *time.Time `json:"deliver_at,omitempty" doc:"Its event is not to be delivered before; missing: at once."`
	ExpiresAt      *time.Time `json:"expires_at,omitempty" doc:"Its event is not to be delivered from then on; missing: it never expires."`
	CommitLSN      string     `json:"commit_lsn"`
	CreatedAt      time.Time  `json:"created_at" doc:"When it was parked."`
	UpdatedAt      time.Time  `json:"updated_at"`
}

func showDelivery(p *principal, d *query.Delivery) Delivery {
	shown := Delivery{
		EventID: d.Event.ID, EventType: d.Event.Type, Tenant: d.Event.Tenant, Key: d.Event.Key, EndpointID: d.EndpointID,
		EndpointName: d.EndpointName, State: string(d.State), Reason: string(d.Reason), Explanation: explain(d),
		Attempts: d.Attempts, Trigger: d.Trigger, LastStatus: d.LastStatus, LastError: p.readable(d.LastError),
		EventCreatedAt: writable(d.Event.CreatedAt), CommitLSN: d.Event.CommitLSN.String(), CreatedAt: d.CreatedAt.UTC(),
		UpdatedAt: d.UpdatedAt.UTC(), DeliverAt: writable(d.Event.DeliverAt), ExpiresAt: writable(d.Event.ExpiresAt),
	}
	shown.NextAttemptAt = writable(d.NextAttemptAt)
	return shown
}

// explain says why a delivery is not made, for people.
func explain(d *query.Delivery) string {
	words := map[outbox.Reason]string{
		outbox.ReasonFailed:        "The last attempt failed; it is tried again when it is due.",
		outbox.ReasonExhausted:     "Every attempt of the schedule failed; resend or discard it.",
		outbox.ReasonLaneFull:      "More events arrive than the endpoint takes; it waits its turn.",
		outbox.ReasonSlow:          "It was not delivered in time to stay in memory; it waits its turn.",
		outbox.ReasonPaused:        "The endpoint is paused; it goes out when the endpoint is resumed.",
		outbox.ReasonDisabled:      "The endpoint is disabled; it goes out when the endpoint is enabled.",
		outbox.ReasonRateLimited:   "It waits for the endpoint's rate.",
		outbox.ReasonCircuitOpen:   "The endpoint fails and is left alone for a while.",
		outbox.ReasonOrder:         "It waits behind an earlier delivery of its key.",
		outbox.ReasonShutdown:      "The relay stopped before it was sent; it goes out when the relay runs.",
		outbox.ReasonUnusable:      "The endpoint's row cannot be used; correct the endpoint.",
		outbox.ReasonUnverified:    "The endpoint has not shown yet that it wants events; it goes out once it has.",
		outbox.ReasonAudit:         "The audit found it after a gap in the stream; it waits its turn.",
		outbox.ReasonInvalid:       "The event cannot be sent: the error says why.",
		outbox.ReasonUnaddressable: "The endpoint's URL, query or headers need what the event has not: the error says what. Nothing was sent.",
		outbox.ReasonAuthFailed:    "There is no access token to send it with, or no way through the egress proxy: the error says why. It is tried again when it is due.",
		outbox.ReasonRejected:      "The receiver will not take it: its last answer says so.",
		outbox.ReasonScheduled:     "Its event is not to be delivered before " + clock(d.Event.DeliverAt) + ".",
		outbox.ReasonExpired:       "Its event expired before it was delivered; resend it to send it all the same, or discard it.",
		outbox.ReasonIDReused:      "An earlier event with the same id is not delivered yet; resend or discard that one, then resend this one.",
		reasonResend:               "A person asked for it to be sent again.",
		reasonReplay:               "A person asked for its range to be delivered once more.",
	}
	if text, ok := words[d.Reason]; ok {
		return text
	}
	return "See reason and last_error."
}

// The reasons that the API returns.
const (
	reasonResend outbox.Reason = "resend"
	reasonReplay outbox.Reason = "replay"
)

type listDeliveriesInput struct {
	Paged

	State      string    `query:"state" enum:"pending,dead" doc:"Only those of this state."`
	Reason     string    `query:"reason" maxLength:"100" doc:"Only those with this reason."`
	EndpointID string    `query:"endpoint_id" maxLength:"200" doc:"Only to this endpoint."`
	EventID    string    `query:"event_id" maxLength:"1000" doc:"Only of this event."`
	EventType  string    `query:"event_type" maxLength:"1000" doc:"Only of events of this type."`
	Tenant     string    `query:"tenant" maxLength:"200" doc:"Only of this tenant's events."`
	Since      time.Time `query:"since" doc:"Only of events created at or after it."`
	Until      time.Time `query:"until" doc:"Only of events created before it."`
}

func listDeliveries(ctx context.Context, s *Server, p *principal, in *listDeliveriesInput) (*pageOutput[Delivery], error) {
	after, err := readCursor[query.DeliveryPosition](in.Cursor)
	if err != nil {
		return nil, err
	}
	filter := ledger.DeliveryFilter{
		Tenant: p.tenant(), EndpointID: in.EndpointID, EventID: in.EventID, EventTenant: in.Tenant, State: in.State,
		Reason: in.Reason, Since: in.Since, Until: in.Until,
	}
	if in.EventType != "" {
		filter.EventTypes = []string{in.EventType}
	}
	rows, err := s.store.Deliveries(ctx, query.DeliveryQuery{DeliveryFilter: filter, After: after, Limit: in.limit() + 1})
	if err != nil {
		return nil, err
	}
	show := func(d *query.Delivery) Delivery { return showDelivery(p, d) }
	return paged(rows, in.limit(), show, func(d *query.Delivery) query.DeliveryPosition {
		return query.DeliveryPosition{CommitLSN: d.Event.CommitLSN, Seq: d.Event.Seq, EventID: d.Event.ID, EndpointID: d.EndpointID}
	})
}

// DeliverySelection chooses deliveries. At least one of event_id, endpoint_id, event_types, tenant,
// since, until and all is needed.
type DeliverySelection struct {
	EventID    string     `json:"event_id,omitempty" maxLength:"1000" doc:"Only of this event."`
	EndpointID string     `json:"endpoint_id,omitempty" maxLength:"200" doc:"Only to this endpoint."`
	EventTypes []string   `json:"event_types,omitempty" maxItems:"1000" doc:"Only of events of these types."`
	Tenant     string     `json:"tenant,omitempty" maxLength:"200" doc:"Only of this tenant's events."`
	Reason     string     `json:"reason,omitempty" maxLength:"100" doc:"Only those with this reason."`
	State      string     `json:"state,omitempty" enum:"pending,dead" doc:"Default: dead; pending chooses those that wait for their next attempt."`
	Since      *time.Time `json:"since,omitempty" doc:"Only of events created at or after it."`
	Until      *time.Time `json:"until,omitempty" doc:"Only of events created before it."`
	AsOf       *time.Time `json:"as_of,omitempty" doc:"Only those that were there in their state by then: the as_of of a dry run, so that a call is about what was counted and nothing that came later."`
	All        bool       `json:"all,omitempty" doc:"Every one of the state, where nothing else chooses."`
	DryRun     bool       `json:"dry_run,omitempty" doc:"Count only."`
}

func (d *DeliverySelection) filter(p *principal) (ledger.DeliveryFilter, error) {
	f := ledger.DeliveryFilter{
		Tenant: p.tenant(), EndpointID: d.EndpointID, EventID: d.EventID, EventTypes: d.EventTypes, EventTenant: d.Tenant,
		Reason: d.Reason, State: d.State,
	}
	if d.Since != nil {
		f.Since = *d.Since
	}
	if d.Until != nil {
		f.Until = *d.Until
	}
	if d.AsOf != nil {
		f.AsOf = *d.AsOf
	}
	if f.State == "" {
		f.State = string(outbox.StateDead)
	}
	if d.chooses() == d.All {
		return f, invalid(at("/all", "Choose by event, endpoint, type, tenant, reason or time, or give all = true, not both."))
	}
	return f, nil
}

type selectDeliveriesInput struct {
	Repeatable

	Body DeliverySelection
}

// MostDiscarded is how many deliveries one call discards at most.
const MostDiscarded = query.MostDiscarded

// Selected counts what a selection chose.
type Selected struct {
	Matched int64 `json:"matched" doc:"How many deliveries the selection chooses; in a discard, of those that one call discards."`
	Changed int64 `json:"changed" doc:"How many were changed; 0 in a dry run."`
	More    bool  `json:"more" doc:"One call discards 10,000 at most, and did: call again for the rest."`
	DryRun  bool  `json:"dry_run" doc:"Nothing was changed."`

	AsOf *time.Time `json:"as_of,omitempty" doc:"In a dry run that chose any: as_of of a call that is about these and no later ones."`
}

type selectedOutput struct {
	Body Selected
}

// chooses says that the selection names something other than a state.
func (d *DeliverySelection) chooses() bool {
	return d.EventID != "" || d.EndpointID != "" || len(d.EventTypes) > 0 || d.Tenant != "" || d.Reason != "" || d.Since != nil || d.Until != nil
}

// names says that the selection names one delivery.
func (d *DeliverySelection) names() bool { return d.EventID != "" && d.EndpointID != "" }

// one says that the selection names one delivery and nothing else of it.
func (d *DeliverySelection) one() bool {
	return d.names() && len(d.EventTypes) == 0 && d.Tenant == "" && d.Reason == "" && d.State == "" && d.Since == nil && d.Until == nil && d.AsOf == nil
}

// countResend says whether one event would be sent again. What does not exist counts as nothing;
// what cannot be sent is the problem that resending it would be.
func countResend(ctx context.Context, s *Server, p *principal, w *DeliverySelection) (*selectedOutput, error) {
	filter, err := w.filter(p)
	if err != nil {
		return nil, err
	}
	out := &selectedOutput{Body: Selected{DryRun: true}}
	if out.Body.Matched, err = s.store.CountDeliveries(ctx, filter); err != nil || out.Body.Matched > 0 {
		return out, err
	}
	switch err := s.store.CanResend(ctx, p.tenant(), w.EventID, w.EndpointID); {
	case errors.Is(err, query.ErrNotFound):
		return out, nil
	case err != nil:
		return nil, err
	}
	out.Body.Matched = 1
	return out, nil
}

func discardDeliveries(ctx context.Context, s *Server, p *principal, in *selectDeliveriesInput) (*selectedOutput, error) {
	return forSelected(ctx, s, p, in, "delivery.discard", "/v1/deliveries/discard", (*query.Change).Discard)
}

// forSelected counts, and changes unless it is a dry run.
func forSelected(
	ctx context.Context, s *Server, p *principal, in *selectDeliveriesInput, action, path string,
	do func(*query.Change, context.Context, ledger.DeliveryFilter) (int64, error),
) (*selectedOutput, error) {
	filter, err := in.Body.filter(p)
	if err != nil {
		return nil, err
	}
	if in.Body.DryRun {
		n, last, err := s.store.CountDeliveriesAsOf(ctx, filter)
		out := &selectedOutput{Body: Selected{Matched: n, DryRun: true}}
		if !last.IsZero() {
			out.Body.AsOf = &last
		}
		return out, err
	}
	op := (&route{method: http.MethodPost, path: path}).operation()
	return inChange(ctx, s, &op, p, in, func(ctx context.Context, _ *Server, c *query.Change, _ *principal, _ *selectDeliveriesInput) (*selectedOutput, error) {
		n, err := do(c, ctx, filter)
		switch {
		case err != nil:
			return nil, err
		case n == 0 && in.Body.names():
			return nil, query.ErrNotFound
		}
		object := in.Body.EndpointID
		if object == "" {
			object = "*"
		}
		after := map[string]any{"selection": in.Body, "changed": n}
		return &selectedOutput{Body: Selected{Matched: n, Changed: n, More: n == MostDiscarded}}, c.Audit(ctx, action, object, p.tenant(), nil, after)
	})
}
