package ledger

import (
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
)

// DeliveryFilter chooses deliveries that are not made yet. Zero fields choose all. As JSON it is
// tailpost.resend.selection.
type DeliveryFilter struct {
	Tenant      string    `json:"-"` // only those to this tenant's endpoints
	EndpointID  string    `json:"endpoint_id,omitempty"`
	EventID     string    `json:"event_id,omitempty"`
	EventTypes  []string  `json:"event_types,omitempty"`
	EventTenant string    `json:"event_tenant,omitempty"`
	State       string    `json:"state,omitempty"`
	Reason      string    `json:"reason,omitempty"`
	Since       time.Time `json:"since,omitzero"` // of the event, inclusive
	Until       time.Time `json:"until,omitzero"` // exclusive
	AsOf        time.Time `json:"as_of,omitzero"` // only those that were there by then, in their state
}

// SQL puts the filter's conditions on tailpost.delivery AS d together. Every piece is a constant.
func (f *DeliveryFilter) SQL() (where string, args pgx.NamedArgs) {
	where = "\nWHERE true"
	args = pgx.NamedArgs{
		"tenant": f.Tenant, "endpoint": f.EndpointID, "event": f.EventID, "types": f.EventTypes, "event_tenant": f.EventTenant,
		"reason": f.Reason, "since": f.Since, "until": f.Until, "there_by": f.AsOf,
	}
	and := func(set bool, condition string) {
		if set {
			where += "\n  AND " + condition
		}
	}
	and(f.Tenant != "", "EXISTS (SELECT FROM tailpost.endpoint AS o WHERE o.id = d.endpoint_id AND o.tenant = @tenant)")
	and(f.EndpointID != "", "d.endpoint_id = @endpoint")
	and(f.EventID != "", "d.event_id = @event")
	and(len(f.EventTypes) > 0, "d.event_type = ANY (@types::text[])")
	and(f.EventTenant != "", "d.tenant = @event_tenant")
	// The partial indexes are found only where the condition stands there as it is.
	and(f.State == string(outbox.Pending), "d.state = 'pending'")
	and(f.State == string(outbox.StateDead), "d.state = 'dead'")
	and(f.Reason != "", "d.reason = @reason")
	and(!f.Since.IsZero(), "d.event_created_at >= @since")
	and(!f.Until.IsZero(), "d.event_created_at < @until")
	and(!f.AsOf.IsZero(), ThereSinceSQL+" <= @there_by")
	return where, args
}

// ThereSinceSQL is when a delivery d came into the state that it is in: a further attempt leaves it
// waiting as before.
const ThereSinceSQL = `CASE WHEN d.state = 'dead' OR d.trigger = 'resend' THEN d.updated_at ELSE d.created_at END`

// ResendSQL makes deliveries due at @now, whether dead or waiting. Conditions on tailpost.delivery
// AS d follow it.
const ResendSQL = `
UPDATE tailpost.delivery AS d
SET state = 'pending',
    reason = CASE WHEN d.state = 'dead' OR d.reason = 'scheduled' THEN 'resend' ELSE d.reason END,
    next_attempt_at = @now,
    trigger = 'resend',
    updated_at = @now`
