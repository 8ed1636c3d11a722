package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

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
  AND (state = 'pending' OR @dead)
  AND key IS NOT NULL
ORDER BY key, commit_lsn, seq`

// Heads gives the head of every key of an endpoint that has pending deliveries, ordered by key. Dead ones count too if
// others wait for them.
func (w *Parked) Heads(ctx context.Context, endpointID string, dead bool) ([]Head, error) {
	var heads []Head
	err := w.link.Once(ctx, "load the heads of keys", func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, headsSQL, pgx.NamedArgs{"endpoint": endpointID, "dead": dead})
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
	// Unscheduled counts those without a time: they wait behind an earlier one.
	Unscheduled int64
}

const nextDueSQL = `
SELECT endpoint_id, min(next_attempt_at), count(*), count(*) FILTER (WHERE next_attempt_at IS NULL)
FROM tailpost.delivery
WHERE state = 'pending'
GROUP BY endpoint_id`

// NextDue gives the queue of every endpoint that has pending deliveries.
func (w *Parked) NextDue(ctx context.Context) (map[string]Queue, error) {
	var queues map[string]Queue
	err := w.link.Once(ctx, "load the queues", func(ctx context.Context, conn *pgx.Conn) error {
		queues = make(map[string]Queue)
		rows, err := conn.Query(ctx, nextDueSQL)
		if err != nil {
			return err
		}
		var (
			endpoint string
			next     *time.Time
			count    int64
			none     int64
		)
		_, err = pgx.ForEachRow(rows, []any{&endpoint, &next, &count, &none}, func() error {
			q := Queue{Count: count, Unscheduled: none}
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

const loosenSQL = `
UPDATE tailpost.delivery
SET next_attempt_at = @now
WHERE endpoint_id = @endpoint
  AND state = 'pending'
  AND next_attempt_at IS NULL
  AND (@keyed OR key IS NULL)`

// Loosen makes due the pending deliveries of an endpoint that wait behind an earlier one, because its ordering has
// changed: all of them, or only those without a key.
func (w *Parked) Loosen(ctx context.Context, endpointID string, keyed bool, now time.Time) error {
	return w.link.Once(ctx, "let deliveries go out of order", func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, loosenSQL, pgx.NamedArgs{"endpoint": endpointID, "keyed": keyed, "now": now})
		return err
	})
}

const firstSQL = `
SELECT event_id, next_attempt_at, count(*) OVER ()
FROM tailpost.delivery
WHERE endpoint_id = @endpoint
  AND (state = 'pending' OR @dead)
ORDER BY commit_lsn, seq
LIMIT 1`

// First gives the head of an endpoint whose deliveries are all in one order, under an empty key; none: nothing is pending.
func (w *Parked) First(ctx context.Context, endpointID string, dead bool) (heads []Head, err error) {
	err = w.link.Once(ctx, "load the head of the queue", func(ctx context.Context, conn *pgx.Conn) error {
		var (
			h    Head
			next *time.Time
		)
		heads = nil
		err := conn.QueryRow(ctx, firstSQL, pgx.NamedArgs{"endpoint": endpointID, "dead": dead}).Scan(&h.EventID, &next, &h.Count)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if next != nil {
			h.NextAttemptAt = next.UTC()
		}
		heads = []Head{h}
		return err
	})
	return heads, err
}
