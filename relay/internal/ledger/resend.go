package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Resend is a row of tailpost.resend that is not over.
type Resend struct {
	ID      string
	Filter  DeliveryFilter
	Problem string    // why the selection cannot be read; empty: it can
	AsOf    time.Time // when it began; zero: not yet
	cursor  string    // a resendPlace as JSON; empty: at the beginning
}

// resendPlace is a place in the order in which a resend goes: endpoint by endpoint, each in the
// order of commits. Both states have an index in it; an order over all endpoints would need one
// more, that every delivery is entered into which is parked.
type resendPlace struct {
	EndpointID string `json:"endpoint_id"`
	CommitLSN  string `json:"commit_lsn"`
	Seq        int64  `json:"seq"`
	EventID    string `json:"event_id"`
}

// openResends bounds how many resends take turns.
const openResends = 100

const resendsSQL = `
SELECT id, COALESCE(tenant, ''), selection::text, as_of, COALESCE(cursor, '')
FROM tailpost.resend
WHERE state IN ('pending', 'running')
ORDER BY created_at, id
LIMIT @limit`

// Resends returns the resends that are not over, those asked for first first.
func (o *Operations) Resends(ctx context.Context) (open []Resend, err error) {
	err = o.link.Run(ctx, "look for resends", func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, resendsSQL, pgx.NamedArgs{"limit": openResends})
		if err != nil {
			return err
		}
		open, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Resend, err error) {
			var tenant, selection string
			var asOf *time.Time
			if err := row.Scan(&r.ID, &tenant, &selection, &asOf, &r.cursor); err != nil {
				return r, err
			}
			// A condition that is not known would choose more than what was asked for.
			dec := json.NewDecoder(bytes.NewReader([]byte(selection)))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&r.Filter); err != nil {
				r.Problem = fmt.Sprintf("the selection is not one that this release knows: %v", err)
			}
			r.Filter.Tenant, r.AsOf = tenant, orZero(asOf)
			return r, nil
		})
		return err
	})
	return open, err
}

// resendSQL reads the places of the next deliveries, from an index alone where they are dead. Only
// what an index has chooses here, so that a page looks at no more rows than it has; the rest of the
// filter is for those.
func (r *Resend) resendSQL() (sql string, args pgx.NamedArgs, err error) {
	f := DeliveryFilter{State: r.Filter.State, EventID: r.Filter.EventID}
	where, args := f.SQL()
	if r.Filter.EndpointID != "" {
		// An equation would take the endpoint out of the order, and have the planner use the index
		// of commit_lsn alone through the rows of all the others.
		args["endpoint"] = r.Filter.EndpointID
		where += "\n  AND d.endpoint_id >= @endpoint\n  AND d.endpoint_id <= @endpoint"
	}
	if r.cursor != "" {
		var p resendPlace
		if err := json.Unmarshal([]byte(r.cursor), &p); err != nil {
			return "", nil, fmt.Errorf("read the cursor: %w", err)
		}
		args["at_endpoint"], args["at_lsn"], args["at_seq"], args["at_event"] = p.EndpointID, p.CommitLSN, p.Seq, p.EventID
		where += "\n  AND (d.endpoint_id, d.commit_lsn, d.seq, d.event_id) > (@at_endpoint, @at_lsn::text::pg_lsn, @at_seq, @at_event)"
	}
	return `
SELECT d.endpoint_id, d.commit_lsn::text, d.seq, d.event_id
FROM tailpost.delivery AS d` + where + `
ORDER BY d.endpoint_id, d.commit_lsn, d.seq, d.event_id
LIMIT @limit`, args, nil
}

// resendPatience is how long a page waits for a row that somebody else has locked: recording waits
// for it meanwhile.
const resendPatience = `SET LOCAL lock_timeout = '200ms'`

const resendMoveSQL = `
UPDATE tailpost.resend
SET state = CASE WHEN @over THEN 'done' ELSE 'running' END,
    as_of = @as_of,
    cursor = NULLIF(@cursor, ''),
    queued = queued + @queued,
    updated_at = @now
WHERE id = @id
  AND state IN ('pending', 'running')
  AND cursor IS NOT DISTINCT FROM NULLIF(@was, '')`

// Resent is the result of a page of a resend.
type Resent struct {
	Queued int64
	// Endpoints are those whose queues changed. With an error they may have: the commit may have
	// been made and not heard of.
	Endpoints []string
	Over      bool // it was the last one
}

// ResendPage looks at up to limit deliveries and makes due, in one transaction with how far that
// is, those that the resend chooses and that have not changed since it began. What is locked by
// somebody else is an error soon. ErrOver: it was cancelled, or the page was done already.
func (o *Operations) ResendPage(ctx context.Context, hold Hold, r *Resend, limit int, now time.Time) (page Resent, err error) {
	err = o.link.Once(ctx, "resend deliveries", func(ctx context.Context, conn *pgx.Conn) error {
		places, err := r.next(ctx, conn, limit)
		if err != nil {
			return err
		}
		return inHold(ctx, conn, hold, func(ctx context.Context, tx pgx.Tx) error {
			before := page.Endpoints
			page, err = r.queue(ctx, tx, places, len(places) < limit, now)
			page.Endpoints = append(page.Endpoints, before...)
			return err
		})
	})
	slices.Sort(page.Endpoints)
	page.Endpoints = slices.Compact(page.Endpoints)
	return page, err
}

func (r *Resend) next(ctx context.Context, conn *pgx.Conn, limit int) ([]resendPlace, error) {
	sql, args, err := r.resendSQL()
	if err != nil {
		return nil, err
	}
	args["limit"] = limit
	rows, err := conn.Query(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[resendPlace])
}

func (r *Resend) queue(ctx context.Context, tx pgx.Tx, places []resendPlace, over bool, now time.Time) (page Resent, err error) {
	if _, err := tx.Exec(ctx, resendPatience); err != nil {
		return page, err
	}
	asOf, cursor := r.AsOf, r.cursor
	if asOf.IsZero() {
		asOf = now
	}
	where, args := r.Filter.SQL()
	var events, endpoints []string
	for i := range places {
		events, endpoints = append(events, places[i].EventID), append(endpoints, places[i].EndpointID)
	}
	args["now"], args["as_of"], args["events"], args["endpoints"] = now, asOf, orEmpty(events), orEmpty(endpoints)
	rows, err := tx.Query(ctx, ResendSQL+`
FROM unnest(@events::text[], @endpoints::text[]) AS p (event_id, endpoint_id)`+where+`
  AND d.event_id = p.event_id
  AND d.endpoint_id = p.endpoint_id
  AND d.updated_at <= @as_of
RETURNING d.endpoint_id`, args)
	if err != nil {
		return page, err
	}
	queued, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return page, err
	}
	if len(places) > 0 {
		text, err := json.Marshal(places[len(places)-1])
		if err != nil {
			return page, fmt.Errorf("encode the cursor: %w", err)
		}
		cursor = string(text)
	}
	page = Resent{Queued: int64(len(queued)), Endpoints: queued, Over: over}
	tag, err := tx.Exec(ctx, resendMoveSQL, pgx.NamedArgs{
		"id": r.ID, "over": over, "as_of": asOf, "cursor": cursor, "was": r.cursor, "queued": page.Queued, "now": now,
	})
	if err == nil && tag.RowsAffected() == 0 {
		return page, ErrOver
	}
	return page, err
}

// FailResend notes that a resend cannot be carried out, and why.
func (o *Operations) FailResend(ctx context.Context, hold Hold, id, problem string, now time.Time) error {
	return o.end(ctx, hold, "end a resend", "UPDATE tailpost.resend"+endSQL, id, problem, now)
}
