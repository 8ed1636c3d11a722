package query

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Events that are searched for are listed by what is on record of them: first those that wait for
// their first attempt anywhere, then the others by their last attempt. Without the search the
// outbox table would have to be read for what the application's own indexes may not know.

// termsSQL returns the conditions that find terms, and puts the terms into args. They stand as the
// partial indexes have them.
func termsSQL(alias string, terms []Term, args pgx.NamedArgs) string {
	var sql strings.Builder
	for i, term := range terms {
		name := "term" + strconv.Itoa(i)
		args[name] = []string(term)
		sql.WriteString("\n  AND " + alias + ".search IS NOT NULL AND " + alias + ".search && @" + name + "::text[]")
	}
	return sql.String()
}

// mostWaiting bounds how many deliveries of a term are looked at for events without an attempt.
const mostWaiting = 10_000

const (
	waitingStartSQL = `
WITH found AS MATERIALIZED (
    SELECT d.event_id, d.endpoint_id, d.event_type, d.key, d.tenant, d.event_created_at
    FROM tailpost.delivery AS d
    WHERE d.attempts = 0`

	waitingEndSQL = `
    LIMIT @most
)
SELECT DISTINCT ON (f.event_id) f.event_id, f.event_type, COALESCE(f.key, ''), COALESCE(f.tenant, ''), f.event_created_at
FROM found AS f
WHERE f.event_id > @id
  AND (@pattern::text = '' OR f.event_type ~ @pattern)
  AND (@event_tenant::text = '' OR f.tenant = @event_tenant)
  AND (@tenant::text = '' OR EXISTS (SELECT FROM tailpost.endpoint AS e WHERE e.id = f.endpoint_id AND e.tenant = @tenant))
  AND (@since::timestamptz IS NULL OR f.event_created_at >= @since)
  AND (@until::timestamptz IS NULL OR f.event_created_at < @until)
  AND NOT EXISTS (
      SELECT FROM tailpost.attempt AS a
      WHERE a.event_id = f.event_id
        AND a.trigger <> 'test'
        AND (@tenant::text = '' OR EXISTS (SELECT FROM tailpost.endpoint AS e WHERE e.id = a.endpoint_id AND e.tenant = @tenant)))
ORDER BY f.event_id
LIMIT @limit`
)

// waiting reads events that wait for their first attempt, in the order of their ids, and goes on to
// those that were attempted.
func (l *eventList) waiting(ctx context.Context) (more bool, err error) {
	args := l.searchArgs()
	sql := waitingStartSQL + termsSQL("d", l.q.Search, args) + waitingEndSQL
	rows, err := l.tx.Query(ctx, sql, args)
	if err != nil {
		return false, err
	}
	var e ListedEvent
	var created pgtype.Timestamptz
	_, err = pgx.ForEachRow(rows, []any{&e.ID, &e.Type, &e.Key, &e.Tenant, &created}, func() error {
		if l.full() {
			return nil
		}
		l.at.ID, e.CreatedAt = e.ID, readableTime(created)
		l.add(e)
		return nil
	})
	if err != nil || l.full() {
		return err == nil, err
	}
	l.at = EventPosition{Part: partAttempted}
	return true, nil
}

func (l *eventList) searchArgs() pgx.NamedArgs {
	q := &l.q
	pattern := ""
	if len(q.Type.Segments) > 0 || q.Type.Rest {
		pattern = patternSQL(q.Type)
	}
	return pgx.NamedArgs{
		"id": l.at.ID, "most": mostWaiting, "limit": q.Limit + 1 - len(l.page.Events), "pattern": pattern, "tenant": q.Tenant,
		"event_tenant": q.EventTenant, "since": timeOrNull(q.Since), "until": timeOrNull(q.Until),
	}
}

// fillRows reads, of the events of a page that have an outbox row, what only the row has.
func (l *eventList) fillRows(ctx context.Context) error {
	at := make(map[string]*ListedEvent)
	ids := make([]string, 0, len(l.page.Events))
	for i := range l.page.Events {
		if e := &l.page.Events[i]; e.HasRow {
			at[e.ID], ids = e, append(ids, e.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	t := &l.table
	sql := "SELECT id, key, created_at\nFROM (" + t.selection(t.mapping.QuotedTable()) + "\nWHERE " + t.column(t.mapping.ID) +
		" = ANY (@ids::text[]::" + t.idType + "[])) AS o"
	rows, err := l.tx.Query(ctx, sql, pgx.NamedArgs{"ids": ids})
	if err != nil {
		return err
	}
	var id, key string
	var created pgtype.Timestamptz
	_, err = pgx.ForEachRow(rows, []any{&id, &key, &created}, func() error {
		if e := at[id]; e != nil {
			e.Key, e.CreatedAt = key, readableTime(created)
		}
		return nil
	})
	return err
}

// searched reads the page of a search.
func (l *eventList) searched(ctx context.Context) error {
	l.page.Order = "attempted_at"
	l.page.Advice = nil
	if _, err := l.tx.Exec(ctx, windowsSQL); err != nil {
		return err
	}
	if l.at.Part != partAttempted {
		l.at.Part = partWaiting
	}
	for !l.full() {
		part := l.waiting
		if l.at.Part == partAttempted {
			part = l.gone
		}
		more, err := part(ctx)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if !l.full() && time.Now().After(l.until) {
			at := l.at
			l.page.Next = &at
		}
	}
	return l.fillRows(ctx)
}
