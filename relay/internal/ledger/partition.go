package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
)

// Fanout is the rows of a slot's partitions. Its methods are safe for concurrent use.
type Fanout struct {
	link      *Link
	recording *recorder
}

// PartitionSlot is the name of a partition's row. No slot has such a name: Postgres takes no # in
// one.
func PartitionSlot(slot string, partition int) string { return fmt.Sprintf("%s#%02d", slot, partition) }

// TakePartitionOptions says who takes which partition of how many.
type TakePartitionOptions struct {
	Slot       string
	Partition  int
	Partitions int    // to how many the slot's holder is to publish
	Routing    string // how it is to route, see config.Config.Routing
	Owner      string // host name and process id
	Now        time.Time
}

// takePartitionSQL waits for a record of the last owner, and for Publishing, which both change the
// partition's row, and then looks at that row again. It does not look at the slot's again, so that
// what the two say must be the same.
const takePartitionSQL = `
UPDATE tailpost.relay AS p
SET epoch = p.epoch + 1,
    owner = @owner,
    timeline = r.timeline,
    batch = 0,
    started_at = COALESCE(p.started_at, @now),
    updated_at = @now
FROM tailpost.relay AS r
WHERE p.slot = @name
  AND p.partition_of = @slot
  AND p.partitions = @partitions
  AND @partitions > 0
  AND r.slot = @slot
  AND r.partitions = @partitions
  AND r.routing = @routing
  AND r.system_id = p.system_id
RETURNING p.epoch, p.settled_lsn::text, r.system_id, r.timeline, COALESCE(r.started_at, 'epoch'), r.routing_number`

// TakePartition takes a partition's row, so that every Record of an earlier hold of it, by this or
// another relay, returns ErrDeposed. Only whoever has the partition's lease may call it. It is
// ErrNotPublished where the slot's holder does not publish to so many partitions. Hold.Before is
// where the slot is: what was published elsewhere has other positions.
//
// A Ledger records for one hold at a time, whichever it took last: each partition wants its own.
func (k *Fanout) TakePartition(ctx context.Context, o TakePartitionOptions) (Hold, error) {
	r := k.recording
	r.mu.Lock()
	defer r.mu.Unlock()
	hold := Hold{Slot: PartitionSlot(o.Slot, o.Partition), Owner: o.Owner}
	what := fmt.Sprintf("take partition %d of %d", o.Partition, o.Partitions)
	if err := r.check(ctx, hold.Slot); err != nil {
		return Hold{}, fmt.Errorf("%s: %w", what, err)
	}
	var settled string
	var started time.Time
	err := k.link.Run(ctx, what, func(ctx context.Context, conn *pgx.Conn) error {
		err := conn.QueryRow(ctx, takePartitionSQL, pgx.NamedArgs{
			"name": hold.Slot, "slot": o.Slot, "partitions": o.Partitions, "routing": o.Routing, "owner": o.Owner, "now": o.Now,
		}).Scan(&hold.Epoch, &settled, &hold.Before.SystemID, &hold.Before.Timeline, &started, &hold.Routing)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotPublished
		}
		return err
	})
	if err != nil {
		return Hold{}, err
	}
	if hold.Settled, err = outbox.ParseLSN(settled); err != nil {
		return Hold{}, fmt.Errorf("%s: %w", what, err)
	}
	hold.Origin = originOf(hold.Before.SystemID, started)
	r.begin(ctx, hold)
	return hold, nil
}

const settledPartitionsSQL = `
SELECT count(*), COALESCE(min(p.settled_lsn), '0/0')::text
FROM tailpost.relay AS r
JOIN tailpost.relay AS p ON p.partition_of = r.slot AND p.partitions = r.partitions AND p.system_id = r.system_id
WHERE r.slot = @slot
  AND r.partitions = @partitions`

// SettledPartitions returns how far all partitions of a slot are settled: the least position. It is
// false where the slot's holder does not publish to so many.
func (k *Fanout) SettledPartitions(ctx context.Context, slot string, partitions int) (settled outbox.LSN, published bool, err error) {
	err = k.link.Run(ctx, "look how far the partitions are settled", func(ctx context.Context, conn *pgx.Conn) error {
		var n int
		var least string
		if err := conn.QueryRow(ctx, settledPartitionsSQL, pgx.NamedArgs{"slot": slot, "partitions": partitions}).Scan(&n, &least); err != nil {
			return err
		}
		published = n > 0 && n == partitions
		if !published {
			return nil
		}
		settled, err = outbox.ParseLSN(least)
		return err
	})
	return settled, published, err
}

// PublishingOptions says where a slot's holder leaves off.
type PublishingOptions struct {
	Partitions int // to how many it publishes; 0: it delivers itself
	// Why is the reason of the heal that is due where partitions were left behind.
	Why string
	// Margin is how much older than what was last settled the events are that the heal looks at.
	Margin time.Duration
	Now    time.Time
}

const routeSQL = `
UPDATE tailpost.relay
SET routing = @routing,
    routing_number = routing_number + CASE WHEN routing IS NOT DISTINCT FROM @routing AND NOT @gap THEN 0 ELSE 1 END
WHERE slot = @slot
RETURNING routing_number`

// Route records, while the slot is held, how its holder routes from now on, and returns the number
// of that routing, which is higher than that of any other before it. Call it before anything is
// routed that way. A sender whose routing has a lower number must not record what was routed by
// this one: it may lack an endpoint. gap says that a heal is due, so that the number is higher
// also where nothing else has changed: a sender that has not heard of the heal has a lower one,
// and sends nothing of behind the gap.
func (k *Fanout) Route(ctx context.Context, hold Hold, routing string, gap bool) (number int64, err error) {
	err = k.link.WhileHeld(ctx, hold, "record how events are routed", func(ctx context.Context, tx pgx.Tx) error {
		return tx.QueryRow(ctx, routeSQL, pgx.NamedArgs{"slot": hold.Slot, "routing": routing, "gap": gap}).Scan(&number)
	})
	return number, err
}

// Left is what senders had not settled when they were deposed.
type Left struct {
	From outbox.LSN // all before it was settled; 0: not known, or of another cluster
	At   time.Time  // commit time of what was settled last in the partition that is behind most; zero: not known
}

// Senders returns how many sessions hold the shared advisory lock (key, 0), see lease.Members.
func (k *Fanout) Senders(ctx context.Context, key int32) (n int, err error) {
	err = k.link.Run(ctx, "count who sends", func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, sendersSQL, pgx.NamedArgs{"key": key}).Scan(&n)
	})
	return n, err
}

const sendersSQL = `
SELECT count(*)
FROM pg_catalog.pg_locks AS l
WHERE l.locktype = 'advisory'
  AND l.granted
  AND l.objsubid = 2
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
  AND l.classid = @key::integer::oid
  AND l.objid = 0`

// Publishing notes, while the slot is held, to how many partitions its holder publishes from the
// slot's position on. Each hold calls it before it publishes or sends anything, whether it has a
// fan-out or not. Where nothing has changed since the last hold, the senders go on as they are.
//
// Else all of them are deposed, and every partition begins where the slot is. What they left behind
// is returned, and a heal is due that begins there, in the same transaction; nil: nothing was left.
func (k *Fanout) Publishing(ctx context.Context, hold Hold, o PublishingOptions) (left *Left, err error) {
	err = k.link.WhileHeld(ctx, hold, "note to how many partitions is published", func(ctx context.Context, tx pgx.Tx) (err error) {
		left, err = publish(ctx, tx, hold.Slot, o)
		return err
	})
	return left, err
}

// publishedSQL reads, while nobody else can change what it reads, whether all is as it should be.
const publishedSQL = `
SELECT r.partitions = @partitions AND NOT EXISTS (
           SELECT
           FROM tailpost.relay AS p
           WHERE p.partition_of = r.slot
             AND p.partitions <> 0
             AND (p.partitions <> @partitions OR p.system_id <> r.system_id)
       ) AND (
           SELECT count(*)
           FROM tailpost.relay AS p
           WHERE p.partition_of = r.slot
             AND p.partitions <> 0
       ) = @partitions
FROM tailpost.relay AS r
WHERE r.slot = @slot`

// lockPartitionsSQL waits for what the senders record, and has their positions after that. Their
// rows are locked in an order, and after the slot's.
const lockPartitionsSQL = `
WITH locked AS (
    SELECT p.partitions, p.system_id, p.settled_lsn, p.settled_at
    FROM tailpost.relay AS p
    WHERE p.partition_of = @slot
    ORDER BY p.slot
    FOR NO KEY UPDATE
)
SELECT CASE WHEN bool_and(p.system_id = r.system_id) THEN min(p.settled_lsn) ELSE '0/0' END::text,
       CASE WHEN count(p.settled_at) = count(*) THEN min(p.settled_at) END
FROM locked AS p
CROSS JOIN tailpost.relay AS r
WHERE r.slot = @slot
  AND p.partitions <> 0
HAVING bool_or(p.system_id <> r.system_id OR p.settled_lsn < r.settled_lsn)`

const deposePartitionsSQL = `
UPDATE tailpost.relay AS p
SET epoch = p.epoch + 1,
    partitions = 0,
    updated_at = @now
WHERE p.partition_of = @slot`

const layPartitionsSQL = `
INSERT INTO tailpost.relay AS p (
    slot, epoch, owner, system_id, timeline, batch, settled_lsn, settled_at, updated_at, partitions, partition_of
)
SELECT n.name, 0, '', r.system_id, r.timeline, 0, r.settled_lsn, r.settled_at, @now, @partitions, r.slot
FROM tailpost.relay AS r
CROSS JOIN unnest(@names::text[]) AS n (name)
WHERE r.slot = @slot
ON CONFLICT (slot) DO UPDATE
SET owner = '',
    system_id = EXCLUDED.system_id,
    timeline = EXCLUDED.timeline,
    batch = 0,
    settled_lsn = EXCLUDED.settled_lsn,
    settled_at = EXCLUDED.settled_at,
    released_lsn = NULL,
    partitions = EXCLUDED.partitions`

const publishSQL = `
UPDATE tailpost.relay
SET partitions = @partitions,
    updated_at = @now
WHERE slot = @slot`

func publish(ctx context.Context, tx pgx.Tx, slot string, o PublishingOptions) (*Left, error) {
	names := make([]string, o.Partitions)
	for i := range names {
		names[i] = PartitionSlot(slot, i)
	}
	args := pgx.NamedArgs{"slot": slot, "partitions": o.Partitions, "names": names, "now": o.Now}
	var published bool
	if err := tx.QueryRow(ctx, publishedSQL, args).Scan(&published); err != nil || published {
		return nil, err
	}
	left, err := leftBehind(ctx, tx, args)
	if err != nil {
		return nil, err
	}
	for _, sql := range []string{deposePartitionsSQL, layPartitionsSQL, publishSQL} {
		if _, err := tx.Exec(ctx, sql, args); err != nil {
			return nil, err
		}
	}
	if left == nil {
		return nil, nil //nolint:nilnil // nothing was left
	}
	since := left.At
	if !since.IsZero() {
		since = since.Add(-o.Margin)
	}
	_, err = tx.Exec(ctx, dueHealSQL, pgx.NamedArgs{"slot": slot, "why": o.Why, "since": nullTime(since), "from": left.From.String(), "at": o.Now})
	return left, err
}

// leftBehind locks the partitions' rows and returns what is not settled yet in those that are
// published to; nil: everything is.
func leftBehind(ctx context.Context, tx pgx.Tx, args pgx.NamedArgs) (*Left, error) {
	var from string
	var at *time.Time
	err := tx.QueryRow(ctx, lockPartitionsSQL, args).Scan(&from, &at)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil //nolint:nilnil // nothing was left
	case err != nil:
		return nil, err
	}
	left := &Left{At: orZero(at)}
	left.From, err = outbox.ParseLSN(from)
	return left, err
}
