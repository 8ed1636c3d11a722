package query_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// Nothing is recorded of an event that nobody wants. It is new until the relay has come to it, and
// not for as long as nothing else happens.
func TestAnEventThatNobodyWantsIsUnmatchedOnceItIsSettled(t *testing.T) {
	t.Parallel()
	// A server of its own: on another, somebody always writes.
	server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: pgserver.FastSettings()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	db := kit.OpenDatabase(t, server.URL("postgres"), "tailpost")
	db.Migrate(t, outbox.DefaultMapping())
	db.Run(t, "SELECT pg_create_logical_replication_slot('tailpost', 'pgoutput')")
	db.Run(t, `INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, settled_at, updated_at, started_at)
		VALUES ('tailpost', 1, 'o', 's', 1, 1, '0/10', now() - interval '1 hour', now(), now() - interval '1 day')`)
	db.Insert(t, kit.Event("order.paid", `{}`))
	store, err := query.Open(t.Context(), query.Options{URL: config.NewSecret(db.URL), Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	state := func() string {
		page, err := store.Events(t.Context(), query.EventQuery{Limit: 10})
		require.NoError(t, err)
		require.Len(t, page.Events, 1)
		require.NoError(t, store.EventStates(t.Context(), "", page.Events))
		return page.Events[0].State
	}
	require.Equal(t, query.EventNew, state())

	// What others keep up with says nothing: a slot of another program, and, for a copy of this
	// database, the slot that its relay row names.
	db.Run(t, "SELECT pg_create_logical_replication_slot('another', 'pgoutput')")
	db.Run(t, "CREATE DATABASE copied")
	copied := kit.OpenDatabase(t, server.URL("copied"), "tailpost")
	copied.Migrate(t, outbox.DefaultMapping())
	copied.Run(t, "INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, updated_at) VALUES ('tailpost', 1, 'o', 's', 1, 1, '0/10', now())")
	copies, err := query.Open(t.Context(), query.Options{URL: config.NewSecret(copied.URL), Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	t.Cleanup(copies.Close)
	copied.Insert(t, kit.Event("order.paid", `{}`))
	ofCopy := func() string {
		page, err := copies.Events(t.Context(), query.EventQuery{Limit: 10})
		require.NoError(t, err)
		require.Len(t, page.Events, 1)
		return page.Events[0].State
	}
	db.Run(t, "SELECT pg_replication_slot_advance('another', pg_current_wal_lsn())")
	require.Equal(t, query.EventNew, state())

	// By an audit, however much is written meanwhile.
	db.Run(t, "UPDATE tailpost.relay SET audited_at = now() + interval '1 second'")
	require.Equal(t, query.EventUnmatched, state())
	db.Run(t, "UPDATE tailpost.relay SET audited_at = now() - interval '2 hours'")
	require.Equal(t, query.EventNew, state())

	// By whichever relay has come to it, also where another slot was left behind.
	db.Run(t, `INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, settled_at, updated_at)
		VALUES ('later', 1, 'o', 's', 1, 1, '0/10', now() + interval '1 second', now())`)
	require.Equal(t, query.EventUnmatched, state())
	db.Run(t, "DELETE FROM tailpost.relay WHERE slot = 'later'")
	require.Equal(t, query.EventNew, state())

	// By the slot.
	kit.Eventually(t, kit.Patience, func() error {
		db.Run(t, "SELECT pg_replication_slot_advance('tailpost', pg_current_wal_lsn())")
		if got := state(); got != query.EventUnmatched {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
	require.Equal(t, query.EventNew, ofCopy())

	// Where the slot's holder publishes to partitions, by the slot and by all of them.
	db.Run(t, "UPDATE tailpost.relay SET partitions = 2")
	db.Run(t, `INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, updated_at, partitions, partition_of)
		SELECT 'tailpost#0' || n, 1, 'o', 's', 1, 1, 'FFFFFFFF/0', now(), 2, 'tailpost' FROM generate_series(0, 1) AS n`)
	kit.Eventually(t, kit.Patience, func() error {
		db.Run(t, "SELECT pg_replication_slot_advance('tailpost', pg_current_wal_lsn())")
		if got := state(); got != query.EventUnmatched {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
	db.Run(t, "UPDATE tailpost.relay SET settled_lsn = '0/10' WHERE slot = 'tailpost#01'")
	db.Run(t, "SELECT pg_replication_slot_advance('tailpost', pg_current_wal_lsn())")
	require.Equal(t, query.EventNew, state(), "a partition is behind")
	db.Run(t, "DELETE FROM tailpost.relay WHERE partition_of IS NOT NULL")
	db.Run(t, "UPDATE tailpost.relay SET partitions = 0")
	db.Insert(t, kit.Event("order.paid", `{}`), kit.Event("order.paid", `{}`))
	page, err := store.Events(t.Context(), query.EventQuery{Limit: 10, Since: time.Now().Add(-time.Hour)})
	require.NoError(t, err)
	require.NoError(t, store.EventStates(t.Context(), "", page.Events))
	require.Equal(t, query.EventNew, page.Events[0].State, "what came after it")
}
