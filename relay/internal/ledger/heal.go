package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

// Healing is the audit's notes: where the slot's row is, gaps, and heals that are due. Its methods
// are safe for concurrent use.
type Healing struct{ link *Link }

// Position is the slot's row.
type Position struct {
	Place

	Settled     outbox.LSN
	SettledAt   time.Time    // commit time of the last settled transaction, of the partition that is behind most; zero: unknown
	Partitions  int          // to how many the holder publishes; 0: it delivers itself
	Routing     Routing      // how it routes
	Released    outbox.LSN   // the slot may stand up to here without having missed anything; 0: not known
	StartedAt   time.Time    // when the slot was taken for the first time
	Publication string       // identity of publication and table, see Ledger.Publication
	AuditedAt   time.Time    // events created before it are known to be settled; zero: unknown
	Horizon     scan.Horizon // what is known to be settled whatever its time says; zero: nothing
	Round       Round        // how far the look at the whole table is
	Heal        *Heal        // nil: none is due
}

// Routing is which endpoint of the configuration gets which event.
type Routing struct {
	Hash   string // see config.Config.Routing; empty: no holder has published
	Number int64  // how often it has changed
}

// Round is how far the audits of an interval are on their way through the whole outbox table.
type Round struct {
	Block   int64        // the next one
	Began   scan.Horizon // the present one when the round began; zero: none has begun
	Settled scan.Horizon // what was written before it was judged by a round; zero: there was none yet
}

const horizonSQL = `
SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text::bigint, pg_catalog.statement_timestamp()`

// Horizon returns the present one: what older transactions wrote is visible now, or never will be.
// A row says what wrote it; a subtransaction is younger than its transaction, so that it does not
// look ended before that is.
func (k *Healing) Horizon(ctx context.Context) (h scan.Horizon, err error) {
	err = k.link.Run(ctx, "look at the transactions under way", func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, horizonSQL).Scan(&h.XID, &h.At)
	})
	return h, err
}

// Heal is an audit that is due until Healed.
type Heal struct {
	Why   string
	Since time.Time  // look at events created at or after it; zero: all
	From  outbox.LSN // the frontier before the gap
	At    time.Time  // when it became due
}

// positionOfSQL has the time of the partition that is behind most: a heal must not begin later. The
// place stays the slot's, for it is compared with where the replication slot stands.
const positionOfSQL = `
SELECT system_id, timeline, settled_lsn::text,
       CASE
           WHEN partitions = 0 THEN settled_at
           ELSE (
               SELECT CASE WHEN count(p.settled_at) = r.partitions THEN min(p.settled_at) END
               FROM tailpost.relay AS p
               WHERE p.partition_of = r.slot
                 AND p.partitions = r.partitions
           )
       END,
       started_at, publication, audited_at, heal, heal_since,
       heal_from::text, heal_at, horizon::text::bigint, horizon_at, COALESCE(released_lsn, '0/0')::text,
       round_block, round_began::text::bigint, round_began_at, round_settled::text::bigint, round_settled_at, partitions,
       COALESCE(routing, ''), routing_number
FROM tailpost.relay AS r
WHERE slot = @slot`

// Position reads the slot's row. It is false if the slot was never taken.
func (k *Healing) Position(ctx context.Context, slot string) (p Position, known bool, err error) {
	err = k.link.Run(ctx, "read the slot's row", func(ctx context.Context, conn *pgx.Conn) error {
		p, known = Position{}, false
		var (
			settled, released                                   string
			why, from                                           *string
			settledAt, startedAt, auditedAt, healSince, healDue *time.Time
			horizon, roundBegan, roundSettled                   *int64
			horizonAt, roundBeganAt, roundSettledAt             *time.Time
		)
		err := conn.QueryRow(ctx, positionOfSQL, pgx.NamedArgs{"slot": slot}).Scan(&p.SystemID, &p.Timeline, &settled, &settledAt,
			&startedAt, &p.Publication, &auditedAt, &why, &healSince, &from, &healDue, &horizon, &horizonAt, &released,
			&p.Round.Block, &roundBegan, &roundBeganAt, &roundSettled, &roundSettledAt, &p.Partitions, &p.Routing.Hash, &p.Routing.Number)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		known = true
		p.Horizon = orNone(horizon, horizonAt)
		p.Round.Began, p.Round.Settled = orNone(roundBegan, roundBeganAt), orNone(roundSettled, roundSettledAt)
		p.SettledAt, p.StartedAt, p.AuditedAt = orZero(settledAt), orZero(startedAt), orZero(auditedAt)
		if why != nil {
			p.Heal = &Heal{Why: *why, Since: orZero(healSince), At: orZero(healDue)}
			if from != nil {
				if p.Heal.From, err = outbox.ParseLSN(*from); err != nil {
					return err
				}
			}
		}
		if p.Settled, err = outbox.ParseLSN(settled); err != nil {
			return err
		}
		p.Released, err = outbox.ParseLSN(released)
		return err
	})
	return p, known, err
}

func orNone(xid *int64, at *time.Time) scan.Horizon {
	if xid == nil {
		return scan.Horizon{}
	}
	return scan.Horizon{XID: *xid, At: orZero(at)}
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// dueHealSQL joins what is due already: the earlier time and position, both reasons. A NULL
// heal_since means all.
const dueHealSQL = `
UPDATE tailpost.relay
SET heal = CASE WHEN heal IS NULL THEN @why WHEN position(@why IN heal) > 0 THEN heal ELSE heal || '; ' || @why END,
    heal_since = CASE
        WHEN heal IS NULL THEN @since
        WHEN heal_since IS NOT NULL AND @since::timestamptz IS NOT NULL THEN LEAST(heal_since, @since)
    END,
    heal_from = CASE WHEN heal IS NULL THEN @from::text::pg_lsn ELSE LEAST(heal_from, @from::text::pg_lsn) END,
    heal_at = COALESCE(heal_at, @at)
WHERE slot = @slot`

// DueHeal makes a heal due, so that no crash forgets it: it is called before what the gap is known
// by is mended. One that is due already is widened.
func (k *Healing) DueHeal(ctx context.Context, slot string, h Heal) error {
	return k.link.Run(ctx, "note a gap", func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, dueHealSQL, pgx.NamedArgs{
			"slot": slot, "why": h.Why, "since": nullTime(h.Since), "from": h.From.String(), "at": h.At,
		})
		return err
	})
}

// publicationSQL names what changes with the identity of the publication, of the table, or of the
// tie between them. Catalogue rows get another xmin whenever they are changed. A table that another
// one inherits from is not what the stream was set up with either; partitions are.
const publicationSQL = `
SELECT format('%s.%s.%s.%s.%s', p.oid, p.xmin, c.oid, r.oid, r.xmin)
       || CASE
              WHEN c.relkind <> 'p' AND EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE i.inhparent = c.oid) THEN '.inherited'
              ELSE ''
          END
FROM pg_catalog.pg_publication AS p
LEFT JOIN pg_catalog.pg_class AS c
    ON c.relname = @name
   AND c.relnamespace = (SELECT n.oid FROM pg_catalog.pg_namespace AS n WHERE n.nspname = @schema)
LEFT JOIN pg_catalog.pg_publication_rel AS r ON r.prpubid = p.oid AND r.prrelid = c.oid
WHERE p.pubname = @publication`

// Publication returns the identity of a publication, the outbox table and the tie between them: it
// is another one as soon as any of them was dropped, created or changed. Empty: there is no such
// publication.
func (k *Healing) Publication(ctx context.Context, name string, m outbox.Mapping) (identity string, err error) {
	schema, table := m.SchemaAndName()
	err = k.link.Run(ctx, "look at the publication", func(ctx context.Context, conn *pgx.Conn) error {
		identity = ""
		err := conn.QueryRow(ctx, publicationSQL, pgx.NamedArgs{"publication": name, "schema": schema, "name": table}).Scan(&identity)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return identity, err
}

// Publications returns the identity of the outbox table's publication, and that of what publishes
// the endpoints, as Publication does.
func (k *Healing) Publications(ctx context.Context, slot string, m outbox.Mapping) (events, endpoints string, err error) {
	if events, err = k.Publication(ctx, slot, m); err != nil {
		return "", "", err
	}
	endpoints, err = k.Publication(ctx, outbox.EndpointPublication(slot), outbox.Mapping{Table: "tailpost.endpoint"})
	return events, endpoints, err
}

// Standbys returns which standbys commits wait for, as synchronous_standby_names has it.
func (k *Healing) Standbys(ctx context.Context) (names string, err error) {
	err = k.link.Run(ctx, "look at the synchronous standbys", func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT current_setting('synchronous_standby_names')").Scan(&names)
	})
	return names, err
}

// Gap is the result of a heal: a row of tailpost.gap.
type Gap struct {
	Heal

	To         outbox.LSN // the stream has everything from here on
	Events     int64
	Deliveries int64
	Note       string // what could not be healed
	Now        time.Time
}

// Add adds to the note.
func (g *Gap) Add(note string) {
	if g.Note != "" {
		note = g.Note + "; " + note
	}
	g.Note = note
}

const requireHoldSQL = `
SELECT 1
FROM tailpost.relay
WHERE slot = @slot
  AND epoch = @epoch
FOR NO KEY UPDATE`

// requireHold makes the transaction one that only the holder of the slot can commit: whoever takes
// the slot waits for its end.
func requireHold(ctx context.Context, tx pgx.Tx, hold Hold) error {
	var one int
	err := tx.QueryRow(ctx, requireHoldSQL, pgx.NamedArgs{"slot": hold.Slot, "epoch": hold.Epoch}).Scan(&one)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrDeposed
	}
	return err
}

func inHold(ctx context.Context, conn *pgx.Conn, hold Hold, f func(ctx context.Context, tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := requireHold(ctx, tx, hold); err != nil {
			return err
		}
		return f(ctx, tx)
	})
}

const gapSQL = `
INSERT INTO tailpost.gap (slot, why, from_lsn, to_lsn, since, events, deliveries, note, detected_at, at)
VALUES (@slot, @why, @from::text::pg_lsn, @to::text::pg_lsn, @since, @events, @deliveries, @note, @detected, @now)`

const auditedSQL = `
UPDATE tailpost.relay
SET audited_at = GREATEST(audited_at, @audited),
    horizon = COALESCE(NULLIF(@horizon::bigint, 0)::text::xid8, horizon),
    horizon_at = CASE WHEN @horizon::bigint = 0 THEN horizon_at ELSE @horizon_at END,
    round_block = @round_block,
    round_began = NULLIF(@round_began::bigint, 0)::text::xid8,
    round_began_at = @round_began_at,
    round_settled = NULLIF(@round_settled::bigint, 0)::text::xid8,
    round_settled_at = @round_settled_at,
    heal = NULL,
    heal_since = NULL,
    heal_from = NULL,
    heal_at = NULL,
    heal_gaps = '{}'
WHERE slot = @slot`

// Audit is the result of an audit that ended.
type Audit struct {
	Before  time.Time    // events created before it are settled; zero: unchanged
	Horizon scan.Horizon // and what was written before it; zero: unchanged
	Round   Round
	Found   *Gap // nil: nothing that is to be reported
}

// Audited notes that an audit ended: no heal is due any more.
func (k *Healing) Audited(ctx context.Context, hold Hold, a Audit) error {
	return k.link.WhileHeld(ctx, hold, "note an audit", func(ctx context.Context, tx pgx.Tx) error {
		found := a.Found
		_, err := tx.Exec(ctx, auditedSQL, pgx.NamedArgs{
			"slot": hold.Slot, "audited": nullTime(a.Before), "horizon": a.Horizon.XID, "horizon_at": nullTime(a.Horizon.At),
			"round_block": a.Round.Block, "round_began": a.Round.Began.XID, "round_began_at": nullTime(a.Round.Began.At),
			"round_settled": a.Round.Settled.XID, "round_settled_at": nullTime(a.Round.Settled.At),
		})
		if err != nil || found == nil {
			return err
		}
		_, err = tx.Exec(ctx, gapSQL, pgx.NamedArgs{
			"slot": hold.Slot, "why": found.Why, "from": found.From.String(), "to": found.To.String(), "since": nullTime(found.Since),
			"events": found.Events, "deliveries": found.Deliveries, "note": found.Note, "detected": found.At, "now": found.Now,
		})
		if err != nil {
			return fmt.Errorf("write the gap: %w", err)
		}
		return nil
	})
}

const markSQL = `SELECT pg_logical_emit_message(true, 'tailpost', @content::text)`

// Mark sends content through the stream as a logical message of ours, in a transaction of its own:
// what committed before Mark was called comes before it.
func (k *Healing) Mark(ctx context.Context, content string) error {
	return k.link.Run(ctx, "send a mark through the stream", func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, markSQL, pgx.NamedArgs{"content": content})
		return err
	})
}

// Routed says since when an endpoint gets the events that it gets now.
type Routed struct {
	Config    bool // declared in the configuration
	CreatedAt time.Time
	Since     time.Time
}

const routedSQL = `
SELECT id, source = 'config', created_at, routed_since
FROM tailpost.endpoint`

// Routed reads that of every endpoint, by id.
func (k *Healing) Routed(ctx context.Context) (routed map[string]Routed, err error) {
	err = k.link.Run(ctx, "read the endpoints", func(ctx context.Context, conn *pgx.Conn) error {
		routed = make(map[string]Routed)
		rows, err := conn.Query(ctx, routedSQL)
		if err != nil {
			return err
		}
		var (
			id string
			r  Routed
		)
		_, err = pgx.ForEachRow(rows, []any{&id, &r.Config, &r.CreatedAt, &r.Since}, func() error {
			routed[id] = r
			return nil
		})
		return err
	})
	return routed, err
}
