package query

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
)

// QueueLength is how much of an endpoint is not delivered.
type QueueLength struct {
	EndpointID    string
	Pending, Dead int64
	// Oldest is since when the pending delivery that waits longest is queued, or may be delivered
	// where that is later; nil: none is pending.
	Oldest *time.Time
}

// ReasonCount is how many deliveries of a state have a reason.
type ReasonCount struct {
	State, Reason string
	Count         int64
}

const (
	// wholePages is up to how many pages of tailpost.delivery all rows are counted. Of a longer
	// queue about as many pages are read, picked at random, and what is there is estimated.
	wholePages = 4096
	// countedRows are counted of each endpoint and state of a queue that is not counted whole: what
	// is rare is exact, and never missed.
	countedRows = 1000
)

const queuePagesSQL = `
SELECT pg_relation_size('tailpost.delivery') / current_setting('block_size')::bigint`

// queueCountsSQL counts the rows of some of the pages.
const queueCountsSQL = `
SELECT d.endpoint_id, d.state, d.reason, count(*), min(GREATEST(d.created_at, d.deliver_at))
FROM tailpost.delivery AS d TABLESAMPLE SYSTEM (@percent::double precision)
GROUP BY d.endpoint_id, d.state, d.reason`

// queueHeadsSQL goes from endpoint to endpoint by the indexes, and reads the first rows of each.
const queueHeadsSQL = `
WITH RECURSIVE pending (id) AS (
    SELECT min(d.endpoint_id)
    FROM tailpost.delivery AS d
    WHERE d.state = 'pending'
    UNION ALL
    SELECT (
        SELECT min(d.endpoint_id)
        FROM tailpost.delivery AS d
        WHERE d.state = 'pending'
          AND d.endpoint_id > p.id
    )
    FROM pending AS p
    WHERE p.id IS NOT NULL
),
dead (id) AS (
    SELECT min(d.endpoint_id)
    FROM tailpost.delivery AS d
    WHERE d.state = 'dead'
    UNION ALL
    SELECT (
        SELECT min(d.endpoint_id)
        FROM tailpost.delivery AS d
        WHERE d.state = 'dead'
          AND d.endpoint_id > p.id
    )
    FROM dead AS p
    WHERE p.id IS NOT NULL
)
SELECT e.id, 'pending', '', h.n, h.oldest
FROM pending AS e
CROSS JOIN LATERAL (
    SELECT count(*) AS n, min(f.since) AS oldest
    FROM (
        SELECT GREATEST(d.created_at, d.deliver_at) AS since
        FROM tailpost.delivery AS d
        WHERE d.endpoint_id = e.id
          AND d.state = 'pending'
        ORDER BY d.commit_lsn, d.seq
        LIMIT @rows
    ) AS f
) AS h
WHERE e.id IS NOT NULL
UNION ALL
SELECT e.id, 'dead', '', h.n, NULL
FROM dead AS e
CROSS JOIN LATERAL (
    SELECT count(*) AS n
    FROM (
        SELECT
        FROM tailpost.delivery AS d
        WHERE d.endpoint_id = e.id
          AND d.state = 'dead'
        ORDER BY d.commit_lsn, d.seq
        LIMIT @rows
    ) AS f
) AS h
WHERE e.id IS NOT NULL`

// queueCount is how many rows of the queue are of an endpoint, a state and a reason.
type queueCount struct {
	EndpointID, State, Reason string
	N                         int64
	Oldest                    *time.Time
}

// readQueues counts what is queued, or estimates it where that would mean to read very much.
func readQueues(ctx context.Context, tx pgx.Tx) ([]QueueLength, []ReasonCount, error) {
	var pages int64
	if err := tx.QueryRow(ctx, queuePagesSQL).Scan(&pages); err != nil {
		return nil, nil, err
	}
	share := min(1, float64(wholePages)/float64(max(pages, 1)))
	counts, err := many(ctx, tx, queueCountsSQL, pgx.NamedArgs{"percent": 100 * share}, pgx.RowToStructByPos[queueCount])
	if err != nil {
		return nil, nil, err
	}
	var heads []queueCount
	if share < 1 {
		if heads, err = many(ctx, tx, queueHeadsSQL, pgx.NamedArgs{"rows": countedRows}, pgx.RowToStructByPos[queueCount]); err != nil {
			return nil, nil, err
		}
	}
	queues, reasons := sumQueues(counts, share, heads)
	return queues, reasons, nil
}

// sumQueues adds up the counts of a share of the pages. Heads are the first rows of each endpoint
// where the share is not all: fewer than countedRows are exact.
func sumQueues(counts []queueCount, share float64, heads []queueCount) ([]QueueLength, []ReasonCount) {
	queues := make(map[string]*QueueLength)
	reasons := make(map[[2]string]int64)
	queue := func(id string) *QueueLength {
		q := queues[id]
		if q == nil {
			q = &QueueLength{EndpointID: id}
			queues[id] = q
		}
		return q
	}
	for i := range counts {
		c := &counts[i]
		n := int64(float64(c.N) / share)
		reasons[[2]string{c.State, c.Reason}] += n
		*queue(c.EndpointID).of(c.State) += n
		queue(c.EndpointID).since(c)
	}
	if share < 1 {
		for i := range heads {
			h := &heads[i]
			n := queue(h.EndpointID).of(h.State)
			if *n = max(*n, h.N); h.N < countedRows {
				*n = h.N
			}
			queue(h.EndpointID).since(h)
		}
	}
	lengths := make([]QueueLength, 0, len(queues))
	for _, id := range slices.Sorted(maps.Keys(queues)) {
		lengths = append(lengths, *queues[id])
	}
	list := make([]ReasonCount, 0, len(reasons))
	for of, n := range reasons {
		list = append(list, ReasonCount{State: of[0], Reason: of[1], Count: n})
	}
	slices.SortFunc(list, func(a, b ReasonCount) int {
		return cmp.Or(cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.State, b.State))
	})
	return lengths, list
}

// of returns the count of a state.
func (q *QueueLength) of(state string) *int64 {
	if state == string(outbox.StateDead) {
		return &q.Dead
	}
	return &q.Pending
}

// since notes since when deliveries wait.
func (q *QueueLength) since(c *queueCount) {
	if c.State == string(outbox.Pending) {
		q.Oldest = earlier(q.Oldest, c.Oldest)
	}
}

// earlier returns the earlier of two times; nil is none.
func earlier(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.Before(*a) {
		return b
	}
	return a
}
