package query

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
)

// AttemptQuery asks for a page of attempts, newest first.
type AttemptQuery struct {
	Tenant      string // only those to this tenant's endpoints; empty: all
	EndpointID  string
	EventID     string
	EventType   string
	EventTenant string
	RequestID   string
	Outcome     string
	StatusClass int       // 1 to 5; 0: any
	Search      []Term    // all of them
	Since       time.Time // inclusive
	Until       time.Time // exclusive
	After       AttemptPosition
	Limit       int
	// Follow is the time at which a Tail is to go on where the page ends; zero: none is.
	Follow time.Time
}

// Term is something by which events are found, in the forms that it may have on record: any of
// them, as config.SearchTerm writes them.
type Term []string

// AttemptPosition is a place among attempts in the order of their pages. Without an EventID it is
// before all attempts of its time.
type AttemptPosition struct {
	At         time.Time // zero: the start
	EventID    string
	EndpointID string
	Number     int
	// What the search that ends here has learned, so that the next page need not; zero: nothing.
	// Window is how much time it would read next at once, Fixed what it takes to read however
	// little, and from Dense on there is more than one window may have.
	Window time.Duration `json:",omitzero"`
	Fixed  time.Duration `json:",omitzero"`
	Dense  time.Time     `json:",omitzero"`
}

// AttemptPage is an answer to an AttemptQuery.
type AttemptPage struct {
	Attempts []outbox.Attempt
	// Next is where the next page begins; nil: there is none. A page may be short and have a next
	// one all the same: a search for something rare stops after a while.
	Next *AttemptPosition
	// Tail is where a Tail goes on: it has what the page could not have yet. Nil: nobody asked.
	Tail TailPosition
}

const attemptColumns = `
SELECT event_id, event_type, COALESCE(tenant, ''), endpoint_id, number, trigger, url, outcome, COALESCE(status_code, 0),
       COALESCE(error, ''), duration_ms, response_body, response_truncated, attempted_at, commit_lsn::text, search,
       request_headers, response_headers, COALESCE(request_id, '')
FROM tailpost.attempt AS a`

const attemptsOrder = `
ORDER BY attempted_at DESC, event_id DESC, endpoint_id DESC, number DESC
LIMIT @limit`

// boundedStart and boundedEnd stand around a query whose rows are to be sorted: no more than @most
// are, and whoever sees that there were more knows that the answer is not one.
const (
	boundedStart = `
SELECT a.*, count(*) OVER ()
FROM (`
	boundedEnd = `
    LIMIT @most
) AS a`
)

const (
	// searchPatience is how long a page goes on that is not full: who reads the first page only
	// takes an empty one for all there is.
	searchPatience = 60 * time.Millisecond
	// leastParts is how many parts an empty page has at least, however long they take. Windows grow
	// with each, so that a slow machine finds what a fast one finds.
	leastParts = 4
)

// enough reports whether a page ends although it is not full and more may follow.
func (p *AttemptPage) enough(parts int, took time.Duration) bool {
	return took > searchPatience && (len(p.Attempts) > 0 || parts >= leastParts)
}

// narrow has a query for a request look at its time only, which the request's id has.
func (q *AttemptQuery) narrow() {
	at, ok := ledger.RequestTime(q.RequestID)
	if !ok {
		return
	}
	q.Since = pace.Later(q.Since, at)
	if end := at.Add(time.Millisecond); q.Until.IsZero() || end.Before(q.Until) {
		q.Until = end
	}
}

// Attempts returns a page.
func (s attempts) Attempts(ctx context.Context, q AttemptQuery) (page AttemptPage, err error) {
	q.narrow()
	o := pgx.TxOptions{AccessMode: pgx.ReadOnly}
	if !q.Follow.IsZero() {
		o.IsoLevel = pgx.RepeatableRead // the page and the place after it are of one moment
	}
	err = s.transact(ctx, "list attempts", o, func(ctx context.Context, tx pgx.Tx) error {
		page = AttemptPage{}
		if !q.Follow.IsZero() {
			end, err := tailEnd(ctx, tx, q.Follow)
			if err != nil {
				return err
			}
			page.Tail = positionOf(end)
		}
		q, limit := q, q.Limit
		began := time.Now()
		for parts := 1; ; parts++ {
			part, err := readAttempts(ctx, tx, q)
			if err != nil {
				return err
			}
			page.Attempts, page.Next = append(page.Attempts, part.Attempts...), part.Next
			q.Limit = limit - len(page.Attempts)
			if page.Next == nil || q.Limit == 0 || page.enough(parts, time.Since(began)) {
				return nil
			}
			q.After = *page.Next
		}
	})
	return page, err
}

func readAttempts(ctx context.Context, tx pgx.Tx, q AttemptQuery) (AttemptPage, error) {
	var ids []string
	if q.Tenant != "" {
		var err error
		ids, err = many(ctx, tx, "SELECT id FROM tailpost.endpoint WHERE tenant = @tenant", pgx.NamedArgs{"tenant": q.Tenant}, pgx.RowTo[string])
		if err != nil {
			return AttemptPage{}, err
		}
		if q.EndpointID == "" && len(ids) == 1 {
			q.EndpointID = ids[0]
		}
		if len(ids) == 0 || q.EndpointID != "" && !slices.Contains(ids, q.EndpointID) {
			return AttemptPage{}, nil
		}
		if q.EndpointID != "" {
			q.Tenant = "" // the endpoint says it all
		}
	}
	sql, args := attemptsQuery(q)
	args["ids"] = ids
	if q.exact() {
		if q.EventID == "" {
			if _, err := tx.Exec(ctx, q.plannerSQL()); err != nil {
				return AttemptPage{}, err
			}
		}
		return attemptWindow(ctx, tx, q, sql, args)
	}
	return searchAttempts(ctx, tx, q, sql, args)
}

// The planner multiplies how rare each condition is, as if an endpoint that fails failed no more
// often than others do. So it expects next to nothing where there is a lot, and fetches and sorts
// all of that; or much where there is nothing, and reads on for a first row that does not come. For
// the rest of the transaction, inOrderSQL keeps it to indexes that have the rows in the order of
// the page, and searchSQL to those that know the window. A plan for any window would know nothing
// of this one.
const (
	inOrderSQL = `
SELECT set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true),
       set_config('plan_cache_mode', 'force_custom_plan', true)`
	searchSQL = `
SELECT set_config('enable_indexscan', 'off', true), set_config('enable_seqscan', 'off', true),
       set_config('plan_cache_mode', 'force_custom_plan', true)`
)

// plannerSQL returns the planner's settings that suit the query, for the rest of the transaction.
func (q *AttemptQuery) plannerSQL() string {
	if q.ordered() {
		return inOrderSQL
	}
	return searchSQL
}

func (q *AttemptQuery) failed() bool {
	return q.Outcome == string(outbox.Retry) || q.Outcome == string(outbox.Dead)
}

// rareClass says that a class of answers is asked for that has an index. Nearly all answers are a
// 2xx, whatever an endpoint takes for a success.
func (q *AttemptQuery) rareClass() bool { return q.StatusClass != 0 && q.StatusClass != 2 }

// ordered says that there is an index with the order of the page, of which the page leaves out
// little or what only that index finds. Of types and tenants there is none; what is fewer, those or
// what an index has, the planner knows best.
func (q *AttemptQuery) ordered() bool {
	return q.EventID == "" && q.EventType == "" && q.EventTenant == "" && q.Tenant == "" && len(q.Search) == 0 &&
		(q.EndpointID != "" || q.failed() || q.rareClass())
}

// exact says that a page reads nothing that it does not show: an event has few attempts, and an
// index in order that has no others ends with the page.
func (q *AttemptQuery) exact() bool {
	switch {
	case q.EventID != "":
		return true
	case !q.ordered():
		return false
	case q.EndpointID != "":
		return q.StatusClass == 0 && (q.Outcome == "" || q.failed())
	}
	return q.failed() && q.StatusClass == 0 || q.rareClass() && q.Outcome == ""
}

// attemptsQuery puts the query together. Every piece is a constant.
func attemptsQuery(q AttemptQuery) (sql string, args pgx.NamedArgs) {
	sql = attemptColumns + "\nWHERE attempted_at < @high AND attempted_at >= @low"
	args = pgx.NamedArgs{
		"endpoint": q.EndpointID, "event": q.EventID, "type": q.EventType,
		"event_tenant": q.EventTenant, "request": q.RequestID, "outcome": q.Outcome, "limit": q.Limit + 1,
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
	where(q.RequestID != "", "request_id = @request")
	where(q.EventTenant != "", "tenant = @event_tenant")
	where(q.Outcome != "", "outcome = @outcome")
	// The partial indexes, and that of classes, are found only where the conditions stand there as
	// they are.
	where(q.failed(), "outcome <> 'delivered'")
	where(q.rareClass(), "status_code / 100 <> 2")
	sql += termsSQL("a", q.Search, args)
	if q.StatusClass != 0 {
		args["class"] = q.StatusClass
		where(true, "status_code / 100 = @class")
	}
	if p := q.After; !p.At.IsZero() {
		args["at"], args["at_event"], args["at_endpoint"], args["at_number"] = p.At, p.EventID, p.EndpointID, p.Number
		where(p.EventID != "", "(attempted_at, event_id, endpoint_id, number) < (@at, @at_event, @at_endpoint, @at_number)")
	}
	if !q.ordered() && !q.exact() {
		sql = boundedStart + sql + boundedEnd
	}
	return sql + attemptsOrder, args
}

func scanAttempt(row pgx.CollectableRow) (outbox.Attempt, error) { return scanAttemptAnd(row) }

// scanAttemptAnd reads an attempt and what a query has beside it.
func scanAttemptAnd(row pgx.CollectableRow, more ...any) (a outbox.Attempt, err error) {
	var ms float64
	var lsn string
	var body *string
	to := []any{
		&a.EventID, &a.EventType, &a.Tenant, &a.EndpointID, &a.Number, &a.Trigger, &a.URL, &a.Outcome, &a.StatusCode,
		&a.Error, &ms, &body, &a.ResponseTruncated, &a.AttemptedAt, &lsn, &a.Search, &a.RequestHeaders,
		&a.ResponseHeaders, &a.RequestID,
	}
	err = row.Scan(append(to, more...)...)
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
func (c attemptChanges) RecordTest(ctx context.Context, a *outbox.Attempt) error {
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
		"request_headers": jsonOrNull(a.RequestHeaders), "response_headers": jsonOrNull(a.ResponseHeaders),
		"request": orNull(a.RequestID),
		"hour":    a.AttemptedAt.UTC().Truncate(time.Hour), "buckets": bucketsOf(ms),
		"delivered": 0, "failed": 1, "dead": 1, "classes": classesOf(a.StatusCode), "kind": ledger.CountedType(a.EventType),
	}
	if a.Outcome == outbox.Delivered {
		args["delivered"], args["failed"], args["dead"] = 1, 0, 0
	}
	if _, err := c.tx.Exec(ctx, `
INSERT INTO tailpost.attempt (
    event_id, event_type, tenant, endpoint_id, number, trigger, url, outcome, status_code, error, duration_ms,
    response_body, response_truncated, attempted_at, commit_lsn, request_headers, response_headers, request_id
)
VALUES (
    @event, @type, NULLIF(@tenant, ''), @endpoint, @number, @trigger, @url, @outcome, NULLIF(@status::integer, 0),
    NULLIF(@error, ''), @ms, @body, @truncated, @at, '0/0', @request_headers, @response_headers, @request
)`, args); err != nil {
		return fmt.Errorf("record the attempt: %w", err)
	}
	if _, err := c.tx.Exec(ctx, `
INSERT INTO tailpost.endpoint_stats AS s (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets, classes)
VALUES (@endpoint, @hour, 1, @delivered, @failed, @dead, @ms, @buckets::bigint[], @classes::bigint[])
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
    ),
    classes = `+addedClassesSQL, args); err != nil {
		return fmt.Errorf("count the attempt: %w", err)
	}
	if _, err := c.tx.Exec(ctx, countTypeSQL, args); err != nil {
		return fmt.Errorf("count the attempt by its type: %w", err)
	}
	return nil
}

// jsonOrNull is headers as a parameter.
func jsonOrNull(headers map[string]string) any {
	if headers == nil {
		return nil
	}
	return headers
}

const addedClassesSQL = `CASE WHEN s.classes IS NULL THEN EXCLUDED.classes ELSE (
        SELECT array_agg(o.n + n.n ORDER BY o.place)
        FROM unnest(s.classes) WITH ORDINALITY AS o (n, place)
        JOIN unnest(EXCLUDED.classes) WITH ORDINALITY AS n (n, place) ON n.place = o.place
    ) END`

// countTypeSQL counts an attempt by its type as the relay does, whose rows over all endpoints it
// may not begin: the first of them says from when on they have everything.
const countTypeSQL = `
INSERT INTO tailpost.type_stats AS s (endpoint_id, hour, event_type, attempts, delivered, failed, dead, classes)
SELECT e.id, @hour, @kind::text, 1, @delivered, @failed, @dead, CASE WHEN e.id = '' THEN @classes::bigint[] END
FROM (VALUES (''), (@endpoint::text)) AS e (id)
WHERE e.id <> ''
   OR EXISTS (SELECT FROM tailpost.type_stats WHERE endpoint_id = '')
ORDER BY e.id
ON CONFLICT (endpoint_id, hour, event_type) DO UPDATE
SET attempts = s.attempts + 1,
    delivered = s.delivered + EXCLUDED.delivered,
    failed = s.failed + EXCLUDED.failed,
    dead = s.dead + EXCLUDED.dead,
    classes = ` + addedClassesSQL + `
`

// classesOf counts one answer.
func classesOf(status int) []int64 {
	classes := make([]int64, ClassCount)
	classes[min(max(status/100, 0), ClassCount-1)] = 1
	return classes
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
