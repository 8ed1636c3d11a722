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
	Settled   string // LSN
	SettledAt *time.Time
	AuditedAt *time.Time
	UpdatedAt *time.Time

	SlotExists     bool
	SlotActive     bool
	WALStatus      string
	ConfirmedFlush string
	LagBytes       int64 // WAL that the slot has not confirmed
	RetainedBytes  int64 // WAL that the server keeps for the slot

	Pending  int64      // much of it is estimated, as readQueues does
	Dead     int64      // the same
	Oldest   *time.Time // event of the oldest pending delivery
	Replicas []string   // processes that serve the API now
}

const relayStateSQL = `
SELECT COALESCE(r.epoch, 0), COALESCE(r.owner, ''), COALESCE(r.settled_lsn, '0/0')::text, r.settled_at, r.audited_at, r.updated_at,
       s.slot_name IS NOT NULL, COALESCE(s.active, false), COALESCE(s.wal_status, ''), COALESCE(s.confirmed_flush_lsn, '0/0')::text,
       CASE WHEN pg_is_in_recovery() THEN 0 ELSE COALESCE(pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn), 0) END::bigint,
       CASE WHEN pg_is_in_recovery() THEN 0 ELSE COALESCE(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0) END::bigint
FROM (SELECT @slot::text AS slot) AS q
LEFT JOIN tailpost.relay AS r ON r.slot = q.slot
LEFT JOIN pg_catalog.pg_replication_slots AS s ON s.slot_name = q.slot AND s.database = current_database()`

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
		&st.AuditedAt, &st.UpdatedAt, &st.SlotExists, &st.SlotActive, &st.WALStatus, &st.ConfirmedFlush, &st.LagBytes, &st.RetainedBytes)
}

// RelayState reads the state of a slot. However much is queued, it reads no more than so much of
// it.
func (s health) RelayState(ctx context.Context, slot string) (st RelayState, err error) {
	err = s.read(ctx, "read the state of the relay", func(ctx context.Context, tx pgx.Tx) error {
		if err := st.readSlot(ctx, tx, slot); err != nil {
			return err
		}
		queues, _, err := readQueues(ctx, tx)
		if err != nil {
			return err
		}
		for i := range queues {
			q := &queues[i]
			st.Pending, st.Dead, st.Oldest = st.Pending+q.Pending, st.Dead+q.Dead, earlier(st.Oldest, q.OldestEvent)
		}
		st.Replicas, err = many(ctx, tx, replicasSQL, pgx.NamedArgs{}, pgx.RowTo[string])
		return err
	})
	return st, err
}
