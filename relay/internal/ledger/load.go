package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailpost/tailpost/outbox"
)

// dueBytes bounds the payloads of one load, beyond its first row.
const dueBytes = 16 << 20

// load lends the connection to f, again and again while the database is out of reach or busy.
func (l *Ledger) load(ctx context.Context, what string, f func(context.Context, *pgx.Conn) error) error {
	if err := l.loading.acquire(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer l.loading.release()
	var delay backoff
	for {
		had := l.loading.conn != nil
		err := l.lend(ctx, f)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return interrupted(ctx, what)
		}
		switch {
		case l.loading.conn == nil:
			if had {
				l.lose(err)
				continue
			}
		case judge(err) != transient:
			return fmt.Errorf("%s: %w", what, describe(err))
		}
		l.options.Logger.Warn().Err(describe(err)).Msg("waiting for the database")
		if delay.wait(ctx) != nil {
			return interrupted(ctx, what)
		}
	}
}

// lend runs f with a connection that works as far as anybody knows. After an error that made it useless there is none.
func (l *Ledger) lend(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	ld := l.loading
	if ld.conn == nil {
		conn, err := connect(ctx, l.config)
		if err != nil {
			return err
		}
		ld.conn = conn
	}
	err := f(ctx, ld.conn)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && judge(err) == lost {
		// Its error is why it is given up.
		_ = ld.conn.Close(ctx)
	}
	if ld.conn.IsClosed() {
		ld.conn = nil
	}
	return err
}

const recordedSQL = `
SELECT event_id, endpoint_id
FROM tailpost.attempt
WHERE commit_lsn >= @from::text::pg_lsn
  AND outcome IN ('delivered', 'dead')
UNION ALL
SELECT event_id, endpoint_id
FROM tailpost.delivery
WHERE commit_lsn >= @from::text::pg_lsn`

// Recorded gives the deliveries of events that committed at or after from and are settled: they have a final attempt, or a
// row in the queue. A relay that starts streaming at from skips them once.
func (l *Ledger) Recorded(ctx context.Context, from outbox.LSN) (map[outbox.Pair]struct{}, error) {
	var pairs map[outbox.Pair]struct{}
	err := l.load(ctx, "load what is recorded", func(ctx context.Context, conn *pgx.Conn) error {
		pairs = make(map[outbox.Pair]struct{})
		endpoints := make(map[string]string) // one copy of each id instead of one a row
		rows, err := conn.Query(ctx, recordedSQL, pgx.NamedArgs{"from": from.String()})
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			raw := rows.RawValues()
			endpoint, ok := endpoints[string(raw[1])]
			if !ok {
				endpoint = string(raw[1])
				endpoints[endpoint] = endpoint
			}
			pairs[outbox.Pair{EventID: string(raw[0]), EndpointID: endpoint}] = struct{}{}
		}
		return rows.Err()
	})
	return pairs, err
}

// dueColumns are what delivery scans, in its order.
const dueColumns = `
SELECT event_id, endpoint_id, state, reason, attempts, next_attempt_at, event_type, COALESCE(tenant, ''),
       COALESCE(key, ''), payload, headers, event_created_at, commit_lsn::text, seq, COALESCE(last_status, 0),
       COALESCE(last_error, '')
FROM (`

// The inner query sums the payloads before each row, which reads their lengths only; those past the bound are never read.
const dueSQL = dueColumns + `
    SELECT d.*,
           COALESCE(sum(octet_length(payload)) OVER (
               ORDER BY next_attempt_at, commit_lsn, seq, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ), 0) AS bytes_before
    FROM tailpost.delivery AS d
    WHERE endpoint_id = @endpoint
      AND state = 'pending'
      AND next_attempt_at <= @now
      AND event_id <> ALL (@exclude::text[])
    ORDER BY next_attempt_at, commit_lsn, seq, event_id
    LIMIT @limit
) AS due
WHERE bytes_before < @bytes
ORDER BY next_attempt_at, commit_lsn, seq, event_id`

const dueKeySQL = dueColumns + `
    SELECT d.*,
           COALESCE(sum(octet_length(payload)) OVER (
               ORDER BY commit_lsn, seq, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ), 0) AS bytes_before
    FROM tailpost.delivery AS d
    WHERE endpoint_id = @endpoint
      AND state = 'pending'
      AND key = @key
    ORDER BY commit_lsn, seq, event_id
    LIMIT @limit
) AS due
WHERE bytes_before < @bytes
ORDER BY commit_lsn, seq, event_id`

const dueStrictSQL = dueColumns + `
    SELECT d.*,
           COALESCE(sum(octet_length(payload)) OVER (
               ORDER BY commit_lsn, seq, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ), 0) AS bytes_before
    FROM tailpost.delivery AS d
    WHERE endpoint_id = @endpoint
      AND state = 'pending'
    ORDER BY commit_lsn, seq, event_id
    LIMIT @limit
) AS due
WHERE bytes_before < @bytes
ORDER BY commit_lsn, seq, event_id`

// Due gives an endpoint's pending deliveries that are due at now, except those of the events in exclude, in the order of
// next_attempt_at and then of commit: at most limit, and fewer where their payloads are large, but at least one.
func (l *Ledger) Due(ctx context.Context, endpointID string, now time.Time, exclude []string, limit int) ([]outbox.Delivery, error) {
	if exclude == nil {
		exclude = []string{}
	}
	return l.deliveries(ctx, dueSQL, pgx.NamedArgs{
		"endpoint": endpointID, "now": now, "exclude": exclude, "limit": limit, "bytes": dueBytes,
	})
}

// DueKey gives the pending deliveries of one key of an endpoint in commit order, due or not, bounded like Due's.
func (l *Ledger) DueKey(ctx context.Context, endpointID, key string, limit int) ([]outbox.Delivery, error) {
	return l.deliveries(ctx, dueKeySQL, pgx.NamedArgs{"endpoint": endpointID, "key": key, "limit": limit, "bytes": dueBytes})
}

// DueStrict gives all pending deliveries of an endpoint in commit order, due or not, bounded like Due's.
func (l *Ledger) DueStrict(ctx context.Context, endpointID string, limit int) ([]outbox.Delivery, error) {
	return l.deliveries(ctx, dueStrictSQL, pgx.NamedArgs{"endpoint": endpointID, "limit": limit, "bytes": dueBytes})
}

func (l *Ledger) deliveries(ctx context.Context, sql string, args pgx.NamedArgs) ([]outbox.Delivery, error) {
	var ds []outbox.Delivery
	err := l.load(ctx, "load due deliveries", func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, args)
		if err != nil {
			return err
		}
		ds, err = pgx.CollectRows(rows, delivery)
		return err
	})
	return ds, err
}

func delivery(row pgx.CollectableRow) (outbox.Delivery, error) {
	var (
		d       outbox.Delivery
		next    *time.Time
		payload []byte
		headers *string
		lsn     string
	)
	e := &d.Event
	err := row.Scan(&e.ID, &d.EndpointID, &d.State, &d.Reason, &d.Attempts, &next, &e.Type, &e.Tenant, &e.Key, &payload,
		&headers, &e.CreatedAt, &lsn, &e.Seq, &d.LastStatus, &d.LastError)
	if err != nil {
		return d, err
	}
	e.Payload, e.CreatedAt = payload, e.CreatedAt.UTC()
	if next != nil {
		d.NextAttemptAt = next.UTC()
	}
	if headers != nil {
		if err := json.Unmarshal([]byte(*headers), &e.Headers); err != nil {
			return d, fmt.Errorf("read the headers of event %s: %w", e.ID, err)
		}
	}
	e.CommitLSN, err = outbox.ParseLSN(lsn)
	return d, err
}

// Head is the first pending delivery of a key, in commit order.
type Head struct {
	Key           string
	EventID       string
	NextAttemptAt time.Time // zero: it waits
	Count         int64     // pending deliveries of the key
}

const headsSQL = `
SELECT DISTINCT ON (key) key, event_id, next_attempt_at, count(*) OVER (PARTITION BY key)
FROM tailpost.delivery
WHERE endpoint_id = @endpoint
  AND state = 'pending'
  AND key IS NOT NULL
ORDER BY key, commit_lsn, seq, event_id`

// Heads gives the head of every key of an endpoint that has pending deliveries, ordered by key.
func (l *Ledger) Heads(ctx context.Context, endpointID string) ([]Head, error) {
	var heads []Head
	err := l.load(ctx, "load the heads of keys", func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, headsSQL, pgx.NamedArgs{"endpoint": endpointID})
		if err != nil {
			return err
		}
		heads, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (h Head, err error) {
			var next *time.Time
			err = row.Scan(&h.Key, &h.EventID, &next, &h.Count)
			if next != nil {
				h.NextAttemptAt = next.UTC()
			}
			return h, err
		})
		return err
	})
	return heads, err
}

// Queue sums an endpoint's pending deliveries.
type Queue struct {
	Next  time.Time // the earliest next_attempt_at; zero: none has one
	Count int64
}

const nextDueSQL = `
SELECT endpoint_id, min(next_attempt_at), count(*)
FROM tailpost.delivery
WHERE state = 'pending'
GROUP BY endpoint_id`

// NextDue gives the queue of every endpoint that has pending deliveries.
func (l *Ledger) NextDue(ctx context.Context) (map[string]Queue, error) {
	var queues map[string]Queue
	err := l.load(ctx, "load the queues", func(ctx context.Context, conn *pgx.Conn) error {
		queues = make(map[string]Queue)
		rows, err := conn.Query(ctx, nextDueSQL)
		if err != nil {
			return err
		}
		var (
			endpoint string
			next     *time.Time
			count    int64
		)
		_, err = pgx.ForEachRow(rows, []any{&endpoint, &next, &count}, func() error {
			q := Queue{Count: count}
			if next != nil {
				q.Next = next.UTC()
			}
			queues[endpoint] = q
			return nil
		})
		return err
	})
	return queues, err
}
