package query

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// DeliveryQuery asks for a page of deliveries, those of the newest commits first.
type DeliveryQuery struct {
	ledger.DeliveryFilter

	After DeliveryPosition
	Limit int
}

// DeliveryPosition is a place among deliveries in the order of their pages. The zero one is the
// start.
type DeliveryPosition struct {
	CommitLSN  outbox.LSN
	Seq        int64
	EventID    string
	EndpointID string
}

// Delivery is an unfinished delivery without its payload.
type Delivery struct {
	outbox.Delivery

	EndpointName string
	Trigger      string // resend or replay; empty: nobody asked for it
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

const (
	deliveryFields = `
SELECT d.event_id, d.endpoint_id, COALESCE(e.name, ''), d.state, d.reason, d.attempts, d.next_attempt_at, d.event_type,
       COALESCE(d.tenant, ''), COALESCE(d.key, ''), d.event_created_at, d.commit_lsn::text, d.seq,
       COALESCE(d.last_status, 0), COALESCE(d.last_error, ''), COALESCE(d.trigger, ''), d.created_at, d.updated_at,
       d.deliver_at, d.expires_at`

	deliveryNames = `
LEFT JOIN tailpost.endpoint AS e ON e.id = d.endpoint_id`

	deliveryColumns = deliveryFields + "\nFROM tailpost.delivery AS d" + deliveryNames
)

// A page is chosen before its endpoints are looked up: where one transaction has most of the
// deliveries, Postgres takes those that follow a place in it for few, and would look up all.
const (
	deliveriesStartSQL = deliveryFields + `
FROM (
    SELECT d.event_id, d.endpoint_id, d.state, d.reason, d.attempts, d.next_attempt_at, d.event_type, d.tenant, d.key, d.event_created_at,
           d.commit_lsn, d.seq, d.last_status, d.last_error, d.trigger, d.created_at, d.updated_at, d.deliver_at, d.expires_at
    FROM tailpost.delivery AS d`

	deliveriesEndSQL = deliveriesOrder + `
    LIMIT @limit
) AS d` + deliveryNames + deliveriesOrder

	deliveriesOrder = `
ORDER BY d.commit_lsn DESC, d.seq DESC, d.event_id DESC, d.endpoint_id DESC`
)

// Deliveries returns a page.
func (s deliveries) Deliveries(ctx context.Context, q DeliveryQuery) (page []Delivery, err error) {
	err = s.read(ctx, "list deliveries", func(ctx context.Context, tx pgx.Tx) (err error) {
		page, err = readDeliveries(ctx, tx, q)
		return err
	})
	return page, err
}

func readDeliveries(ctx context.Context, tx pgx.Tx, q DeliveryQuery) ([]Delivery, error) {
	where, args := q.SQL()
	args["limit"] = q.Limit
	if p := q.After; p != (DeliveryPosition{}) {
		where += "\n  AND (d.commit_lsn, d.seq, d.event_id, d.endpoint_id) < (@lsn::text::pg_lsn, @seq, @at_event, @at_endpoint)"
		args["lsn"], args["seq"], args["at_event"], args["at_endpoint"] = p.CommitLSN.String(), p.Seq, p.EventID, p.EndpointID
	}
	return many(ctx, tx, deliveriesStartSQL+where+deliveriesEndSQL, args, scanDelivery)
}

func scanDelivery(row pgx.CollectableRow) (d Delivery, err error) {
	var next, created, deliver, expires pgtype.Timestamptz
	var lsn string
	e := &d.Event
	err = row.Scan(&e.ID, &d.EndpointID, &d.EndpointName, &d.State, &d.Reason, &d.Attempts, &next, &e.Type, &e.Tenant, &e.Key,
		&created, &lsn, &e.Seq, &d.LastStatus, &d.LastError, &d.Trigger, &d.CreatedAt, &d.UpdatedAt,
		&deliver, &expires)
	if err != nil {
		return d, err
	}
	d.NextAttemptAt, e.CreatedAt = readableTime(next), readableTime(created)
	e.DeliverAt, e.ExpiresAt = readableTime(deliver), readableTime(expires)
	e.CommitLSN, err = outbox.ParseLSN(lsn)
	return d, err
}

// CountDeliveries says how many deliveries a filter chooses.
func (s deliveries) CountDeliveries(ctx context.Context, f ledger.DeliveryFilter) (n int64, err error) {
	err = s.read(ctx, "count deliveries", func(ctx context.Context, tx pgx.Tx) (err error) {
		n, err = countDeliveries(ctx, tx, f)
		return err
	})
	return n, err
}

// CountDeliveriesAsOf also returns when the last of them came into its state: with it as AsOf, the
// filter chooses none that comes later. It is zero where there is none.
func (s deliveries) CountDeliveriesAsOf(ctx context.Context, f ledger.DeliveryFilter) (n int64, asOf time.Time, err error) {
	err = s.read(ctx, "count deliveries", func(ctx context.Context, tx pgx.Tx) error {
		where, args := f.SQL()
		var last *time.Time
		err := tx.QueryRow(ctx, "SELECT count(*), max("+ledger.ThereSinceSQL+") FROM tailpost.delivery AS d"+where, args).Scan(&n, &last)
		if err == nil && last != nil {
			asOf = last.UTC()
		}
		return err
	})
	return n, asOf, err
}

func countDeliveries(ctx context.Context, tx pgx.Tx, f ledger.DeliveryFilter) (n int64, err error) {
	where, args := f.SQL()
	err = tx.QueryRow(ctx, "SELECT count(*) FROM tailpost.delivery AS d"+where, args).Scan(&n)
	return n, err
}

// Resend makes deliveries due now, whether dead or waiting, and says how many. It is for a filter
// that names an event and an endpoint: many are for CreateResend.
func (c deliveryChanges) Resend(ctx context.Context, f ledger.DeliveryFilter) (int64, error) {
	where, args := f.SQL()
	args["now"] = c.now
	tag, err := c.tx.Exec(ctx, ledger.ResendSQL+where, args)
	if err != nil {
		return 0, fmt.Errorf("resend the delivery: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return 0, nil
	}
	return tag.RowsAffected(), c.due(ctx, []string{f.EndpointID})
}

// MostDiscarded bounds Discard, so that what is recorded never waits for long: the rows are locked
// until the commit.
const MostDiscarded = 10_000

// touched sums a statement over endpoints.
type touched struct {
	EndpointID string
	N          int64
}

// Discard gives up deliveries for good and returns how many. If that is MostDiscarded, there may be
// more.
func (c deliveryChanges) Discard(ctx context.Context, f ledger.DeliveryFilter) (n int64, err error) {
	where, args := f.SQL()
	args["now"], args["most"] = c.now, MostDiscarded
	// One that was never attempted leaves no other trace, and the audit would take it for lost.
	sums, err := many(ctx, c.tx, `
WITH t AS (
    DELETE FROM tailpost.delivery AS x
    USING (
        SELECT d.event_id, d.endpoint_id
        FROM tailpost.delivery AS d`+where+`
        LIMIT @most
        FOR UPDATE
    ) AS chosen
    WHERE x.event_id = chosen.event_id
      AND x.endpoint_id = chosen.endpoint_id
    RETURNING x.event_id, x.endpoint_id, x.attempts
),
noted AS (
    INSERT INTO tailpost.discarded (event_id, endpoint_id, at)
    SELECT event_id, endpoint_id, @now::timestamptz
    FROM t
    WHERE attempts = 0
    ON CONFLICT (event_id, endpoint_id) DO NOTHING
)
SELECT endpoint_id, count(*) FROM t GROUP BY endpoint_id`, args, pgx.RowToStructByPos[touched])
	if err != nil {
		return 0, fmt.Errorf("discard deliveries: %w", err)
	}
	ids := make([]string, 0, len(sums))
	for _, t := range sums {
		n += t.N
		ids = append(ids, t.EndpointID)
	}
	return n, c.due(ctx, ids)
}
