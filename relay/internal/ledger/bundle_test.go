package ledger_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// noon is the tests' time.
var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// bundle is a migrated database with a ledger.
type bundle struct {
	db     *pgtest.DB
	conn   *pgx.Conn
	ledger *ledger.Ledger

	mu   sync.Mutex
	lost []error
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := migrated(t)
	b.ledger = b.open(t, b.db.URL)
	require.NoError(t, b.ledger.EnsurePartitions(t.Context(), noon))
	return b
}

func migrated(tb testing.TB) *bundle {
	tb.Helper()
	b := &bundle{db: pgschema.NewDB(tb)}
	b.conn = b.db.Conn(tb)
	migrate(tb, b.conn)
	return b
}

func migrate(tb testing.TB, conn *pgx.Conn) {
	tb.Helper()
	_, err := schema.Migrate(tb.Context(), conn, schema.MigrateOptions{})
	require.NoError(tb, err)
}

func (b *bundle) open(tb testing.TB, url string) *ledger.Ledger {
	tb.Helper()
	return b.openWith(tb, url, b.lose)
}

func (b *bundle) openWith(tb testing.TB, url string, lose func(error)) *ledger.Ledger {
	tb.Helper()
	l, err := ledger.Open(tb.Context(), ledger.Options{URL: config.NewSecret(url), AppName: "test", Disconnected: lose})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = l.Close(context.WithoutCancel(tb.Context())) })
	return l
}

func (b *bundle) tryOpen(ctx context.Context, url string) (*ledger.Ledger, error) {
	return ledger.Open(ctx, ledger.Options{URL: config.NewSecret(url)})
}

func (b *bundle) lose(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost = append(b.lost, err)
}

// losses is how often a connection was lost.
func (b *bundle) losses() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.lost)
}

func take(tb testing.TB, l *ledger.Ledger) ledger.Hold {
	tb.Helper()
	hold, err := l.Take(tb.Context(), ledger.TakeOptions{Slot: "s", Owner: "host:1", SystemID: "7", Timeline: 1, Now: noon})
	require.NoError(tb, err)
	return hold
}

// count is the single number that sql gives.
func (b *bundle) count(t *testing.T, sql string, args ...any) int {
	t.Helper()
	return b.countOn(t, b.conn, sql, args...)
}

// countOn is count while b.conn is in a transaction.
func (b *bundle) countOn(t *testing.T, conn *pgx.Conn, sql string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, conn.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

// due returns the first deliveries of an endpoint that are due.
func (b *bundle) due(t *testing.T, endpoint string, now time.Time) []outbox.Delivery {
	t.Helper()
	page, err := b.ledger.Page(t.Context(), ledger.PageQuery{EndpointID: endpoint, Now: now, Limit: 10})
	require.NoError(t, err)
	return asWritten(t, page.Deliveries)
}

// asWritten returns deliveries as they were given to the ledger, which knows when it wrote them.
func asWritten(t require.TestingT, ds []outbox.Delivery) []outbox.Delivery {
	for i := range ds {
		require.False(t, ds[i].QueuedAt.IsZero(), "it has a row")
		ds[i].QueuedAt = time.Time{}
	}
	return ds
}

func attempt(event, endpoint string, outcome outbox.Outcome, lsn outbox.LSN) outbox.Attempt {
	a := outbox.Attempt{
		EventID: event, EventType: "order.created", EndpointID: endpoint, Number: 1, Trigger: outbox.TriggerStream,
		URL: "https://example.com/in", Outcome: outcome, StatusCode: 200, Duration: 3 * time.Millisecond,
		ResponseBody: []byte("ok"), AttemptedAt: noon, CommitLSN: lsn,
	}
	if outcome != outbox.Delivered {
		a.StatusCode, a.Error, a.ResponseBody = 0, "connection refused", nil
	}
	return a
}

func pending(event, endpoint, key string, lsn outbox.LSN, due time.Time) outbox.Delivery {
	return outbox.Delivery{
		Event: outbox.Event{
			ID: event, Type: "order.created", Key: key, Payload: []byte(fmt.Sprintf(`{"id":%q}`, event)),
			CreatedAt: noon.Add(-time.Minute), CommitLSN: lsn,
		},
		EndpointID: endpoint, State: outbox.Pending, Reason: outbox.ReasonFailed, Attempts: 1, NextAttemptAt: due,
		LastError: "connection refused",
	}
}

func ids(ds []outbox.Delivery) []string {
	out := make([]string, len(ds))
	for i := range ds {
		out[i] = ds[i].Event.ID
	}
	return out
}

// allRows returns every row by its name.
func (b *bundle) allRows(t *testing.T) map[string]string {
	t.Helper()
	rows := make(map[string]string)
	found, err := b.conn.Query(t.Context(), allRowsSQL)
	require.NoError(t, err)
	for found.Next() {
		var name, text string
		require.NoError(t, found.Scan(&name, &text))
		rows[name] = text
	}
	require.NoError(t, found.Err())
	return rows
}

// takeSlot takes a slot on cluster 7.
func (b *bundle) takeSlot(t *testing.T, slot string) ledger.Hold {
	t.Helper()
	hold, err := b.ledger.Take(t.Context(), ledger.TakeOptions{Slot: slot, Owner: "host:1", SystemID: "7", Timeline: 1, Now: noon})
	require.NoError(t, err)
	return hold
}

// makeSlot makes a replication slot of the test's database.
func (b *bundle) makeSlot(t *testing.T, slot string) {
	t.Helper()
	b.exec(t, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", slot)
}

// awaitBlocked waits until a session of the database waits for a lock.
func (b *bundle) awaitBlocked(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		return b.count(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") > 0
	}, 30*time.Second, 5*time.Millisecond)
}
