package kit

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

// Database is the application's database as the application and its operators see it.
type Database struct {
	*pgxpool.Pool

	URL  string
	Slot string
}

// NewDatabase makes an empty database with Tailpost's schema and the default outbox table.
func NewDatabase(t TB) *Database {
	t.Helper()
	d := ofTest(t, pgschema.NewDB(t))
	d.Migrate(t, outbox.DefaultMapping())
	return d
}

// NewEmptyDatabase makes an empty database on the shared server.
func NewEmptyDatabase(t TB) *Database {
	t.Helper()
	return ofTest(t, pgtest.NewDB(t))
}

func ofTest(t TB, db *pgtest.DB) *Database {
	t.Helper()
	// The name's end is what makes it unique, and a slot's name may be no longer than 54
	// characters.
	const unique = 24
	return OpenDatabase(t, db.URL, "s_"+db.Slot()[max(0, len(db.Slot())-unique):])
}

// OpenDatabase opens a database of any server.
func OpenDatabase(t TB, url, slot string) *Database {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatalf("open the database: %v", err)
	}
	t.Cleanup(pool.Close)
	return &Database{Pool: pool, URL: url, Slot: slot}
}

// Migrate makes Tailpost's schema, and the mapped table if it is missing.
func (d *Database) Migrate(t TB, m outbox.Mapping) {
	t.Helper()
	err := d.AcquireFunc(t.Context(), func(conn *pgxpool.Conn) error {
		_, err := schema.Migrate(t.Context(), conn.Conn(), schema.MigrateOptions{Mapping: m})
		return err
	})
	if err != nil {
		t.Fatalf("migrate: %v", err)
	}
}

// Config is a configuration for this database.
func (d *Database) Config(endpoints ...Endpoint) Config {
	return Config{DatabaseURL: d.URL, Slot: d.Slot, Endpoints: endpoints}
}

// Run executes a statement.
func (d *Database) Run(t TB, sql string, args ...any) {
	t.Helper()
	if _, err := d.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("execute: %v\n%s", err, sql)
	}
}

// Tx runs f in a transaction and commits it.
func (d *Database) Tx(t TB, f func(tx pgx.Tx) error) {
	t.Helper()
	if err := pgx.BeginFunc(t.Context(), d.Pool, f); err != nil {
		t.Fatalf("run a transaction: %v", err)
	}
}

// Insert writes events in one transaction and returns their ids.
func (d *Database) Insert(t TB, events ...outbox.Event) []string {
	t.Helper()
	var ids []string
	d.Tx(t, func(tx pgx.Tx) (err error) {
		ids, err = outbox.Insert(t.Context(), tx, events...)
		return err
	})
	return ids
}

// Event is an event of a type with a JSON payload.
func Event(eventType, payload string) outbox.Event {
	return outbox.Event{Type: eventType, Payload: []byte(payload)}
}

// Count is a query's single number.
func (d *Database) Count(t TB, sql string, args ...any) int {
	t.Helper()
	var n int
	if err := d.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("query: %v\n%s", err, sql)
	}
	return n
}

// Text is a query's single value as text; empty for none.
func (d *Database) Text(t TB, sql string, args ...any) string {
	t.Helper()
	var text *string
	if err := d.QueryRow(t.Context(), sql, args...).Scan(&text); err != nil {
		t.Fatalf("query: %v\n%s", err, sql)
	}
	if text == nil {
		return ""
	}
	return *text
}

// Attempt is a row of tailpost.attempt.
type Attempt struct {
	EventID           string
	EventType         string
	EndpointID        string
	Number            int
	Trigger           string
	URL               string
	Outcome           string
	StatusCode        *int
	Error             *string
	DurationMS        float64 `db:"duration_ms"`
	ResponseBody      *string
	ResponseTruncated bool
	AttemptedAt       time.Time
}

// Attempts are the recorded attempts of an endpoint by time.
func (d *Database) Attempts(t TB, endpoint string) []Attempt {
	t.Helper()
	const query = `
		SELECT event_id, event_type, endpoint_id, number, trigger, url, outcome, status_code, error, duration_ms,
		       response_body, response_truncated, attempted_at
		FROM tailpost.attempt
		WHERE endpoint_id = $1
		ORDER BY attempted_at, number`
	rows, err := d.Query(t.Context(), query, endpoint)
	if err != nil {
		t.Fatalf("read attempts: %v", err)
	}
	attempts, err := pgx.CollectRows(rows, pgx.RowToStructByName[Attempt])
	if err != nil {
		t.Fatalf("read attempts: %v", err)
	}
	return attempts
}

// AwaitAttempts waits until at least n attempts of an endpoint are recorded, and returns them.
func (d *Database) AwaitAttempts(t TB, endpoint string, n int) []Attempt {
	t.Helper()
	d.AwaitCount(t, n, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = $1", endpoint)
	return d.Attempts(t, endpoint)
}

// AwaitCount waits until a query's number is at least n, for as long as it rises.
func (d *Database) AwaitCount(t TB, n int, sql string, args ...any) {
	t.Helper()
	Progress(t, func() (int, error) {
		got := d.Count(t, sql, args...)
		if got < n {
			return got, fmt.Errorf("%d of %d: %s %v", got, n, sql, args)
		}
		return got, nil
	})
}

// AwaitEmptyQueue waits until no delivery is unfinished, for as long as they become fewer.
func (d *Database) AwaitEmptyQueue(t TB) {
	t.Helper()
	Progress(t, func() (int, error) {
		n := d.Count(t, "SELECT count(*) FROM tailpost.delivery")
		if n > 0 {
			return -n, fmt.Errorf("%d deliveries are unfinished", n)
		}
		return 0, nil
	})
}

// LSN is the end of the WAL, as text.
func (d *Database) LSN(t TB) string {
	t.Helper()
	return d.Text(t, "SELECT pg_current_wal_insert_lsn()::text")
}

// AwaitConfirmed waits until the slot has let go of all WAL before lsn.
func (d *Database) AwaitConfirmed(t TB, lsn string) {
	t.Helper()
	Eventually(t, Patience, func() error {
		confirmed := d.Text(t, "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1", d.Slot)
		if d.Count(t, "SELECT ($1::text::pg_lsn >= $2::text::pg_lsn)::int", confirmed, lsn) == 0 {
			return fmt.Errorf("the slot confirmed %s, want %s", confirmed, lsn)
		}
		return nil
	})
}

// Stats are an endpoint's counters, over all hours.
type Stats struct {
	Attempts, Delivered, Failed, Dead, Bucketed int
	DurationMS                                  float64
}

// Stats reads the counters of an endpoint.
func (d *Database) Stats(t TB, endpoint string) Stats {
	t.Helper()
	const query = `
		SELECT coalesce(sum(s.attempts), 0), coalesce(sum(s.delivered), 0), coalesce(sum(s.failed), 0), coalesce(sum(s.dead), 0),
		       coalesce(sum((SELECT sum(b) FROM unnest(s.buckets) AS b)), 0), coalesce(sum(s.duration_ms_sum), 0)
		FROM tailpost.endpoint_stats AS s
		WHERE s.endpoint_id = $1`
	var s Stats
	err := d.QueryRow(t.Context(), query, endpoint).Scan(&s.Attempts, &s.Delivered, &s.Failed, &s.Dead, &s.Bucketed, &s.DurationMS)
	if err != nil {
		t.Fatalf("read the counters: %v", err)
	}
	return s
}

// CheckStats fails the test unless an endpoint's counters say what its attempts say.
func (d *Database) CheckStats(t TB, endpoint string) {
	t.Helper()
	var want Stats
	const query = `
		SELECT count(*), count(*) FILTER (WHERE outcome = 'delivered'), count(*) FILTER (WHERE outcome <> 'delivered'),
		       count(*) FILTER (WHERE outcome = 'dead'), count(*), coalesce(sum(duration_ms), 0)
		FROM tailpost.attempt
		WHERE endpoint_id = $1`
	err := d.QueryRow(t.Context(), query, endpoint).
		Scan(&want.Attempts, &want.Delivered, &want.Failed, &want.Dead, &want.Bucketed, &want.DurationMS)
	if err != nil {
		t.Fatalf("count attempts: %v", err)
	}
	got := d.Stats(t, endpoint)
	if diff := got.DurationMS - want.DurationMS; diff > 1 || diff < -1 {
		t.Errorf("counters of %s: %.3f ms in all, its attempts %.3f ms", endpoint, got.DurationMS, want.DurationMS)
	}
	got.DurationMS, want.DurationMS = 0, 0
	if got != want {
		t.Errorf("counters of %s: %+v, its attempts: %+v", endpoint, got, want)
	}
}

// Connect opens a connection for a test's cleanup, when its context is done already. It is closed
// after that.
func Connect(t TB, url string) *pgx.Conn {
	t.Helper()
	ctx := Detached(t)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close(ctx) }) // the server may be gone
	return conn
}

// Detached is the test's context, but goes on during cleanup.
func Detached(t TB) context.Context { return context.WithoutCancel(t.Context()) }
