package query

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// What a slot's row r says is settled. Where its holder publishes to partitions, the row says only
// how far it has published, and all that is before it is settled where the partitions are: up to
// the one that is behind most. A partition without a row leaves it unknown.
//
// A partition that never had a transaction has a position, and no time. settledAtSQL, which is
// shown, passes over it; what becomes of an event is told by allSettledAtSQL, as the event may wait
// in just that partition.
const (
	partitionsSQL = `FROM tailpost.relay AS p
               WHERE p.partition_of = r.slot
                 AND p.partitions = r.partitions
                 AND p.system_id = r.system_id`
	settledAtSQL = `CASE
           WHEN r.partitions = 0 THEN r.settled_at
           ELSE (
               SELECT CASE WHEN count(*) = r.partitions THEN min(p.settled_at) END
               ` + partitionsSQL + `
           )
       END`
	allSettledAtSQL = `CASE
           WHEN r.partitions = 0 OR (SELECT count(p.settled_at) = r.partitions ` + partitionsSQL + `) THEN ` + settledAtSQL + `
       END`
	settledSQL = `CASE
           WHEN r.partitions = 0 THEN r.settled_lsn
           ELSE (
               SELECT CASE WHEN count(*) = r.partitions THEN min(p.settled_lsn) END
               ` + partitionsSQL + `
           )
       END`
)

// Partition is what the row of a partition says, and how far it is behind what was published.
type Partition struct {
	Number    int
	Owner     string // the process that took it last; empty: nobody did since it was laid out
	Epoch     int64
	Settled   string // LSN
	SettledAt *time.Time
	// Behind is how many bytes of WAL the slot's holder has published and nobody has recorded as
	// settled here. What has no event for the partition is recorded now and then.
	Behind    int64
	UpdatedAt time.Time // when its owner last recorded, or took it
}

// The rows of an earlier layout say nothing: what they have not settled is found by an audit.
const eachPartitionSQL = `
SELECT substr(p.slot, length(r.slot) + 2)::int AS number, p.owner, p.epoch, p.settled_lsn::text, p.settled_at,
       GREATEST(pg_wal_lsn_diff(r.settled_lsn, p.settled_lsn), 0)::bigint, p.updated_at
FROM tailpost.relay AS r
JOIN tailpost.relay AS p ON p.partition_of = r.slot AND p.partitions = r.partitions AND p.system_id = r.system_id
WHERE r.slot = @slot
  AND r.partitions > 0
ORDER BY number`

// aloneSQL reports whether a holder that publishes nothing has noted a fan-out: the fingerprint of
// none is empty.
const aloneSQL = `
SELECT EXISTS (
    SELECT
    FROM tailpost.relay AS r
    JOIN tailpost.configuration AS c USING (slot, epoch)
    WHERE r.slot = @slot
      AND r.partitions = 0
      AND c.fingerprints -> 'blocks' ->> 'fanout' <> ''
)`

// readAlone is false to a role without the grants of this release: it may read the rest.
func readAlone(ctx context.Context, tx pgx.Tx, slot string) (alone bool, err error) {
	var may bool
	if err := tx.QueryRow(ctx, "SELECT has_table_privilege('tailpost.configuration', 'SELECT')").Scan(&may); err != nil || !may {
		return false, err
	}
	err = tx.QueryRow(ctx, aloneSQL, pgx.NamedArgs{"slot": slot}).Scan(&alone)
	return alone, err
}

func readPartitions(ctx context.Context, tx pgx.Tx, slot string) ([]Partition, error) {
	return many(ctx, tx, eachPartitionSQL, pgx.NamedArgs{"slot": slot}, pgx.RowToStructByPos[Partition])
}
