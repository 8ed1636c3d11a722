package query

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// ExplainQuery asks what became of an event at endpoints, the newest endpoints first.
type ExplainQuery struct {
	Tenant     string // of the caller's key; empty: none
	EventID    string
	EndpointID string // empty: every endpoint that the caller may see
	After      Position
	Limit      int
}

// Explained is an event and what is known of it at endpoints.
type Explained struct {
	Event     outbox.Event
	HasRow    bool       // the payload is there
	SettledAt *time.Time // commit time of the last settled transaction, of the partition that is behind most; nil: not known of each
	Endpoints []ExplainedEndpoint
}

// ExplainedEndpoint is what is known of an event at one endpoint.
type ExplainedEndpoint struct {
	Row         ledger.EndpointRow
	RoutedSince time.Time // since when it wants what it wants
	Delivery    *Delivery // unfinished, or dead for everyone before it was routed; nil: there is none
	Last        *LastAttempt
	DiscardedAt *time.Time
	Head        *Delivery // what the delivery waits for in the order of its endpoint; nil: nothing
}

// LastAttempt is the attempt that delivered, or the last one.
type LastAttempt struct {
	Number     int
	Outcome    outbox.Outcome
	StatusCode int
	Error      string
	At         time.Time
}

const explainEndpointsSQL = endpointColumns + `
WHERE (@tenant::text = '' OR tenant = @tenant)
  AND (@endpoint::text = '' OR id = @endpoint)
  AND (@at::timestamptz IS NULL OR (created_at, id) < (@at, @id))
ORDER BY created_at DESC, id DESC
LIMIT @limit`

const routedSinceSQL = `
SELECT e.id, e.routed_since, x.at
FROM tailpost.endpoint AS e
LEFT JOIN tailpost.discarded AS x ON x.event_id = @event AND x.endpoint_id = e.id
WHERE e.id = ANY (@ids::text[])`

// lastAttemptsSQL reads an event's attempts by its index; nothing is added to the endpoint for the
// same reason as in recordedSQL.
const lastAttemptsSQL = `
SELECT DISTINCT ON (a.endpoint_id) a.endpoint_id, a.number, a.outcome, COALESCE(a.status_code, 0), COALESCE(a.error, ''), a.attempted_at
FROM tailpost.attempt AS a
WHERE a.event_id = @event
  AND a.endpoint_id || '' = ANY (@ids::text[])
  AND a.trigger <> 'test'
ORDER BY a.endpoint_id, a.outcome = 'delivered' DESC, a.attempted_at DESC, a.number DESC`

// headSQL finds what is first in the order that a delivery waits in; the partial indexes have the
// state as it stands here.
const (
	headSQL = deliveryColumns + `
WHERE d.endpoint_id = @endpoint
  AND d.state = 'pending'` + headOrderSQL
	deadHeadSQL = deliveryColumns + `
WHERE d.endpoint_id = @endpoint
  AND d.state = 'dead'` + headOrderSQL
	headOrderSQL = `
  AND (@key::text IS NULL OR d.key = @key)
  AND (d.commit_lsn, d.seq) < (@lsn::text::pg_lsn, @seq)
ORDER BY d.commit_lsn, d.seq
LIMIT 1`
)

// Explain reads what is known of an event and a page of endpoints. ErrNotFound: there is no trace
// of the event, or no such endpoint, for the caller.
func (s events) Explain(ctx context.Context, q ExplainQuery) (Explained, error) {
	var out Explained
	err := s.read(ctx, "explain the event", func(ctx context.Context, tx pgx.Tx) error {
		out = Explained{}
		var found Event
		if err := s.traceEvent(ctx, tx, q.Tenant, q.EventID, &found); err != nil {
			return err
		}
		out.Event, out.HasRow = found.Event, found.HasRow
		if err := tx.QueryRow(ctx, explainSettledSQL).Scan(&out.SettledAt); err != nil {
			return err
		}
		rows, err := many(ctx, tx, explainEndpointsSQL, pgx.NamedArgs{
			"tenant": q.Tenant, "endpoint": q.EndpointID, "at": timeOrNull(q.After.At), "id": q.After.ID, "limit": q.Limit,
		}, scanEndpoint)
		switch {
		case err != nil:
			return err
		case len(rows) == 0 && q.EndpointID != "":
			return ErrNotFound
		}
		out.Endpoints = make([]ExplainedEndpoint, len(rows))
		for i := range rows {
			out.Endpoints[i].Row = rows[i]
		}
		return explainAt(ctx, tx, q.EventID, out.Endpoints)
	})
	return out, err
}

const explainSettledSQL = `
SELECT max(` + allSettledAtSQL + `)
FROM tailpost.relay AS r
WHERE r.partition_of IS NULL`

// explainAt fills in what there is of the event at each endpoint.
func explainAt(ctx context.Context, tx pgx.Tx, event string, endpoints []ExplainedEndpoint) error {
	at := make(map[string]*ExplainedEndpoint, len(endpoints))
	ids := make([]string, len(endpoints))
	for i := range endpoints {
		ids[i] = endpoints[i].Row.ID
		at[ids[i]] = &endpoints[i]
	}
	args := pgx.NamedArgs{"event": event, "ids": ids}
	rows, err := tx.Query(ctx, routedSinceSQL, args)
	if err != nil {
		return err
	}
	var id string
	var since time.Time
	var discarded *time.Time
	if _, err := pgx.ForEachRow(rows, []any{&id, &since, &discarded}, func() error {
		at[id].RoutedSince, at[id].DiscardedAt = since.UTC(), discarded
		discarded = nil
		return nil
	}); err != nil {
		return err
	}
	if rows, err = tx.Query(ctx, lastAttemptsSQL, args); err != nil {
		return err
	}
	var last LastAttempt
	if _, err := pgx.ForEachRow(rows, []any{&id, &last.Number, &last.Outcome, &last.StatusCode, &last.Error, &last.At}, func() error {
		attempt := last
		attempt.At = attempt.At.UTC()
		at[id].Last = &attempt
		return nil
	}); err != nil {
		return err
	}
	args["ids"] = slices.Concat(ids, []string{everyone})
	deliveries, err := many(ctx, tx, deliveryColumns+"\nWHERE d.event_id = @event\n  AND d.endpoint_id = ANY (@ids::text[])", args, scanDelivery)
	if err != nil {
		return err
	}
	var unrouted *Delivery
	for i := range deliveries {
		d := &deliveries[i]
		if d.EndpointID == everyone {
			unrouted = d
			continue
		}
		at[d.EndpointID].Delivery = d
		if at[d.EndpointID].Head, err = headOf(ctx, tx, d, &at[d.EndpointID].Row); err != nil {
			return err
		}
	}
	for _, e := range at {
		if e.Delivery == nil && e.Last == nil && e.DiscardedAt == nil {
			e.Delivery = unrouted
		}
	}
	return nil
}

// everyone is the endpoint of a dead delivery of an event that could not be read, so that nobody
// knows who wants it.
const everyone = "*"

// headOf returns what a delivery waits for in the order of its endpoint, or nil.
func headOf(ctx context.Context, tx pgx.Tx, d *Delivery, row *ledger.EndpointRow) (*Delivery, error) {
	cfg, err := ledger.DecodeEndpoint(*row)
	byKey := cfg.Ordering == config.OrderingKey && d.Event.Key != ""
	if err != nil || d.State != outbox.Pending || !byKey && cfg.Ordering != config.OrderingStrict {
		return nil, nil //nolint:nilnil,nilerr // a row that cannot be read tells of no order
	}
	args := pgx.NamedArgs{"endpoint": d.EndpointID, "key": nil, "lsn": d.Event.CommitLSN.String(), "seq": d.Event.Seq}
	if byKey {
		args["key"] = d.Event.Key
	}
	heads, err := many(ctx, tx, headSQL, args, scanDelivery)
	if err != nil {
		return nil, err
	}
	if cfg.OnDead == config.OnDeadHold {
		dead, err := many(ctx, tx, deadHeadSQL, args, scanDelivery)
		if err != nil {
			return nil, err
		}
		heads = append(dead, heads...)
	}
	if len(heads) == 0 {
		return nil, nil //nolint:nilnil // it waits for nothing
	}
	return &heads[0], nil
}
