package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

// Replay is a row of tailpost.replay that is not over.
type Replay struct {
	scan.Reading // InOrder where its endpoint has an order

	ID         string
	EndpointID string
	Types      []string
	Running    bool
	Done       int64
	Place      outbox.LSN   // 0: not running yet
	Total      *int64       // nil: not counted
	Searched   bool         // the search for what is missing is over
	Again      bool         // it is, or was, the second one
	Missing    scan.Missing // how far it is
}

const replaysSQL = `
SELECT DISTINCT ON (endpoint_id) id, endpoint_id, types, since, until, state = 'running', done, COALESCE(cursor, ''),
       COALESCE(cursor_at::text, ''), in_order, COALESCE(place, '0/0')::text, missing IS NOT NULL OR missing_error IS NOT NULL, missing_found, COALESCE(missing_cursor, ''),
       total, missing_again
FROM tailpost.replay
WHERE state IN ('pending', 'running')
ORDER BY endpoint_id, created_at, id`

// Replays returns the first replay of each endpoint that has one which is not over.
func (o *Operations) Replays(ctx context.Context) (open []Replay, err error) {
	err = o.link.Run(ctx, "look for replays", func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, replaysSQL)
		if err != nil {
			return err
		}
		open, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Replay, err error) {
			var since *time.Time
			var place string
			err = row.Scan(&r.ID, &r.EndpointID, &r.Types, &since, &r.Until, &r.Running, &r.Done, &r.Cursor.Key, &r.Cursor.At, &r.InOrder, &place, &r.Searched,
				&r.Missing.Found, &r.Missing.Cursor, &r.Total, &r.Again)
			if err != nil {
				return r, err
			}
			r.Since = orZero(since)
			r.Place, err = outbox.ParseLSN(place)
			return r, err
		})
		return err
	})
	return open, err
}

// replayPendingSQL leaves out what waits for a time of its own: a replay need not wait for that.
const replayPendingSQL = `
SELECT count(*)
FROM (
    SELECT 1
    FROM tailpost.delivery
    WHERE endpoint_id = @endpoint
      AND state = 'pending'
      AND (deliver_at IS NULL OR deliver_at <= @now)
    LIMIT @most
) AS p`

// PendingUpTo counts an endpoint's pending deliveries, but no further than most.
func (o *Operations) PendingUpTo(ctx context.Context, endpointID string, most int) (n int, err error) {
	err = o.link.Run(ctx, "count what an endpoint waits for", func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, replayPendingSQL, pgx.NamedArgs{"endpoint": endpointID, "most": most, "now": time.Now()}).Scan(&n)
	})
	return n, err
}

const replayBeginSQL = `
UPDATE tailpost.replay
SET state = 'running',
    total = @total,
    in_order = @in_order,
    place = pg_current_wal_insert_lsn(),
    updated_at = @now
WHERE id = @id
  AND state = 'pending'
RETURNING place::text`

// BeginReplay counts what a replay covers and has it run, InOrder or not. What cannot be counted in
// time stays unknown.
func (o *Operations) BeginReplay(ctx context.Context, hold Hold, table *scan.Table, r *Replay, rg scan.Range, now time.Time) error {
	var total *int64
	err := o.link.Run(ctx, "count what a replay covers", func(ctx context.Context, conn *pgx.Conn) error {
		n, err := table.Count(ctx, conn, rg)
		if pglink.TookTooLong(err) {
			return nil
		}
		total = &n
		return err
	})
	if err != nil {
		return err
	}
	return o.link.WhileHeld(ctx, hold, "begin a replay", func(ctx context.Context, tx pgx.Tx) error {
		var place string
		err := tx.QueryRow(ctx, replayBeginSQL, pgx.NamedArgs{
			"id": r.ID, "total": total, "in_order": r.InOrder, "now": now,
		}).Scan(&place)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrOver
		}
		if err != nil {
			return err
		}
		r.Running, r.Total = true, total
		r.Place, err = outbox.ParseLSN(place)
		return err
	})
}

const replayMoveSQL = `
UPDATE tailpost.replay
SET cursor = @cursor,
    cursor_at = NULLIF(@cursor_at, '')::timestamptz,
    done = done + @done,
    queued = queued + @queued,
    unreadable = unreadable + @unreadable,
    updated_at = @now
WHERE id = @id
  AND state = 'running'
  AND cursor IS NOT DISTINCT FROM NULLIF(@was, '')`

const replayQueueSQL = `
INSERT INTO tailpost.delivery (
    event_id, endpoint_id, state, reason, attempts, next_attempt_at, event_type, tenant, key, payload, headers,
    event_created_at, commit_lsn, seq, trigger, created_at, updated_at, search, deliver_at, expires_at, extra
)
VALUES (
    @event, @endpoint, 'pending', @reason, 0, @next, @type, NULLIF(@tenant, ''), NULLIF(@key, ''), @payload, @headers,
    @event_created, @lsn::text::pg_lsn, @seq, 'replay', @now, @now, @search::text[], @deliver_at, @expires_at, @extra
)
ON CONFLICT (event_id, endpoint_id) DO NOTHING`

// Step is one step of a replay.
type Step struct {
	Deliveries []outbox.Delivery
	Cursor     scan.Cursor // where it then is
	Done       int64       // events that it looked at
	Unreadable int64       // rows among them that are no events
}

// QueueReplay queues deliveries of a replay and moves it on. One that is there already is left
// alone.
func (o *Operations) QueueReplay(ctx context.Context, hold Hold, r *Replay, st Step, now time.Time) (queued int64, err error) {
	err = o.link.WhileHeld(ctx, hold, "queue a replay", func(ctx context.Context, tx pgx.Tx) error {
		queued = 0
		var batch pgx.Batch
		for i := range st.Deliveries {
			args, err := foundArgs(tx.Conn(), &st.Deliveries[i], now)
			if err != nil {
				return err
			}
			batch.Queue(replayQueueSQL, args).Exec(func(tag pgconn.CommandTag) error {
				queued += tag.RowsAffected()
				return nil
			})
		}
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, replayMoveSQL, pgx.NamedArgs{
			"id": r.ID, "cursor": st.Cursor.Key, "cursor_at": st.Cursor.At, "was": r.Cursor.Key, "done": st.Done, "queued": queued,
			"unreadable": st.Unreadable, "now": now,
		})
		if err == nil && tag.RowsAffected() == 0 {
			return ErrOver
		}
		return err
	})
	if err == nil {
		r.Cursor, r.Done = st.Cursor, r.Done+st.Done
	}
	return queued, err
}

// EndReplay notes that a replay is done, or, with a problem, that it has failed.
func (o *Operations) EndReplay(ctx context.Context, hold Hold, id, problem string, now time.Time) error {
	return o.end(ctx, hold, "end a replay", "UPDATE tailpost.replay"+endSQL, id, problem, now)
}
