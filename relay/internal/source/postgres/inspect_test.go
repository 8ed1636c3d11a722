package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/source/postgres"
)

// Who looks before anything is set up learns what is missing; afterwards, that nothing is, and who
// has the slot.
func TestInspectSaysWhatThereIsAndChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 2 {
		found, err := postgres.Inspect(t.Context(), b.options())
		require.NoError(t, err)
		require.Nil(t, found.Slot)
		require.NoError(t, found.SlotError)
		require.NoError(t, found.PluginError, "a server without the setting allows every plugin")
		require.False(t, found.PluginHidden)
		for i, table := range []string{`"public"."outbox"`, `"tailpost"."endpoint"`} {
			state := found.Publications[i]
			require.False(t, state.Exists)
			require.Equal(t, []string{"it does not exist"}, state.Differences)
			require.True(t, strings.HasPrefix(state.SQL, `CREATE PUBLICATION "`+state.Name+`" FOR TABLE `+table), state.SQL)
		}
	}

	s := b.open(t, b.options())
	var table uint32
	require.NoError(t, b.conn.QueryRow(t.Context(), `SELECT 'public.outbox'::regclass::oid`).Scan(&table))
	require.Equal(t, table, s.Info().Table)
	require.Equal(t, b.version(t), s.Info().ServerVersion)
	require.NoError(t, s.Start(t.Context()))
	found, err := postgres.Inspect(t.Context(), b.options())
	require.NoError(t, err)
	for _, state := range found.Publications {
		require.True(t, state.Exists)
		require.Empty(t, state.Differences)
		require.Empty(t, state.SQL)
	}
	var holder string
	var failover bool
	require.NoError(t, b.conn.QueryRow(t.Context(), `
		SELECT active_pid::text, COALESCE((to_jsonb(s) ->> 'failover')::boolean, false)
		FROM pg_replication_slots AS s WHERE slot_name = $1`, b.slot).Scan(&holder, &failover))
	require.Equal(t, &postgres.SlotState{ActivePID: holder, Failover: failover}, found.Slot)

	o := b.options()
	no := errors.New("another server")
	o.Admit = func(_ context.Context, found postgres.Info) error {
		require.Equal(t, s.Info().SystemID, found.SystemID)
		return no
	}
	_, err = postgres.Inspect(t.Context(), o)
	require.ErrorIs(t, err, no)
	_, err = postgres.Open(t.Context(), o)
	require.ErrorIs(t, err, no)
}

func TestInspectSaysWhatKeepsASlotOrATableFromBeingOurs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `SELECT pg_create_logical_replication_slot($1, 'test_decoding')`, b.slot)
	o := b.options()
	o.Table = "public.outbux"
	found, err := postgres.Inspect(t.Context(), o)
	require.NoError(t, err)
	require.ErrorContains(t, found.SlotError, `made for output plugin "test_decoding"`)
	require.Nil(t, found.Slot)
	require.ErrorContains(t, found.Publications[0].Err, "public.outbux does not exist")
	require.NoError(t, found.Publications[1].Err)
}

// Rows that move between partitions are told by their deletes, which are published where each
// partition says which row it deletes: else Postgres would forbid them.
func TestAPublicationOfRowsThatMoveHasTheirDeletes(t *testing.T) {
	t.Parallel()
	for identity, deletes := range map[string]bool{"DEFAULT": true, "FULL": true, "NOTHING": false} {
		b := setup(t)
		b.exec(t, `CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE parted_all PARTITION OF parted DEFAULT`)
		b.exec(t, `ALTER TABLE parted_all REPLICA IDENTITY `+identity)
		o := b.options()
		o.Table = "public.parted"
		require.Contains(t, b.open(t, o).Info().Changed, b.slot)
		b.awaitSQL(t, `SELECT pubinsert AND pubdelete = $2 FROM pg_publication WHERE pubname = $1`, b.slot, deletes)
	}
}

// Two relays that start together make the same publication. The one that comes second takes the
// other's.
func TestAPublicationThatAnotherMakesMeanwhileIsTaken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, err := pgx.Connect(t.Context(), b.url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = first.Close(context.WithoutCancel(t.Context())) })
	_, err = first.Exec(t.Context(), `BEGIN; CREATE PUBLICATION `+b.slot+` FOR TABLE outbox WITH (publish = 'insert', publish_via_partition_root = true)`)
	require.NoError(t, err)
	o := b.options()
	o.ApplicationName = b.slot + " second"
	type opened struct {
		info postgres.Info
		err  error
	}
	ended := make(chan opened, 1)
	go func() {
		s, err := postgres.Open(t.Context(), o)
		if err != nil {
			ended <- opened{err: err}
			return
		}
		defer s.Close()
		ended <- opened{info: s.Info()}
	}()
	b.awaitSQL(t, `SELECT count(*) = 1 FROM pg_stat_get_activity(NULL) WHERE application_name = $1 AND wait_event_type = 'Lock'`, o.ApplicationName)
	_, err = first.Exec(t.Context(), `COMMIT`)
	require.NoError(t, err)
	got := receive(t, ended, "opening")
	require.NoError(t, got.err)
	require.Equal(t, []string{b.slot + "_endpoint"}, got.info.Changed, "it has made the one that nobody else made")
	require.Zero(t, got.info.SkippedFrom)
	require.NotZero(t, got.info.ConfirmedFlush)
}

// Commits would wait for a stream that confirms nothing before they are made. What has not been
// made a standby by name is none.
func TestAStreamIsNoSynchronousStandby(t *testing.T) {
	t.Parallel()
	_, b := setupServer(t, nil)
	standbys := func(names string) {
		b.exec(t, `ALTER SYSTEM SET synchronous_standby_names = '`+names+`'`)
		b.exec(t, `SELECT pg_reload_conf()`)
		b.awaitSQL(t, `SELECT current_setting('synchronous_standby_names') = $1`, names)
	}
	standbys("ANY 1 (*)")
	_, err := postgres.Open(t.Context(), b.options())
	require.ErrorIs(t, err, postgres.ErrSynchronous)
	require.ErrorContains(t, err, "with the standbys by their names")
	standbys("ANY 1 (one, two)")
	_, err = postgres.Inspect(t.Context(), b.options())
	require.NoError(t, err)
}
