package ledger

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
)

// TakeOptions says who takes which slot, and where.
type TakeOptions struct {
	Slot     string
	Owner    string // host name and process id
	SystemID string // of the cluster the slot is on
	Timeline int32
	// Start is where the stream begins: what a relay has settled that has just come to this
	// cluster.
	Start outbox.LSN
	// Publication is the identity of publication and table, as Ledger.Publication returns it.
	Publication string
	// Heal, if set, makes a heal due in the same statement.
	Heal *Heal
	// Gap says that a gap was found, which counts; its heal is Heal, or one that DueHeal noted.
	Gap bool
	Now time.Time
}

// mostHealGaps bounds the row: nobody asks for more, and a loop that finds a gap each second must
// not make it grow.
const mostHealGaps = 16

// takeSQL raises the epoch. Positions of another cluster mean nothing here. What RETURNING selects
// is the row before: a statement does not see its own changes.
const takeSQL = `
INSERT INTO tailpost.relay AS r (
    slot, epoch, owner, system_id, timeline, batch, settled_lsn, settled_at, updated_at, started_at, publication,
    heal, heal_since, heal_from, heal_at, heal_gaps, horizon, horizon_at
)
VALUES (
    @slot, 1, @owner, @system_id, @timeline, 0, @start::text::pg_lsn, NULL, @now, @now, @publication,
    @why::text, @since::timestamptz, @from::text::pg_lsn, @due::timestamptz,
    CASE WHEN @gap::boolean THEN ARRAY[@now::timestamptz] ELSE '{}' END,
    pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()), pg_catalog.statement_timestamp()
)
ON CONFLICT (slot) DO UPDATE
SET epoch = r.epoch + 1,
    owner = EXCLUDED.owner,
    system_id = EXCLUDED.system_id,
    timeline = EXCLUDED.timeline,
    batch = 0,
    settled_lsn = CASE WHEN r.system_id = EXCLUDED.system_id THEN r.settled_lsn ELSE EXCLUDED.settled_lsn END,
    settled_at = CASE WHEN r.system_id = EXCLUDED.system_id THEN r.settled_at END,
    moved_at = CASE WHEN r.system_id = EXCLUDED.system_id THEN r.moved_at ELSE EXCLUDED.updated_at END,
    released_lsn = CASE WHEN r.system_id = EXCLUDED.system_id THEN r.released_lsn END,
    horizon = CASE WHEN r.system_id = EXCLUDED.system_id THEN r.horizon END,
    horizon_at = CASE WHEN r.system_id = EXCLUDED.system_id THEN r.horizon_at END,
    round_block = CASE WHEN r.system_id = EXCLUDED.system_id THEN r.round_block ELSE 0 END,
    round_began = CASE WHEN r.system_id = EXCLUDED.system_id THEN r.round_began END,
    round_began_at = CASE WHEN r.system_id = EXCLUDED.system_id THEN r.round_began_at END,
    round_settled = CASE WHEN r.system_id = EXCLUDED.system_id THEN r.round_settled END,
    round_settled_at = CASE WHEN r.system_id = EXCLUDED.system_id THEN r.round_settled_at END,
    updated_at = EXCLUDED.updated_at,
    publication = EXCLUDED.publication,
    heal = CASE
        WHEN EXCLUDED.heal IS NULL OR position(EXCLUDED.heal IN r.heal) > 0 THEN r.heal
        ELSE concat_ws('; ', r.heal, EXCLUDED.heal)
    END,
    heal_since = CASE
        WHEN EXCLUDED.heal IS NULL THEN r.heal_since
        WHEN r.heal IS NULL THEN EXCLUDED.heal_since
        WHEN r.heal_since IS NOT NULL AND EXCLUDED.heal_since IS NOT NULL THEN LEAST(r.heal_since, EXCLUDED.heal_since)
    END,
    heal_from = CASE
        WHEN r.system_id = EXCLUDED.system_id THEN LEAST(r.heal_from, EXCLUDED.heal_from)
        WHEN COALESCE(r.heal, EXCLUDED.heal) IS NOT NULL THEN '0/0'
    END,
    heal_at = COALESCE(r.heal_at, EXCLUDED.heal_at),
    heal_gaps = ARRAY(
        SELECT g
        FROM unnest(r.heal_gaps || EXCLUDED.heal_gaps) AS g
        ORDER BY g DESC
        LIMIT @most
    )
RETURNING epoch, settled_lsn::text,
    COALESCE((SELECT b.system_id FROM tailpost.relay AS b WHERE b.slot = @slot), ''),
    COALESCE((SELECT b.timeline FROM tailpost.relay AS b WHERE b.slot = @slot), 0),
    system_id, COALESCE(started_at, 'epoch')`

// Take takes the slot's row, so that every Record of an earlier hold, of this or another relay,
// returns ErrDeposed. Only whoever streams from the slot may call it.
func (l *Ledger) Take(ctx context.Context, o TakeOptions) (Hold, error) {
	r := l.recording
	r.mu.Lock()
	defer r.mu.Unlock()
	hold := Hold{Slot: o.Slot, Owner: o.Owner}
	var settled, system string
	var started time.Time
	args := pgx.NamedArgs{
		"slot": o.Slot, "owner": o.Owner, "system_id": o.SystemID, "timeline": o.Timeline, "start": o.Start.String(), "now": o.Now,
		"publication": o.Publication, "gap": o.Gap, "most": mostHealGaps, "why": nil, "since": nil, "from": nil, "due": nil,
	}
	if o.Heal != nil {
		args["why"], args["since"], args["from"], args["due"] = o.Heal.Why, nullTime(o.Heal.Since), o.Heal.From.String(), o.Heal.At
	}
	if err := r.check(ctx, o.Slot); err != nil {
		return Hold{}, fmt.Errorf("take the slot's row: %w", err)
	}
	// A lost answer is asked for again and costs an epoch, which is nobody's.
	err := l.link.Run(ctx, "take the slot's row", func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, takeSQL, args).Scan(&hold.Epoch, &settled, &hold.Before.SystemID, &hold.Before.Timeline, &system, &started)
	})
	if err != nil {
		return Hold{}, err
	}
	hold.Origin = originOf(system, started)
	if hold.Settled, err = outbox.ParseLSN(settled); err != nil {
		return Hold{}, fmt.Errorf("take the slot's row: %w", err)
	}
	r.begin(ctx, hold)
	return hold, nil
}

// originOf returns an origin, see Hold. The time has the precision of a timestamptz.
func originOf(systemID string, startedAt time.Time) string {
	return systemID + "." + strconv.FormatInt(startedAt.UnixMicro(), 36)
}

// begin has the recorder record for a hold.
func (r *recorder) begin(ctx context.Context, hold Hold) {
	r.slot, r.epoch, r.batch, r.settled, r.uncertain = hold.Slot, hold.Epoch, 0, hold.Settled, false
	r.released = 0
	r.place = place{}
	if p, err := r.session.position(ctx, hold.Slot); err == nil { // else the first Record looks for it
		r.place = p.at
	}
}

const holdsSQL = `
SELECT EXISTS (
    SELECT
    FROM tailpost.relay AS r
    WHERE r.slot = @slot
      AND r.epoch = @epoch
      AND CASE
              WHEN r.partition_of IS NULL THEN EXISTS (
                  SELECT
                  FROM pg_catalog.pg_replication_slots AS s
                  WHERE s.slot_name = r.slot
                    AND s.active_pid = @pid
              )
              ELSE EXISTS (
                  SELECT
                  FROM pg_catalog.pg_stat_activity AS a
                  WHERE a.pid = @pid
                    AND a.datname = current_database()
              )
          END
)`

// Holds reports whether a hold is still the last one, and the slot served by the process that
// serves the relay's stream: one that had to wait for the database may have lost its stream
// meanwhile, and with it the slot to another relay. Of a partition, pid is the process that serves
// the sender's lease, which must be there still.
func (l *Ledger) Holds(ctx context.Context, hold Hold, pid int) (holds bool, err error) {
	err = l.link.Run(ctx, "look at who holds the slot", func(ctx context.Context, conn *pgx.Conn) error {
		args := pgx.NamedArgs{"slot": hold.Slot, "epoch": hold.Epoch, "pid": pid}
		return conn.QueryRow(ctx, holdsSQL, args).Scan(&holds)
	})
	return holds, err
}

// Serves returns the database that the ledger is in, and reports whether its server has a process
// pid for a database of that name.
func (l *Ledger) Serves(ctx context.Context, pid int, database string) (own string, serves bool, err error) {
	err = l.link.Run(ctx, "look for the stream's process", func(ctx context.Context, conn *pgx.Conn) (err error) {
		own, serves, err = pglink.Serves(ctx, conn, pid, database)
		return err
	})
	return own, serves, err
}

const otherSlotsSQL = `
SELECT r.slot, s.active
FROM tailpost.relay AS r
JOIN pg_catalog.pg_replication_slots AS s ON s.slot_name = r.slot AND s.database = current_database()
WHERE r.slot <> @slot
ORDER BY r.slot`

// OtherSlot is a slot that relays of this database have held, beside their own.
type OtherSlot struct {
	Name   string
	Active bool // somebody streams from it now
}

// OtherSlots returns those that still exist.
func (l *Ledger) OtherSlots(ctx context.Context, slot string) (others []OtherSlot, err error) {
	err = l.link.Run(ctx, "look for other slots", func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, otherSlotsSQL, pgx.NamedArgs{"slot": slot})
		if err != nil {
			return err
		}
		others, err = pgx.CollectRows(rows, pgx.RowToStructByPos[OtherSlot])
		return err
	})
	return others, err
}

const slotActiveSQL = `
SELECT EXISTS (
    SELECT
    FROM pg_catalog.pg_replication_slots AS s
    WHERE s.slot_name = @slot
      AND s.active
)`

// SlotActive reports whether some connection has a slot.
func (l *Ledger) SlotActive(ctx context.Context, slot string) (active bool, err error) {
	err = l.link.Run(ctx, "ask whether the slot is free", func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, slotActiveSQL, pgx.NamedArgs{"slot": slot}).Scan(&active)
	})
	return active, err
}

const movedSQL = `
SELECT EXISTS (
    SELECT
    FROM tailpost.relay
    WHERE slot = @slot
      AND system_id <> @system_id
) AND EXISTS (
    SELECT
    FROM tailpost.delivery
    WHERE commit_lsn > '0/0'
)`

// rebaseTimeout allows for a long queue. Whoever takes the slot may lose its stream meanwhile, and
// has nothing left to do here the next time.
const rebaseTimeout = `SET LOCAL statement_timeout = '10min'`

const rebaseSQL = `
UPDATE tailpost.delivery AS d
SET commit_lsn = '0/0',
    seq = n.seq
FROM (
    SELECT event_id, endpoint_id, row_number() OVER (ORDER BY commit_lsn, seq) - count(*) OVER () - 1 AS seq
    FROM tailpost.delivery
) AS n
WHERE d.event_id = n.event_id
  AND d.endpoint_id = n.endpoint_id`

const rebaseReplaysSQL = `
UPDATE tailpost.replay
SET place = '0/0'
WHERE place IS NOT NULL`

// rebaseResendsSQL has resends begin again: their places mean nothing any more. What they have
// changed they leave alone.
const rebaseResendsSQL = `
UPDATE tailpost.resend
SET cursor = NULL
WHERE state = 'running'`

// Rebase puts the deliveries that wait before everything that the stream brings, in the order that
// they had, where they come from another cluster: its positions may be higher than all that is
// committed here, and what waits longest would come last. It belongs before Take, so that a relay
// that dies in between does it again.
func (l *Ledger) Rebase(ctx context.Context, slot, systemID string) error {
	return l.link.Run(ctx, "order what waits from another cluster", func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			var moved bool
			if err := tx.QueryRow(ctx, movedSQL, pgx.NamedArgs{"slot": slot, "system_id": systemID}).Scan(&moved); err != nil || !moved {
				return err
			}
			for _, sql := range []string{rebaseTimeout, rebaseSQL, rebaseReplaysSQL, rebaseResendsSQL} {
				if _, err := tx.Exec(ctx, sql); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
