package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
)

// AttemptQuery asks for a page of attempts, newest first.
type AttemptQuery struct {
	Tenant      string // only those to this tenant's endpoints; empty: all
	EndpointID  string
	EventID     string
	EventType   string
	EventTenant string
	Outcome     string
	StatusClass int       // 1 to 5; 0: any
	Since       time.Time // inclusive
	Until       time.Time // exclusive
	After       AttemptPosition
	Limit       int
}

// AttemptPosition is a place among attempts in the order of their pages. Without an EventID it is before all attempts of
// its time.
type AttemptPosition struct {
	At         time.Time // zero: the start
	EventID    string
	EndpointID string
	Number     int
}

// AttemptPage is an answer to an AttemptQuery.
type AttemptPage struct {
	Attempts []outbox.Attempt
	// Next is where the next page begins; nil: there is none. A page may be short and have a next one all the same: a
	// search for something rare stops after a while.
	Next *AttemptPosition
}

const attemptColumns = `
SELECT event_id, event_type, COALESCE(tenant, ''), endpoint_id, number, trigger, url, outcome, COALESCE(status_code, 0),
       COALESCE(error, ''), duration_ms, response_body, response_truncated, attempted_at, commit_lsn::text
FROM tailpost.attempt AS a`

// The window keeps a search without an index of its own from reading more than it must: pages of such searches are
// put together from windows of time, whose size follows how long the last one took.
const (
	firstWindow  = time.Second
	lastWindow   = 100 * 24 * time.Hour
	quickWindow  = 15 * time.Millisecond
	windowBudget = 400 * time.Millisecond
	windowGrowth = 8
)

// attemptsSQL has its conditions appended by attemptsQuery, from constants.
const attemptsOrder = `
ORDER BY attempted_at DESC, event_id DESC, endpoint_id DESC, number DESC
LIMIT @limit`

// Attempts gives a page.
func (s *Store) Attempts(ctx context.Context, q AttemptQuery) (page AttemptPage, err error) {
	err = s.read(ctx, "list attempts", func(ctx context.Context, tx pgx.Tx) (err error) {
		page, err = readAttempts(ctx, tx, q)
		return err
	})
	return page, err
}

func readAttempts(ctx context.Context, tx pgx.Tx, q AttemptQuery) (AttemptPage, error) {
	sql, args := attemptsQuery(q)
	if q.Tenant != "" {
		ids, err := many(ctx, tx, "SELECT id FROM tailpost.endpoint WHERE tenant = @tenant", args, pgx.RowTo[string])
		if err != nil {
			return AttemptPage{}, err
		}
		args["ids"] = ids
	}
	// With an event, or an endpoint and nothing rarer, an index has the rows in the order of the page.
	direct := q.EventID != "" || q.EndpointID != "" && q.EventType == "" && q.EventTenant == "" && q.StatusClass == 0 &&
		q.Outcome != string(outbox.Delivered)
	if direct {
		return attemptWindow(ctx, tx, q, sql, args, q.Until, q.Since)
	}
	return attemptWindows(ctx, tx, q, sql, args)
}

// attemptsQuery puts the query together. Every piece is a constant.
func attemptsQuery(q AttemptQuery) (sql string, args pgx.NamedArgs) {
	sql = attemptColumns + "\nWHERE attempted_at < @high AND attempted_at >= @low"
	args = pgx.NamedArgs{
		"tenant": q.Tenant, "endpoint": q.EndpointID, "event": q.EventID, "type": q.EventType,
		"event_tenant": q.EventTenant, "outcome": q.Outcome, "limit": q.Limit + 1,
	}
	where := func(set bool, condition string) {
		if set {
			sql += "\n  AND " + condition
		}
	}
	where(q.Tenant != "", "endpoint_id = ANY (@ids::text[])")
	where(q.EndpointID != "", "endpoint_id = @endpoint")
	where(q.EventID != "", "event_id = @event")
	where(q.EventType != "", "event_type = @type")
	where(q.EventTenant != "", "tenant = @event_tenant")
	where(q.Outcome != "", "outcome = @outcome")
	// The partial indexes are found only where the condition stands there as it is.
	where(q.Outcome == string(outbox.Retry) || q.Outcome == string(outbox.Dead), "outcome <> 'delivered'")
	if q.StatusClass != 0 {
		args["from"], args["to"] = q.StatusClass*100, q.StatusClass*100+100
		where(true, "status_code >= @from AND status_code < @to")
		// A 2xx whose answer was not read to its end failed, so only the other classes say something of the outcome.
		where(q.StatusClass != 2, "outcome <> 'delivered'")
	}
	if p := q.After; !p.At.IsZero() {
		args["at"], args["at_event"], args["at_endpoint"], args["at_number"] = p.At, p.EventID, p.EndpointID, p.Number
		where(p.EventID != "", "(attempted_at, event_id, endpoint_id, number) < (@at, @at_event, @at_endpoint, @at_number)")
	}
	return sql + attemptsOrder, args
}

// start is the highest time that a page may have, exclusive.
func (q *AttemptQuery) start(until time.Time) time.Time {
	high := until
	if p := q.After; !p.At.IsZero() {
		at := p.At
		if p.EventID != "" {
			at = at.Add(time.Microsecond) // others of the same microsecond may follow it
		}
		if high.IsZero() || at.Before(high) {
			high = at
		}
	}
	return high
}

// farPast and farFuture bound a window on the side where nothing else does. Postgres knows both.
func farPast() time.Time   { return time.Unix(0, 0).UTC() }
func farFuture() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }

// attemptWindow reads a page of one window of time.
func attemptWindow(ctx context.Context, tx pgx.Tx, q AttemptQuery, sql string, args pgx.NamedArgs, until, since time.Time) (AttemptPage, error) {
	high, low := q.start(until), since
	if high.IsZero() {
		high = farFuture()
	}
	if low.IsZero() {
		low = farPast()
	}
	args["high"], args["low"] = high, low
	rows, err := many(ctx, tx, sql, args, scanAttempt)
	if err != nil {
		return AttemptPage{}, err
	}
	page := AttemptPage{Attempts: rows}
	if len(rows) > q.Limit {
		page.Attempts = rows[:q.Limit]
		page.Next = positionOf(&rows[q.Limit-1])
	}
	return page, nil
}

func positionOf(a *outbox.Attempt) *AttemptPosition {
	return &AttemptPosition{At: a.AttemptedAt, EventID: a.EventID, EndpointID: a.EndpointID, Number: a.Number}
}

// oldestSQL reads the first day from the names of the partitions.
const oldestSQL = `
SELECT min(to_date(right(c.relname::text, 8), 'YYYYMMDD')::timestamptz)
FROM pg_catalog.pg_inherits AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'tailpost.attempt'::regclass`

// attemptWindows reads a page window by window, backwards in time.
func attemptWindows(ctx context.Context, tx pgx.Tx, q AttemptQuery, sql string, args pgx.NamedArgs) (AttemptPage, error) {
	var oldest *time.Time
	if err := tx.QueryRow(ctx, oldestSQL).Scan(&oldest); err != nil {
		return AttemptPage{}, fmt.Errorf("find the oldest partition: %w", err)
	}
	if oldest == nil {
		return AttemptPage{}, nil
	}
	high, low := q.start(q.Until), q.Since
	if low.IsZero() || low.Before(*oldest) {
		low = *oldest
	}
	// Clocks differ by less; what lies ahead all the same comes with a later page.
	if now := time.Now().Add(time.Second); high.IsZero() || high.After(now) {
		high = now
	}
	var page AttemptPage
	began, size, limit := time.Now(), firstWindow, q.Limit
	for high.After(low) {
		from := high.Add(-size)
		if from.Before(low) {
			from = low
		}
		asked := time.Now()
		q.Limit = limit - len(page.Attempts)
		args["limit"] = q.Limit + 1
		part, err := attemptWindow(ctx, tx, q, sql, args, high, from)
		if err != nil {
			return AttemptPage{}, err
		}
		page.Attempts = append(page.Attempts, part.Attempts...)
		if page.Next = part.Next; page.Next != nil {
			return page, nil
		}
		high = from
		if !high.After(low) {
			break
		}
		if len(page.Attempts) == limit || time.Since(began) > windowBudget {
			page.Next = &AttemptPosition{At: high}
			return page, nil
		}
		switch {
		case time.Since(asked) < quickWindow:
			size = min(windowGrowth*size, lastWindow)
		case len(part.Attempts) == 0:
			size = min(2*size, lastWindow)
		}
	}
	return page, nil
}

func scanAttempt(row pgx.CollectableRow) (a outbox.Attempt, err error) {
	var ms float64
	var lsn string
	var body *string
	err = row.Scan(&a.EventID, &a.EventType, &a.Tenant, &a.EndpointID, &a.Number, &a.Trigger, &a.URL, &a.Outcome, &a.StatusCode,
		&a.Error, &ms, &body, &a.ResponseTruncated, &a.AttemptedAt, &lsn)
	if err != nil {
		return a, err
	}
	if body != nil {
		a.ResponseBody = []byte(*body)
	}
	a.Duration, a.AttemptedAt = time.Duration(ms*float64(time.Millisecond)), a.AttemptedAt.UTC()
	a.CommitLSN, err = outbox.ParseLSN(lsn)
	return a, err
}

// RecordTest writes the attempt of a test event, and counts it as every attempt is counted.
func (c *Change) RecordTest(ctx context.Context, a *outbox.Attempt) error {
	ms := float64(a.Duration) / float64(time.Millisecond)
	orNull := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	args := pgx.NamedArgs{
		"event": a.EventID, "type": a.EventType, "tenant": a.Tenant, "endpoint": a.EndpointID, "number": a.Number,
		"trigger": a.Trigger, "url": a.URL, "outcome": a.Outcome, "status": a.StatusCode, "error": a.Error, "ms": ms,
		"body": orNull(string(a.ResponseBody)), "truncated": a.ResponseTruncated, "at": a.AttemptedAt,
		"hour": a.AttemptedAt.UTC().Truncate(time.Hour), "buckets": bucketsOf(ms),
		"delivered": 0, "failed": 1, "dead": 1,
	}
	if a.Outcome == outbox.Delivered {
		args["delivered"], args["failed"], args["dead"] = 1, 0, 0
	}
	if _, err := c.tx.Exec(ctx, `
INSERT INTO tailpost.attempt (
    event_id, event_type, tenant, endpoint_id, number, trigger, url, outcome, status_code, error, duration_ms,
    response_body, response_truncated, attempted_at, commit_lsn
)
VALUES (
    @event, @type, NULLIF(@tenant, ''), @endpoint, @number, @trigger, @url, @outcome, NULLIF(@status::integer, 0),
    NULLIF(@error, ''), @ms, @body, @truncated, @at, '0/0'
)`, args); err != nil {
		return fmt.Errorf("record the attempt: %w", err)
	}
	if _, err := c.tx.Exec(ctx, `
INSERT INTO tailpost.endpoint_stats AS s (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets)
VALUES (@endpoint, @hour, 1, @delivered, @failed, @dead, @ms, @buckets::bigint[])
ON CONFLICT (endpoint_id, hour) DO UPDATE
SET attempts = s.attempts + 1,
    delivered = s.delivered + EXCLUDED.delivered,
    failed = s.failed + EXCLUDED.failed,
    dead = s.dead + EXCLUDED.dead,
    duration_ms_sum = s.duration_ms_sum + EXCLUDED.duration_ms_sum,
    buckets = (
        SELECT array_agg(o.n + n.n ORDER BY o.place)
        FROM unnest(s.buckets) WITH ORDINALITY AS o (n, place)
        JOIN unnest(EXCLUDED.buckets) WITH ORDINALITY AS n (n, place) ON n.place = o.place
    )`, args); err != nil {
		return fmt.Errorf("count the attempt: %w", err)
	}
	return nil
}

// bucketsOf counts one attempt.
func bucketsOf(ms float64) []int64 {
	bounds := BucketBounds()
	buckets := make([]int64, len(bounds)+1)
	at := len(bounds)
	for i, bound := range bounds {
		if ms <= bound {
			at = i
			break
		}
	}
	buckets[at] = 1
	return buckets
}
