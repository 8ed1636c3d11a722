package query

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

// EventQuery asks for a page of events, newest first.
type EventQuery struct {
	Tenant      string // of the caller's key: only what it may see; empty: all
	Key         string
	Type        config.Pattern // without segments: every type
	EventTenant string
	Since       time.Time // inclusive
	Until       time.Time // exclusive
	RowsOnly    bool      // only those with an outbox row
	Search      []Term    // all of them; then Key and RowsOnly are not looked at
	After       EventPosition
	Limit       int
}

// The parts of a list of events, in their order.
const (
	partRows    = ""        // the outbox rows
	partUntimed = "untimed" // those without a time, where the others are listed by it
	partGone    = "gone"    // events that were attempted and have no row any more

	// The parts of a search.
	partWaiting   = "waiting"   // events that were not attempted
	partAttempted = "attempted" // those that were
)

// EventPosition is a place in a list of events. The zero one is the start.
type EventPosition struct {
	Part string           `json:"part,omitempty"`
	At   string           `json:"at,omitempty"` // time of the last row, as the table has it
	ID   string           `json:"id,omitempty"` // of the last row
	Gone *AttemptPosition `json:"gone,omitempty"`
}

// ListedEvent is an event with a summary of its deliveries.
type ListedEvent struct {
	ID, Type, Key, Tenant string
	CreatedAt             time.Time // zero: not known
	HasRow                bool      // its outbox row is there

	EventState
}

// EventPage is an answer to an EventQuery. A page may be short and have a next one all the same.
type EventPage struct {
	Events []ListedEvent
	Next   *EventPosition
	Order  string   // created_at, id or attempted_at
	Advice []string // indexes that would help
}

// A page reads the table in windows of rows, so that no statement looks at more of it than a
// window.
const (
	firstRows   = 500
	mostRows    = 20_000
	quickWindow = 10 * time.Millisecond
	mostOfAKey  = 10_000 // rows of one key that are sorted
)

// windowsSQL keeps the planner to indexes: the table may be large, and its statistics old.
const windowsSQL = `SELECT set_config('enable_seqscan', 'off', true), set_config('statement_timeout', '3s', true)`

// Events returns a page.
func (s events) Events(ctx context.Context, q EventQuery) (page EventPage, err error) {
	err = s.read(ctx, "list events", func(ctx context.Context, tx pgx.Tx) error {
		list := eventList{tx: tx, q: q, at: q.After, until: time.Now().Add(searchPatience)}
		if err := list.read(ctx, s.mapping); err != nil {
			return err
		}
		page = list.page
		return readStates(ctx, tx, q.Tenant, page.Events)
	})
	return page, err
}

// eventList is a page that is being read.
type eventList struct {
	tx    pgx.Tx
	q     EventQuery
	table eventTable
	at    EventPosition // what is read next
	last  EventPosition // of the last event of the page
	until time.Time     // when a page that is not full ends
	page  EventPage
}

// rowsOnly reports whether events without a row are left out. What is known of them has no key.
func (l *eventList) rowsOnly() bool { return l.q.RowsOnly || l.q.Key != "" }

// full reports whether the page is, and something follows it.
func (l *eventList) full() bool { return l.page.Next != nil }

// add puts in the event that was just read.
func (l *eventList) add(e ListedEvent) {
	if len(l.page.Events) == l.q.Limit {
		next := l.last
		l.page.Next = &next
		return
	}
	l.page.Events, l.last = append(l.page.Events, e), l.at
}

func (l *eventList) over() bool { return time.Now().After(l.until) }

func (l *eventList) read(ctx context.Context, m outbox.Mapping) error {
	table, there, err := lookAtEvents(ctx, l.tx, m)
	if err != nil {
		return err
	}
	l.table = table
	if len(l.q.Search) > 0 {
		return l.searched(ctx)
	}
	walkable := there && table.walkable() && (l.q.Tenant == "" || table.mapping.Tenant != "")
	l.page.Order, l.page.Advice = table.order(), table.advice(l.q.Key != "")
	if !walkable {
		l.page.Order = "attempted_at"
	}
	if l.at.Part != partGone && !walkable {
		l.at = EventPosition{Part: partGone}
	}
	if l.at.Part == partGone && l.rowsOnly() {
		return nil
	}
	if _, err := l.tx.Exec(ctx, windowsSQL); err != nil {
		return err
	}
	for !l.full() {
		part := l.rows
		if l.at.Part == partGone {
			part = l.gone
		}
		more, err := part(ctx)
		if err != nil || !more {
			return err
		}
		if !l.full() && l.over() {
			at := l.at
			l.page.Next = &at
		}
	}
	return nil
}

// rowsSQL picks from a window what is asked for, with the last row of the window in any case: the
// next one begins after it.
const rowsSQL = `
SELECT id, type, key, tenant, created_at, at, matches, total
FROM (
    SELECT w.*, row_number() OVER (ORDER BY w.place) AS n, count(*) OVER () AS total,
           (@key::text = '' OR w.key = @key)
           AND (@pattern::text = '' OR w.type ~ @pattern)
           AND (@tenant::text = '' OR w.tenant = @tenant)
           AND (@event_tenant::text = '' OR w.tenant = @event_tenant)
           AND (@since::timestamptz IS NULL OR w.created_at >= @since)
           AND (@until::timestamptz IS NULL OR w.created_at < @until) AS matches
    FROM (
        SELECT v.*, row_number() OVER () AS place
        FROM (`

const rowsEndSQL = `
            LIMIT @window
        ) AS v
    ) AS w
) AS x
WHERE matches OR n = total
ORDER BY n`

// rows reads outbox rows, window by window, and reports whether there is more.
func (l *eventList) rows(ctx context.Context) (more bool, err error) {
	q := &l.q
	size := firstRows
	if q.Key == "" && len(q.Type.Segments) == 0 && !q.Type.Rest && q.Tenant == "" && q.EventTenant == "" {
		size = q.Limit - len(l.page.Events) + 1 // every row of the window is asked for
	}
	keyed, err := l.fewOfKey(ctx)
	if err != nil {
		return false, err
	}
	if keyed {
		size = mostOfAKey + 1
	}
	for {
		began := time.Now()
		seen, err := l.window(ctx, keyed, size)
		switch {
		case err != nil:
			return false, err
		case l.full() || seen == size && l.over():
			return true, nil
		case seen < size: // it was the last one
			return l.afterRows(), nil
		case time.Since(began) < quickWindow:
			size = min(2*size, mostRows)
		}
	}
}

// afterRows goes on to the next part, if there is one.
func (l *eventList) afterRows() bool {
	q := &l.q
	switch {
	case l.at.Part == partRows && l.table.timed() && q.Since.IsZero() && q.Until.IsZero():
		l.at = EventPosition{Part: partUntimed}
	case l.rowsOnly():
		return false
	default:
		l.at = EventPosition{Part: partGone}
	}
	return true
}

// fewOfKey reports whether all the rows of the key can be sorted.
func (l *eventList) fewOfKey(ctx context.Context) (bool, error) {
	if l.q.Key == "" || !l.table.keyed() {
		return false, nil
	}
	var n int
	err := l.tx.QueryRow(ctx, "SELECT count(*) FROM (SELECT FROM "+l.table.mapping.QuotedTable()+" AS o WHERE "+l.table.column(l.table.mapping.Key)+
		" = @key LIMIT @most) AS k", pgx.NamedArgs{"key": l.q.Key, "most": mostOfAKey + 1}).Scan(&n)
	return n <= mostOfAKey, err
}

// window reads one window of at most size rows and returns how many it had.
func (l *eventList) window(ctx context.Context, keyed bool, size int) (seen int, err error) {
	q, t := &l.q, &l.table
	started := l.at.ID != ""
	way := t.byID(started, l.at.Part == partUntimed)
	if l.at.Part == partRows && t.timed() {
		way = t.byTime(started)
	}
	from := t.mapping.QuotedTable()
	if keyed {
		// All of the key first, then the newest: in the order of times a rare one would be searched
		// for in all the others.
		from = "(SELECT * FROM " + from + " AS o WHERE " + t.column(t.mapping.Key) + " = @key LIMIT @window)"
	}
	pattern := ""
	if len(q.Type.Segments) > 0 || q.Type.Rest {
		pattern = patternSQL(q.Type)
	}
	sql := rowsSQL + t.selection(from) + "\nWHERE " + way.where + "\nORDER BY " + way.order + rowsEndSQL
	rows, err := l.tx.Query(ctx, sql, pgx.NamedArgs{
		"at": l.at.At, "id": l.at.ID, "key": q.Key, "pattern": pattern, "tenant": q.Tenant, "event_tenant": q.EventTenant,
		"since": timeOrNull(q.Since), "until": timeOrNull(q.Until), "window": size,
	})
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		e := ListedEvent{HasRow: true}
		var created pgtype.Timestamptz
		var at string
		var matches bool
		if err := rows.Scan(&e.ID, &e.Type, &e.Key, &e.Tenant, &created, &at, &matches, &seen); err != nil {
			return 0, err
		}
		if l.full() {
			continue
		}
		l.at.At, l.at.ID = at, e.ID
		if matches {
			e.CreatedAt = readableTime(created)
			l.add(e)
		}
	}
	return seen, rows.Err()
}

// goneBatch is how many attempts are looked at in one go.
const goneBatch = 250

// newestSQL finds the last attempt of each event, among those that are asked for.
const newestSQL = `
SELECT DISTINCT ON (a.event_id) a.event_id, a.attempted_at, a.endpoint_id, a.number
FROM tailpost.attempt AS a
WHERE a.event_id = ANY (@ids::text[])
  AND a.trigger <> 'test'
  AND (@tenant::text = '' OR EXISTS (SELECT FROM tailpost.endpoint AS e WHERE e.id = a.endpoint_id AND e.tenant = @tenant))
  AND (@since::timestamptz IS NULL OR a.attempted_at >= @since)
  AND (@until::timestamptz IS NULL OR a.attempted_at < @until)`

const newestEndSQL = `
ORDER BY a.event_id, a.attempted_at DESC, a.endpoint_id DESC, a.number DESC`

// gone reads events that were attempted, at the place of their last attempt, and reports whether
// there is more. Those with an outbox row are left out unless they are searched for.
func (l *eventList) gone(ctx context.Context) (more bool, err error) {
	q := AttemptQuery{
		Tenant: l.q.Tenant, EventTenant: l.q.EventTenant, Since: l.q.Since, Until: l.q.Until, Search: l.q.Search, Limit: goneBatch,
	}
	if l.q.Type.Exact() && len(l.q.Type.Segments) > 0 {
		q.EventType = strings.Join(l.q.Type.Segments, ".")
	}
	if l.at.Gone != nil {
		q.After = *l.at.Gone
	}
	part, err := readAttempts(ctx, l.tx, q)
	if err != nil {
		return false, err
	}
	all := len(l.q.Type.Segments) == 0 && !l.q.Type.Rest
	ids := make([]string, 0, len(part.Attempts))
	for i := range part.Attempts {
		if a := &part.Attempts[i]; a.Trigger != outbox.TriggerTest && (all || l.q.Type.Match(a.EventType)) {
			ids = append(ids, a.EventID)
		}
	}
	newest, there, err := l.newest(ctx, ids)
	if err != nil {
		return false, err
	}
	for i := range part.Attempts {
		a := &part.Attempts[i]
		place := AttemptPosition{At: a.AttemptedAt, EventID: a.EventID, EndpointID: a.EndpointID, Number: a.Number}
		if l.full() {
			return true, nil
		}
		l.at.Gone = &place
		if newest[a.EventID] == place {
			_, has := there[a.EventID]
			l.add(ListedEvent{ID: a.EventID, Type: a.EventType, Tenant: a.Tenant, HasRow: has})
		}
	}
	l.at.Gone = part.Next
	return part.Next != nil, nil
}

// newest returns the last attempt of those events that are to be listed, and which have an outbox
// row.
func (l *eventList) newest(ctx context.Context, ids []string) (newest map[string]AttemptPosition, there map[string]struct{}, err error) {
	there = map[string]struct{}{}
	if l.table.mapping.Table != "" && len(ids) > 0 {
		table, err := scan.LookAt(ctx, l.tx, l.table.mapping)
		if err != nil {
			return nil, nil, err
		}
		if there, err = table.WithRows(ctx, l.tx, ids); err != nil {
			return nil, nil, err
		}
	}
	listed := make([]string, 0, len(ids))
	for _, id := range ids {
		if _, is := there[id]; !is || len(l.q.Search) > 0 {
			listed = append(listed, id)
		}
	}
	args := pgx.NamedArgs{"ids": listed, "tenant": l.q.Tenant, "since": timeOrNull(l.q.Since), "until": timeOrNull(l.q.Until)}
	rows, err := l.tx.Query(ctx, newestSQL+termsSQL("a", l.q.Search, args)+newestEndSQL, args)
	if err != nil {
		return nil, nil, err
	}
	newest = make(map[string]AttemptPosition, len(listed))
	var p AttemptPosition
	_, err = pgx.ForEachRow(rows, []any{&p.EventID, &p.At, &p.EndpointID, &p.Number}, func() error {
		p.At = p.At.UTC()
		newest[p.EventID] = p
		return nil
	})
	return newest, there, err
}
