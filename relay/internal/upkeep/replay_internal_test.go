package upkeep

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

// cancelling ends each statement that waits for the table, as its timeout would, until f returns,
// and returns what that does.
func cancelling(t *testing.T, conn *pgx.Conn, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case err := <-done:
			return err
		case <-deadline:
			t.Fatal("it does not end")
		case <-time.After(10 * time.Millisecond):
			_, err := conn.Exec(t.Context(), `
				SELECT pg_cancel_backend(pid)
				FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event = 'relation'`)
			require.NoError(t, err)
		}
	}
}

// A table without a usable index would keep a replay at its next page for ever, and everybody else
// from the connection.
func TestReplayWhosePageTakesTooLongEndsWithThatReason(t *testing.T) {
	t.Parallel()
	db := pgschema.NewDB(t)
	conn := db.Conn(t)
	_, err := schema.Migrate(t.Context(), conn, schema.MigrateOptions{})
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `
		CREATE TABLE public.events (id text PRIMARY KEY, type text, payload json, created_at timestamptz);
		INSERT INTO public.events VALUES ('e1', 'order.created', '{}', now());
		INSERT INTO tailpost.replay (id, endpoint_id, types, until, state, place, in_order, created_at, updated_at)
		VALUES ('r1', 'erp', '{}', now() + interval '1h', 'running', '0/1', true, now(), now())`)
	require.NoError(t, err)
	led, err := ledger.Open(t.Context(), ledger.Options{URL: config.NewSecret(db.URL)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = led.Close(context.WithoutCancel(t.Context())) })
	hold, err := led.Take(t.Context(), ledger.TakeOptions{Slot: "s", SystemID: "7", Now: time.Now()})
	require.NoError(t, err)
	mapping := outbox.Mapping{Table: "public.events", ID: "id", Type: "type", Payload: "payload", CreatedAt: "created_at"}
	p := &replayer{ledger: led, hold: hold, mapping: mapping, terms: idOf, slow: make(map[string]int), log: zerolog.Nop()}
	sweep, err := led.NewSweep(t.Context(), mapping, scan.Scope{})
	require.NoError(t, err)
	page := func() error {
		open, err := led.Replays(t.Context())
		require.NoError(t, err)
		require.Len(t, open, 1)
		rg := scan.Range{EndpointID: "erp", Until: open[0].Until, Wants: func(string) bool { return false }}
		return p.page(t.Context(), sweep, &open[0], rg)
	}
	tx, err := db.Conn(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE public.events")
	require.NoError(t, err)
	for range slowPages - 1 {
		require.ErrorIs(t, cancelling(t, conn, page), scan.ErrSlow)
	}
	// One that comes in time says that the table can be read: only pages in a row end a replay.
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, page())
	tx, err = db.Conn(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE public.events")
	require.NoError(t, err)
	for range slowPages - 1 {
		require.ErrorIs(t, cancelling(t, conn, page), scan.ErrSlow)
	}
	require.NoError(t, cancelling(t, conn, page))
	var state, problem string
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT state, error FROM tailpost.replay").Scan(&state, &problem))
	require.Equal(t, "failed", state)
	require.Contains(t, problem, "make an index of created_at")
}

// A replay takes the rows of its tenant, types and time, and no others.
func TestAReplayTakesWhatItsRangeWants(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	row := func(id, tenant, eventType string, at time.Time) scan.Row {
		return scan.Row{RowPlace: scan.RowPlace{ID: id}, Tenant: tenant, Type: eventType, CreatedAt: at}
	}
	later := row("infinity", "acme", "order.paid", time.Time{})
	later.Later = true
	rows := []scan.Row{
		row("acme", "acme", "order.paid", since), row("other", "other", "order.paid", since), row("nobody", "", "order.paid", since),
		row("type", "acme", "order.lost", since), row("before", "acme", "order.paid", since.Add(-1)), row("timeless", "acme", "order.paid", time.Time{}), later,
	}
	for name, tc := range map[string]struct {
		tenant string
		since  time.Time
		want   []string
	}{
		"of a tenant since a time": {"acme", since, []string{"acme"}},
		"of all since a time":      {"", since, []string{"acme", "other", "nobody"}},
		"of a tenant, all":         {"acme", time.Time{}, []string{"acme", "before", "timeless"}},
	} {
		chunk, places, wanted := cut(rows, scan.Range{Tenant: tc.tenant, Since: tc.since, Wants: func(t string) bool { return t == "order.paid" }})
		require.Len(t, chunk, len(rows), name)
		var ids []string
		for _, place := range places {
			ids = append(ids, place.ID)
			require.Equal(t, place.ID, rows[wanted[place.ID]].ID, name)
		}
		require.Equal(t, tc.want, ids, name)
	}
}
