package query_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// outboxStore has the outbox table that migrate makes, an index of its times, and n events of type
// order.created: those of odd numbers are of tenant odd, the others of tenant even.
func outboxStore(t *testing.T, n int) (*query.Store, func(sql string, args ...any)) {
	t.Helper()
	db := pgschema.NewDB(t)
	conn := db.Conn(t)
	_, err := schema.Migrate(t.Context(), conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	exec := func(sql string, args ...any) {
		t.Helper()
		_, err := conn.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	exec("CREATE INDEX ON public.outbox (created_at, id)")
	exec(`INSERT INTO public.outbox (id, type, tenant, payload, created_at)
		SELECT ('018f0000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'order.created', CASE n % 2 WHEN 1 THEN 'odd' ELSE 'even' END, '{}',
			now() - n * interval '1 second'
		FROM generate_series(1, $1::int) AS n`, n)
	store, err := query.Open(t.Context(), query.Options{URL: config.NewSecret(db.URL), Owner: "test", Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	return store, exec
}

// allEvents reads page after page, and returns the ids.
func allEvents(t *testing.T, store *query.Store, q query.EventQuery) []string {
	t.Helper()
	var ids []string
	for {
		page, err := store.Events(t.Context(), q)
		require.NoError(t, err)
		for i := range page.Events {
			ids = append(ids, page.Events[i].ID)
		}
		if page.Next == nil {
			return ids
		}
		q.After = *page.Next
	}
}

// Rare events are found beyond all the windows of others that are newer, and once each, however
// they lie to the edges of the windows.
func TestEvents_goOnBeyondTheFirstWindow(t *testing.T) {
	t.Parallel()
	const rows = 2600
	store, exec := outboxStore(t, rows)
	var want []string
	for _, n := range []int{499, 500, 501, 1500, 1501, rows} {
		id := fmt.Sprintf("018f0000-0000-7000-8000-%012d", n)
		exec("UPDATE public.outbox SET type = 'order.refunded' WHERE id = $1", id)
		want = append(want, id)
	}
	rare, err := config.ParsePattern("order.refunded")
	require.NoError(t, err)
	for _, limit := range []int{1, 4, 100} {
		require.Equal(t, want, allEvents(t, store, query.EventQuery{Type: rare, Limit: limit}), "%d a page", limit)
	}
}

// The newest of a key come first however many of it there are, and wherever in the table they are.
func TestEvents_ofAKeyBeginWithItsNewest(t *testing.T) {
	t.Parallel()
	const rows = 1200
	store, exec := outboxStore(t, rows)
	exec("CREATE INDEX ON public.outbox (key)")
	exec("UPDATE public.outbox SET key = CASE WHEN id::text LIKE '%7' THEN 'other' ELSE 'k' END, created_at = now() - (5000 - right(id::text, 12)::int) * interval '1 second'")
	var want []string
	for n := rows; n > 0; n-- {
		if n%10 != 7 {
			want = append(want, fmt.Sprintf("018f0000-0000-7000-8000-%012d", n))
		}
	}
	require.Equal(t, want, allEvents(t, store, query.EventQuery{Key: "k", Limit: 400}))
}

// RFC 3339 has years up to 9999, and no infinity: an event whose time it cannot write has none, and
// is listed all the same.
func TestEvents_ofTimesThatCannotBeWrittenHaveNone(t *testing.T) {
	t.Parallel()
	store, exec := outboxStore(t, 1)
	times := []string{"20231-01-01", "infinity", "-infinity", "0044-03-15 BC"}
	for i, at := range times {
		exec(`INSERT INTO public.outbox (id, type, payload, created_at) VALUES ($1::text::uuid, 'order.odd', '{}', $2::text::timestamptz)`,
			fmt.Sprintf("018f0000-0000-7000-8000-99999999999%d", i), at)
	}
	page, err := store.Events(t.Context(), query.EventQuery{Limit: 100})
	require.NoError(t, err)
	require.Len(t, page.Events, 1+len(times))
	for i := range page.Events {
		e := &page.Events[i]
		require.Equal(t, e.Type == "order.odd", e.CreatedAt.IsZero(), "%s %s", e.ID, e.CreatedAt)
	}
}

// Whatever else is asked for, a key that is bound to a tenant sees that tenant's events only.
func TestEvents_ofATenantAreItsOwn(t *testing.T) {
	t.Parallel()
	store, exec := outboxStore(t, 20)
	exec(`INSERT INTO public.outbox (id, type, payload, created_at) VALUES ('018f0000-0000-7000-8000-999999999999', 'order.created', '{}', now())`)
	all, err := config.ParsePattern("order.*")
	require.NoError(t, err)
	for _, q := range []query.EventQuery{{}, {Type: all}, {EventTenant: "odd"}, {Until: time.Now().Add(time.Hour)}} {
		q.Tenant, q.Limit = "odd", 7
		ids := allEvents(t, store, q)
		require.Len(t, ids, 10)
		require.False(t, slices.ContainsFunc(ids, func(id string) bool { return (id[len(id)-1]-'0')%2 == 0 || id[len(id)-2] == '9' }), "%v", ids)
	}
	require.Empty(t, allEvents(t, store, query.EventQuery{Tenant: "odd", EventTenant: "even", Limit: 7}))
}
