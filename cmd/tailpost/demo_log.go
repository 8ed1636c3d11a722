package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
)

// demoLog follows tailpost.attempt the way any SQL client could.
type demoLog struct {
	conn *pgx.Conn
	view *demoView
	seen map[string]struct{}
}

func newDemoLog(ctx context.Context, url string, view *demoView) (*demoLog, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("connect to the throw-away Postgres: %w", err)
	}
	return &demoLog{conn: conn, view: view, seen: map[string]struct{}{}}, nil
}

func (l *demoLog) close(ctx context.Context) {
	// The server goes too.
	_ = l.conn.Close(context.WithoutCancel(ctx))
}

// demoAttempt is a row of the summary.
type demoAttempt struct {
	Event    string
	Order    string
	Endpoint string
	Number   int
	Trigger  string
	Status   *int
	Outcome  string
	Duration float64
	ID       string
	At       time.Time
}

const demoAttemptsSQL = `
SELECT a.event_type AS event,
       COALESCE(o.payload ->> 'number', '') AS "order",
       a.endpoint_id AS endpoint,
       a.number,
       a.trigger,
       a.status_code AS status,
       a.outcome,
       a.duration_ms AS duration,
       a.event_id AS id,
       a.attempted_at AS at
FROM tailpost.attempt AS a
LEFT JOIN public.outbox AS o ON o.id::text = a.event_id
ORDER BY a.attempted_at`

func (l *demoLog) attempts(ctx context.Context) ([]demoAttempt, error) {
	rows, err := l.conn.Query(ctx, demoAttemptsSQL)
	if err != nil {
		return nil, fmt.Errorf("read tailpost.attempt: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[demoAttempt])
	if err != nil {
		return nil, fmt.Errorf("read tailpost.attempt: %w", err)
	}
	return list, nil
}

// follow shows what was recorded since the last call, and reports whether every delivery is made.
func (l *demoLog) follow(ctx context.Context) (complete bool, err error) {
	list, err := l.attempts(ctx)
	if err != nil {
		return false, err
	}
	for _, a := range list {
		key := fmt.Sprint(a.ID, a.Endpoint, a.Number)
		if _, ok := l.seen[key]; ok {
			continue
		}
		l.seen[key] = struct{}{}
		l.view.recorded(a)
	}
	return l.view.complete(), nil
}

// summary prints what the database says of it all.
func (l *demoLog) summary(ctx context.Context, a *app) error {
	list, err := l.attempts(ctx)
	if err != nil {
		return err
	}
	l.view.release()
	l.view.say("what tailpost.attempt says, read by SQL:")
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	// A strings.Builder takes everything.
	_, _ = fmt.Fprintln(table, "EVENT\tORDER\tENDPOINT\tATTEMPT\tTRIGGER\tSTATUS\tOUTCOME\tMS")
	for _, r := range list {
		status := "-"
		if r.Status != nil {
			status = fmt.Sprint(*r.Status)
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%.1f\n", r.Event, r.Order, r.Endpoint, r.Number, r.Trigger, status,
			r.Outcome, r.Duration)
	}
	_ = table.Flush()
	var undelivered int
	if err := l.conn.QueryRow(ctx, "SELECT count(*) FROM tailpost.undelivered").Scan(&undelivered); err != nil {
		return fmt.Errorf("read tailpost.undelivered: %w", err)
	}
	return a.printf("\n%s\nundelivered: %d   order 1003: rolled back, so it never became an event\n\n", b.String(), undelivered)
}
