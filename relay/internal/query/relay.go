package query

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// RelayState is the state of a slot and its relays, read from the database.
type RelayState struct {
	Epoch     int64 // 0: the slot was never held
	Owner     string
	Settled   string // LSN, of the partition that is behind most
	SettledAt *time.Time
	AuditedAt *time.Time
	UpdatedAt *time.Time

	SlotExists     bool
	SlotActive     bool
	WALStatus      string
	ConfirmedFlush string
	LagBytes       int64 // WAL that the slot has not confirmed
	RetainedBytes  int64 // WAL that the server keeps for the slot

	// Alone says that the holder delivers itself although its configuration has a fan-out: NATS
	// takes nothing. SlotState does not read it.
	Alone       bool
	PublishesTo int         // to how many partitions the slot's holder publishes; 0: it delivers itself
	Partitions  []Partition // those that have a row, in order; SlotState does not read them

	Pending  int64      // much of it is estimated, as longQueueSQL does
	Dead     int64      // the same
	Oldest   *time.Time // since when the oldest event of a pending delivery could be delivered; nil: none could
	Replicas []string   // processes that serve the API now
}

const relayStateSQL = `
SELECT COALESCE(r.epoch, 0), COALESCE(r.owner, ''), COALESCE(` + settledSQL + `, '0/0')::text, ` + settledAtSQL + `, r.audited_at, r.updated_at,
       COALESCE(r.partitions, 0),
       s.slot_name IS NOT NULL, COALESCE(s.active, false), COALESCE(s.wal_status, ''), COALESCE(s.confirmed_flush_lsn, '0/0')::text,
       CASE WHEN pg_is_in_recovery() THEN 0 ELSE COALESCE(pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn), 0) END::bigint,
       CASE WHEN pg_is_in_recovery() THEN 0 ELSE COALESCE(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0) END::bigint
FROM (SELECT @slot::text AS slot) AS q
LEFT JOIN tailpost.relay AS r ON r.slot = q.slot
LEFT JOIN pg_catalog.pg_replication_slots AS s ON s.slot_name = q.slot AND s.database = current_database()`

// queueSQL counts those that are dead by an index alone: they may be many more than wait.
const queueSQL = `
SELECT p.n, d.n, p.oldest
FROM (SELECT count(*) AS n, min(GREATEST(event_created_at, deliver_at)) AS oldest FROM tailpost.delivery WHERE state = 'pending') AS p,
     (SELECT count(*) AS n FROM tailpost.delivery WHERE state = 'dead') AS d`

// longQueueSQL estimates a queue from some of its pages, counts either state as far as countedRows,
// and looks for the oldest event among these and those that committed first.
const longQueueSQL = `
WITH sample AS (
    SELECT s.state, GREATEST(s.event_created_at, s.deliver_at) AS since
    FROM tailpost.delivery AS s TABLESAMPLE SYSTEM (@percent::double precision)
),
first AS (
    SELECT f.state, GREATEST(f.event_created_at, f.deliver_at) AS since
    FROM tailpost.delivery AS f
    ORDER BY f.commit_lsn, f.seq
    LIMIT @rows
)
SELECT (SELECT count(*) FROM sample AS s WHERE s.state = 'pending'),
       (SELECT count(*) FROM sample AS s WHERE s.state = 'dead'),
       (SELECT count(*) FROM (SELECT FROM tailpost.delivery AS p WHERE p.state = 'pending' LIMIT @rows) AS p),
       (SELECT count(*) FROM (SELECT FROM tailpost.delivery AS d WHERE d.state = 'dead' LIMIT @rows) AS d),
       LEAST(
           (SELECT min(s.since) FROM sample AS s WHERE s.state = 'pending'),
           (SELECT min(f.since) FROM first AS f WHERE f.state = 'pending')
       )`

const replicasSQL = `
SELECT DISTINCT substr(application_name, length('tailpost api ') + 1) AS owner
FROM pg_catalog.pg_stat_activity
WHERE datname = current_database()
  AND starts_with(application_name, 'tailpost api ')
ORDER BY owner`

// SlotState reads the state of a slot, and neither the queue nor the replicas: it costs next to
// nothing.
func (s health) SlotState(ctx context.Context, slot string) (st RelayState, err error) {
	err = s.read(ctx, "read the state of the slot", func(ctx context.Context, tx pgx.Tx) error {
		return st.readSlot(ctx, tx, slot)
	})
	return st, err
}

func (st *RelayState) readSlot(ctx context.Context, tx pgx.Tx, slot string) error {
	return tx.QueryRow(ctx, relayStateSQL, pgx.NamedArgs{"slot": slot}).Scan(&st.Epoch, &st.Owner, &st.Settled, &st.SettledAt,
		&st.AuditedAt, &st.UpdatedAt, &st.PublishesTo, &st.SlotExists, &st.SlotActive, &st.WALStatus, &st.ConfirmedFlush, &st.LagBytes, &st.RetainedBytes)
}

// RelayState reads the state of a slot. However much is queued, it reads no more than so much of
// it.
func (s health) RelayState(ctx context.Context, slot string) (st RelayState, err error) {
	err = s.read(ctx, "read the state of the relay", func(ctx context.Context, tx pgx.Tx) error {
		if err := st.readSlot(ctx, tx, slot); err != nil {
			return err
		}
		if err := st.readQueue(ctx, tx); err != nil {
			return err
		}
		if st.PublishesTo > 0 {
			st.Partitions, err = readPartitions(ctx, tx, slot)
		} else {
			st.Alone, err = readAlone(ctx, tx, slot)
		}
		if err != nil {
			return err
		}
		st.Replicas, err = many(ctx, tx, replicasSQL, pgx.NamedArgs{}, pgx.RowTo[string])
		return err
	})
	return st, err
}

// readQueue counts the queue, or estimates it where that would mean to read very much.
func (st *RelayState) readQueue(ctx context.Context, tx pgx.Tx) error {
	var pages int64
	if err := tx.QueryRow(ctx, queuePagesSQL).Scan(&pages); err != nil {
		return err
	}
	defer func() {
		if st.Oldest != nil && st.Oldest.After(time.Now()) {
			st.Oldest = nil // all that is pending waits for a time to come
		}
	}()
	if pages <= wholePages {
		return tx.QueryRow(ctx, queueSQL).Scan(&st.Pending, &st.Dead, &st.Oldest)
	}
	// What is rare is found by an index, whatever the planner believes of how rare it is.
	if _, err := tx.Exec(ctx, "SELECT set_config('enable_seqscan', 'off', true)"); err != nil {
		return err
	}
	share := float64(wholePages) / float64(pages)
	var pending, dead, somePending, someDead int64
	err := tx.QueryRow(ctx, longQueueSQL, pgx.NamedArgs{"percent": 100 * share, "rows": countedRows}).Scan(&pending, &dead, &somePending, &someDead, &st.Oldest)
	st.Pending, st.Dead = estimate(pending, share, somePending), estimate(dead, share, someDead)
	return err
}

// estimate is how many rows there are of which a share of the pages has so many; counted are they
// as far as countedRows.
func estimate(sampled int64, share float64, counted int64) int64 {
	if counted < countedRows {
		return counted
	}
	return max(counted, int64(float64(sampled)/share))
}
