package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
)

// dueBytes bounds the payloads of one load, beyond its first row.
const dueBytes = 16 << 20

// dueColumns are the columns that delivery scans, in its order. What follows must say
// due.commit_lsn: the name alone is that of the column which is selected, and in the order of text
// 0/FF0 comes after 0/1000.
const dueColumns = `
SELECT event_id, endpoint_id, state, reason, attempts, next_attempt_at, event_type, COALESCE(tenant, ''),
       COALESCE(key, ''), payload, headers, event_created_at, commit_lsn::text, seq, COALESCE(last_status, 0),
       COALESCE(last_error, ''), COALESCE(trigger, ''), created_at, deliver_at, expires_at, extra
FROM (`

// Parked is what waits in tailpost.delivery. It has a connection of its own, so that nothing but
// other retries keeps a retry waiting: where a lock or a timeout keeps a statement from running,
// that is an error at once. Its methods are safe for concurrent use.
type Parked struct{ link *Link }

// PageQuery asks for parked deliveries of one endpoint that are due.
type PageQuery struct {
	EndpointID string
	Now        time.Time
	Exclude    []string // ids of events to leave out
	Limit      int
	Unkeyed    bool // only events without a key
}

// Page is an answer to a PageQuery.
type Page struct {
	Deliveries []outbox.Delivery // in the order of next_attempt_at, then of commit
	// Next is when to ask again: the query's Now if more is due than came back, else the earliest
	// next_attempt_at after it; zero: nothing is scheduled.
	Next time.Time
}

// The inner query sums the payloads before each row, which reads their lengths only; those past the
// bound are never read.
const pageSQL = dueColumns + `
    SELECT d.*,
           COALESCE(sum(octet_length(payload)) OVER (
               ORDER BY next_attempt_at, commit_lsn, seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ), 0) AS bytes_before
    FROM tailpost.delivery AS d
    WHERE endpoint_id = @endpoint
      AND state = 'pending'
      AND next_attempt_at <= @now
      AND event_id <> ALL (@exclude::text[])
      AND (key IS NULL OR NOT @unkeyed)
    ORDER BY next_attempt_at, commit_lsn, seq
    LIMIT @limit
) AS due
WHERE bytes_before < @bytes
ORDER BY due.next_attempt_at, due.commit_lsn, due.seq`

const nextSQL = `
SELECT min(next_attempt_at)
FROM tailpost.delivery
WHERE endpoint_id = @endpoint
  AND state = 'pending'
  AND next_attempt_at > @now
  AND (key IS NULL OR NOT @unkeyed)`

// Page reads a page of parked deliveries: at most Limit, and fewer where their payloads are large,
// but at least one.
func (w *Parked) Page(ctx context.Context, q PageQuery) (Page, error) {
	args := pgx.NamedArgs{
		"endpoint": q.EndpointID, "now": q.Now, "exclude": orEmpty(q.Exclude), "limit": q.Limit, "bytes": dueBytes,
		"unkeyed": q.Unkeyed,
	}
	var p Page
	err := w.link.Once(ctx, "load due deliveries", func(ctx context.Context, conn *pgx.Conn) (err error) {
		if p.Deliveries, err = collect(ctx, conn, pageSQL, args); err != nil {
			return err
		}
		if len(p.Deliveries) == q.Limit || payloads(p.Deliveries) >= dueBytes {
			p.Next = q.Now
			return nil
		}
		var next *time.Time
		if err := conn.QueryRow(ctx, nextSQL, args).Scan(&next); err != nil {
			return fmt.Errorf("find the next due delivery: %w", err)
		}
		p.Next = time.Time{}
		if next != nil {
			p.Next = next.UTC()
		}
		return nil
	})
	return p, err
}

const keysSQL = dueColumns + `
    SELECT d.*,
           COALESCE(sum(octet_length(d.payload)) OVER (
               ORDER BY k.place, d.commit_lsn, d.seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ), 0) AS bytes_before, k.place
    FROM unnest(@keys::text[]) WITH ORDINALITY AS k (key, place)
    CROSS JOIN LATERAL (
        (SELECT *
         FROM tailpost.delivery AS o
         WHERE o.endpoint_id = @endpoint
           AND o.state = 'pending'
           AND o.key = k.key
         ORDER BY o.commit_lsn, o.seq
         LIMIT @limit)
        UNION ALL
        (SELECT *
         FROM tailpost.delivery AS o
         WHERE o.endpoint_id = @endpoint
           AND o.state = 'dead'
           AND o.key = k.key
           AND @dead
         ORDER BY o.commit_lsn, o.seq
         LIMIT 1)
    ) AS d
) AS due
WHERE bytes_before < @bytes
ORDER BY due.place, due.commit_lsn, due.seq`

// InKeyOrder reads the first pending deliveries of each key of an endpoint, due or not, in commit
// order: at most perKey of each, and fewer where their payloads are large. Whole says that payloads
// left nothing out, so that a key without a delivery has none. With dead, the first dead delivery
// of each key is among them, in its place.
func (w *Parked) InKeyOrder(ctx context.Context, endpointID string, keys []string, perKey int, dead bool) (rows []outbox.Delivery, whole bool, err error) {
	err = w.link.Once(ctx, "load deliveries by key", func(ctx context.Context, conn *pgx.Conn) (err error) {
		rows, err = collect(ctx, conn, keysSQL, pgx.NamedArgs{
			"endpoint": endpointID, "keys": orEmpty(keys), "limit": perKey, "bytes": dueBytes, "dead": dead,
		})
		return err
	})
	return rows, payloads(rows) < dueBytes, err
}

const orderSQL = dueColumns + `
    SELECT d.*,
           COALESCE(sum(octet_length(payload)) OVER (
               ORDER BY commit_lsn, seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ), 0) AS bytes_before
    FROM (
        (SELECT *
         FROM tailpost.delivery
         WHERE endpoint_id = @endpoint
           AND state = 'pending'
         ORDER BY commit_lsn, seq
         LIMIT @limit)
        UNION ALL
        (SELECT *
         FROM tailpost.delivery
         WHERE endpoint_id = @endpoint
           AND state = 'dead'
           AND @dead
         ORDER BY commit_lsn, seq
         LIMIT 1)
    ) AS d
) AS due
WHERE bytes_before < @bytes
ORDER BY due.commit_lsn, due.seq`

// InOrder reads the first pending deliveries of an endpoint, due or not, in commit order, bounded
// like a Page; whole says that payloads left nothing out. With dead, the first dead one is among
// them, in its place.
func (w *Parked) InOrder(ctx context.Context, endpointID string, limit int, dead bool) (rows []outbox.Delivery, whole bool, err error) {
	err = w.link.Once(ctx, "load deliveries in order", func(ctx context.Context, conn *pgx.Conn) (err error) {
		rows, err = collect(ctx, conn, orderSQL, pgx.NamedArgs{"endpoint": endpointID, "limit": limit, "bytes": dueBytes, "dead": dead})
		return err
	})
	whole = payloads(rows) < dueBytes
	return rows, whole, err
}

func collect(ctx context.Context, conn *pgx.Conn, sql string, args pgx.NamedArgs) ([]outbox.Delivery, error) {
	rows, err := conn.Query(ctx, sql, args)
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", err)
	}
	ds, err := pgx.CollectRows(rows, delivery)
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", err)
	}
	return ds, nil
}

func payloads(ds []outbox.Delivery) (n int) {
	for i := range ds {
		n += len(ds[i].Event.Payload)
	}
	return n
}

// orEmpty turns nil, which would be NULL, into an empty array.
func orEmpty(ids []string) []string {
	if ids == nil {
		return []string{}
	}
	return ids
}

func delivery(row pgx.CollectableRow) (outbox.Delivery, error) {
	var (
		d       outbox.Delivery
		next    *time.Time
		payload []byte
		deliver *time.Time
		expires *time.Time
		extra   []byte
		headers *string
		lsn     string
	)
	e := &d.Event
	err := row.Scan(&e.ID, &d.EndpointID, &d.State, &d.Reason, &d.Attempts, &next, &e.Type, &e.Tenant, &e.Key, &payload,
		&headers, &e.CreatedAt, &lsn, &e.Seq, &d.LastStatus, &d.LastError, &d.Trigger, &d.QueuedAt, &deliver, &expires, &extra)
	if err != nil {
		return d, err
	}
	e.Payload, e.Extra, e.CreatedAt, d.QueuedAt = payload, extra, e.CreatedAt.UTC(), d.QueuedAt.UTC()
	d.NextAttemptAt, e.DeliverAt, e.ExpiresAt = orZero(next), orZero(deliver), orZero(expires)
	if headers != nil {
		if err := json.Unmarshal([]byte(*headers), &e.Headers); err != nil {
			return d, fmt.Errorf("read the headers of event %s: %w", e.ID, err)
		}
	}
	e.CommitLSN, err = outbox.ParseLSN(lsn)
	return d, err
}
