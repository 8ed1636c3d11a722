package query_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// replica makes a store of a replica.
func replica(t *testing.T, conn *pgx.Conn, owner string, m outbox.Mapping) *query.Store {
	t.Helper()
	store, err := query.Open(t.Context(), query.Options{URL: config.NewSecret(conn.Config().ConnString()), Owner: owner, Mapping: m})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	return store
}

// ownSlot makes a slot, has the neighbours' slot-1 be it, and returns its name.
func ownSlot(t *testing.T, conn *pgx.Conn) (slot string) {
	t.Helper()
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT slot_name FROM pg_create_logical_replication_slot(current_database(), 'pgoutput')").Scan(&slot))
	for _, table := range []string{"relay", "gap"} {
		_, err := conn.Exec(t.Context(), "UPDATE tailpost."+table+" SET slot = $1 WHERE slot = 'slot-1'", slot)
		require.NoError(t, err)
	}
	return slot
}

// TestTheStateOfASlotIsItsOwn: not that of another slot, nor of the slot of that name where it is
// another database's, of which this one may be a copy.
func TestTheStateOfASlotIsItsOwn(t *testing.T) {
	t.Parallel()
	_, conn := neighbouringEvents(t)
	slot := ownSlot(t, conn)
	store := replica(t, conn, "replica-1", outbox.DefaultMapping())
	_, elsewhere := migrated(t)
	another := replica(t, elsewhere, "replica-2", outbox.DefaultMapping())
	_, err := conn.Exec(t.Context(), "SET application_name = 'psql'")
	require.NoError(t, err)

	none, err := another.RelayState(t.Context(), slot)
	require.NoError(t, err)
	require.Equal(t, query.RelayState{Settled: "0/0", ConfirmedFlush: "0/0", Replicas: []string{"replica-2"}}, none)
	complete, err := another.Completeness(t.Context(), slot, 10, nil)
	require.NoError(t, err)
	require.Zero(t, complete.WAL.Retained)

	var st query.RelayState
	require.NoError(t, change(func(ctx context.Context, _ *query.Change) (err error) {
		st, err = store.RelayState(ctx, slot) // through a second connection
		return err
	})(t.Context(), store))
	require.True(t, st.SlotExists)
	require.Positive(t, st.RetainedBytes)
	require.EqualValues(t, 1, st.Epoch)
	require.Equal(t, []string{"replica-1"}, st.Replicas, "a process, however many connections it has")
	require.EqualValues(t, 8, st.Pending)
	require.EqualValues(t, 4, st.Dead)
	require.Equal(t, ago(240), st.Oldest.UTC(), "of what waits; what is dead is older")
	st, err = store.SlotState(t.Context(), "slot-2")
	require.NoError(t, err)
	require.EqualValues(t, 2, st.Epoch)
	require.False(t, st.SlotExists)
}

// TestWhatASlotHasNotConfirmed is not what the server keeps for it, which may be more.
func TestWhatASlotHasNotConfirmed(t *testing.T) {
	t.Parallel()
	_, conn := neighbouringEvents(t)
	slot := ownSlot(t, conn)
	store := replica(t, conn, "replica-1", outbox.DefaultMapping())
	_, err := conn.Exec(t.Context(), "SELECT pg_logical_emit_message(true, 'other', repeat('x', 1 << 20))")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "SELECT pg_replication_slot_advance($1, pg_current_wal_insert_lsn())", slot)
	require.NoError(t, err)
	behind := func() (confirmed, restart int64) {
		require.NoError(t, conn.QueryRow(t.Context(), `
SELECT (pg_current_wal_lsn() - confirmed_flush_lsn)::bigint, (pg_current_wal_lsn() - restart_lsn)::bigint
FROM pg_replication_slots WHERE slot_name = $1`, slot).Scan(&confirmed, &restart))
		return confirmed, restart
	}
	// Others of the server write meanwhile.
	confirmed, restart := behind()
	require.Greater(t, restart, confirmed)
	m, err := store.Measure(t.Context(), slot, nil)
	require.NoError(t, err)
	confirmedBy, restartBy := behind()
	require.True(t, confirmed <= m.LagBytes && m.LagBytes <= confirmedBy, "%d is not from %d to %d", m.LagBytes, confirmed, confirmedBy)
	require.True(t, restart <= m.RetainedBytes && m.RetainedBytes <= restartBy, "%d is not from %d to %d", m.RetainedBytes, restart, restartBy)
}

func sum(list []int64) (n int64) {
	for _, one := range list {
		n += one
	}
	return n
}

// TestWhatIsMissingIsThatOfASlot: the gaps and the audit of one slot, and the rows that left no
// trace since it began, for endpoints that are there.
func TestWhatIsMissingIsThatOfASlot(t *testing.T) {
	t.Parallel()
	store, conn := neighbouringEvents(t)
	slot := ownSlot(t, conn)
	wanting := func(endpoints []ledger.EndpointRow, since map[string]time.Time) func(*outbox.Event) bool {
		got, err := endpointIDs(endpoints, nil)
		require.NoError(t, err)
		require.Equal(t, []string{"ep-1", "ep-2", "ep-3", "ep-4", "ep-5", "ep-6", "ep-7"}, got, "all that the configuration has")
		require.Contains(t, since, "ep-1")
		return func(*outbox.Event) bool { return true }
	}
	for of, want := range map[string]struct {
		due      string
		gaps     []int64
		retained bool
		started  time.Time
		missing  []string
	}{
		slot:     {"one", []int64{3}, true, ago(120), evs(2)}, // which was created in that moment
		"slot-2": {"two", []int64{50, 40}, false, ago(110), nil},
	} {
		c, err := store.Completeness(t.Context(), of, 10, wanting)
		require.NoError(t, err)
		require.Equal(t, want.due, c.Audit.Due)
		require.Equal(t, want.started, c.Audit.StartedAt.UTC())
		var gaps []int64
		for i := range c.Gaps {
			gaps = append(gaps, c.Gaps[i].Events)
		}
		require.Equal(t, want.gaps, gaps)
		require.EqualValues(t, len(want.gaps), c.Found)
		require.Equal(t, want.retained, c.WAL.Retained > 0, of)
		require.Equal(t, want.missing, c.Unaccounted, of)
		m, err := store.Measure(t.Context(), of, nil)
		require.NoError(t, err)
		require.EqualValues(t, len(want.gaps), m.Gaps, of)
		require.Equal(t, sum(want.gaps), m.Healed, of)
	}
}

// TestEventsComeInTheOrderOfAnIndexThatIsOne: of this table, which begins with the time, has all of
// its rows in order, and is finished.
func TestEventsComeInTheOrderOfAnIndexThatIsOne(t *testing.T) {
	t.Parallel()
	_, conn := migrated(t)
	const table = " (id text PRIMARY KEY, type text, key text, tenant text, payload jsonb, created_at timestamptz)"
	for i, is := range []struct {
		ddl, order string
	}{
		{"CREATE INDEX ON e (created_at)", "created_at"},
		{"CREATE INDEX ON e (type, created_at)", "id"},
		{"CREATE INDEX ON e (created_at) WHERE type <> 'test'", "id"},
		{"CREATE INDEX ON e USING brin (created_at)", "id"},
		{"CREATE INDEX i ON e (created_at); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass", "id"},
		{"CREATE TABLE another" + table + "; CREATE INDEX ON another (created_at)", "id"},
	} {
		schema := fmt.Sprintf("s%d", i)
		_, err := conn.PgConn().Exec(t.Context(), "CREATE SCHEMA "+schema+"; SET search_path = "+schema+"; CREATE TABLE e"+table+"; "+is.ddl).ReadAll()
		require.NoError(t, err)
		m := outbox.DefaultMapping()
		m.Table = schema + ".e"
		page, err := replica(t, conn, "", m).Events(t.Context(), query.EventQuery{Limit: 1})
		require.NoError(t, err)
		require.Equal(t, is.order, page.Order, is.ddl)
	}
}

// TestAttemptsAreSearchedBesideOtherPartitionedTables: whatever their partitions are called.
func TestAttemptsAreSearchedBesideOtherPartitionedTables(t *testing.T) {
	t.Parallel()
	store, conn := neighbouringEvents(t)
	_, err := conn.Exec(t.Context(), "CREATE TABLE log (at timestamptz) PARTITION BY RANGE (at); CREATE TABLE log_of_yesterday PARTITION OF log DEFAULT")
	require.NoError(t, err)
	got, _ := found(t, store, query.AttemptQuery{EventType: "order.paid", Limit: 10})
	require.Len(t, got, 3)
}

// TestAnEventTypeThatTwoMakeAtOnceIsMadeOnce: the second one learns that it is there by now,
// instead of writing over what it has not seen.
func TestAnEventTypeThatTwoMakeAtOnceIsMadeOnce(t *testing.T) {
	t.Parallel()
	store, conn := neighbours(t)
	put := func(description string) func(context.Context, *query.Change) error {
		return func(ctx context.Context, c *query.Change) error {
			return c.PutEventType(ctx, &query.EventType{Name: "order.new", Description: description})
		}
	}
	second := make(chan error, 1)
	require.NoError(t, change(func(ctx context.Context, c *query.Change) error {
		if err := put("first")(ctx, c); err != nil {
			return err
		}
		go func() { second <- change(put("second"))(t.Context(), store) }()
		kit.Eventually(t, kit.Patience, func() error {
			var waits bool
			err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')").Scan(&waits)
			if err == nil && !waits {
				err = errors.New("the second one does not wait")
			}
			return err
		})
		return nil
	})(t.Context(), store))
	require.ErrorIs(t, <-second, query.ErrStale)
	row, err := store.EventType(t.Context(), "order.new")
	require.NoError(t, err)
	require.Equal(t, "first", row.Description)
	types, err := store.EventTypes(t.Context(), "", 10)
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(types, func(e query.EventType) bool { return e.Name == "order.new" }))
}

// TestAChangedEventTypeIsAsOldAsItWas: what is answered is what is written down.
func TestAChangedEventTypeIsAsOldAsItWas(t *testing.T) {
	t.Parallel()
	store, _ := neighbours(t)
	put := query.EventType{Name: "order.paid", Description: "paid"}
	_, err := store.Change(t.Context(), query.Actor{}, query.Remembered{}, noon.Add(time.Hour), func(ctx context.Context, c *query.Change) ([]byte, error) {
		return nil, c.PutEventType(ctx, &put)
	})
	require.NoError(t, err)
	row, err := store.EventType(t.Context(), "order.paid")
	require.NoError(t, err)
	for _, is := range []query.EventType{put, row} {
		require.Equal(t, []time.Time{noon, noon.Add(time.Hour)}, []time.Time{is.CreatedAt.UTC(), is.UpdatedAt.UTC()})
		require.EqualValues(t, 2, is.Version)
	}
}
