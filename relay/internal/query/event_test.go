package query_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// TestEventID_isAsTheTableWritesIt for every type that has several spellings of one value, whether
// the row is there or gone.
func TestEventID_isAsTheTableWritesIt(t *testing.T) {
	t.Parallel()
	const row, gone = "018f0000-0000-7000-8000-00000000000a", "018f0000-0000-7000-8000-00000000000b"
	for kind, c := range map[string]struct {
		row string // that is there
		ids map[string]string
	}{
		"uuid": {row, map[string]string{
			row: row, "018F0000-0000-7000-8000-00000000000A": row, "{018f000000007000800000000000000a}": row,
			"018F0000-0000-7000-8000-00000000000B": gone, "evt_1": "evt_1", "018F0000-0000-7000-8000-00000000000C": "018F0000-0000-7000-8000-00000000000C",
		}},
		"bigint":       {"7", map[string]string{"7": "7", "007": "7", " 7": "7", "08": "8", "7x": "7x", "99999999999999999999": "99999999999999999999"}},
		"numeric":      {"1.0", map[string]string{"1": "1.0", "1.00": "1.0", "01": "1.0", "02": "2"}},
		"text":         {"Ab", map[string]string{"Ab": "Ab", "ab": "ab", " Ab": " Ab"}},
		"character(4)": {"ab", map[string]string{"ab": "ab", "ab ": "ab", "cd  ": "cd"}},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			db := pgschema.NewDB(t)
			conn := db.Conn(t)
			_, err := schema.Migrate(t.Context(), conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
			require.NoError(t, err)
			_, err = conn.Exec(t.Context(), "ALTER TABLE public.outbox ALTER id DROP DEFAULT, ALTER id TYPE "+kind+" USING id::text::"+kind)
			require.NoError(t, err)
			_, err = conn.Exec(t.Context(), "INSERT INTO public.outbox (id, type, payload) VALUES ('"+c.row+"', 'order.created', '{}')")
			require.NoError(t, err)
			// A message has an id of its own, of which the table's type has another spelling.
			_, err = conn.Exec(t.Context(), `INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, payload, event_created_at, commit_lsn, seq, created_at, updated_at)
				VALUES ('018F0000-0000-7000-8000-00000000000C', 'ep_a', 'dead', 'exhausted', 1, 'order.created', '{}', now(), '0/1', 0, now(), now())`)
			require.NoError(t, err)
			store, err := query.Open(t.Context(), query.Options{URL: config.NewSecret(db.URL), Owner: "test", Mapping: outbox.DefaultMapping()})
			require.NoError(t, err)
			t.Cleanup(store.Close)
			for asked, want := range c.ids {
				got, err := store.EventID(t.Context(), asked)
				require.NoError(t, err, asked)
				require.Equal(t, want, got, asked)
			}
		})
	}
}

// TestEventsAreReadThoughTheTableIsAltered, by connections that read them before.
func TestEventsAreReadThoughTheTableIsAltered(t *testing.T) {
	t.Parallel()
	db := pgschema.NewDB(t)
	conn := db.Conn(t)
	_, err := schema.Migrate(t.Context(), conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "ALTER TABLE public.outbox ALTER id DROP DEFAULT, ALTER id TYPE integer USING 1; INSERT INTO public.outbox (id, type, payload) VALUES (1, 'order.created', '{}')")
	require.NoError(t, err)
	store, err := query.Open(t.Context(), query.Options{URL: config.NewSecret(db.URL), Owner: "test", Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	for _, change := range []string{"ADD COLUMN zone text", "ALTER id TYPE bigint", "DROP COLUMN zone"} {
		for range 5 { // the pool has some connections
			id, err := store.EventID(t.Context(), "01")
			require.NoError(t, err)
			require.Equal(t, "1", id)
			ev, err := store.Event(t.Context(), "", "1")
			require.NoError(t, err)
			require.JSONEq(t, "{}", string(ev.Event.Payload))
		}
		_, err = conn.Exec(t.Context(), "ALTER TABLE public.outbox "+change)
		require.NoError(t, err)
	}
}
