package postgres_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/source/postgres"
)

func TestPublicationIsMended(t *testing.T) {
	t.Parallel()
	for name, made := range map[string]string{
		"missing":            ``,
		"empty":              `CREATE PUBLICATION %s`,
		"all tables":         `CREATE PUBLICATION %s FOR ALL TABLES`,
		"schema":             `CREATE PUBLICATION %s FOR TABLES IN SCHEMA public`,
		"schema and table":   `CREATE PUBLICATION %s FOR TABLE outbox, TABLES IN SCHEMA public`,
		"other table":        `CREATE PUBLICATION %s FOR TABLE neighbour`,
		"one more table":     `CREATE PUBLICATION %s FOR TABLE neighbour, outbox`,
		"publishes too much": `CREATE PUBLICATION %s FOR TABLE outbox`,
		"publishes too little": `CREATE PUBLICATION %s FOR TABLE outbox
			WITH (publish = 'update')`,
		"column list": `CREATE PUBLICATION %s FOR TABLE outbox (id) WITH (publish = 'insert')`,
		"row filter":  `CREATE PUBLICATION %s FOR TABLE outbox WHERE (id > 5) WITH (publish = 'insert')`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if since15 := strings.Contains(made, "(id") || strings.Contains(made, "SCHEMA"); since15 && b.version(t) < 150000 {
				return // not a publication that Postgres 14 could have
			}
			if made != "" {
				b.exec(t, strings.ReplaceAll(made, "%s", b.slot))
			}
			s := b.open(t, b.options())
			require.Contains(t, s.Info().Changed, b.slot)
			h := newRecorder()
			run(t, s, h)
			b.exec(t, `INSERT INTO neighbour VALUES (1)`)
			b.insert(t, 1)
			require.Equal(t, []string{"begin", inserted(1), "commit"}, h.await(t, 3))

			again := b.open(t, b.options())
			require.Empty(t, again.Info().Changed)
		})
	}

	t.Run("partitioned table without its root", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(t, `CREATE TABLE parted (id int) PARTITION BY RANGE (id)`)
		b.exec(t, `CREATE PUBLICATION `+b.slot+` FOR TABLE parted WITH (publish = 'insert')`)
		o := b.options()
		o.Table = "public.parted"
		require.Contains(t, b.open(t, o).Info().Changed, b.slot)
		require.Empty(t, b.open(t, o).Info().Changed)
	})

	t.Run("one of before rows that move", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(t, `CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE parted_all PARTITION OF parted DEFAULT`)
		b.exec(t, `CREATE PUBLICATION `+b.slot+` FOR TABLE parted WITH (publish = 'insert', publish_via_partition_root = true)`)
		o := b.options()
		o.Table = "public.parted"
		o.EndpointTable = "tailpost.endpoint"
		b.exec(t, `CREATE PUBLICATION `+b.slot+`_endpoint FOR TABLE tailpost.endpoint WITH (publish = 'insert, update, delete')`)
		found, err := postgres.Inspect(t.Context(), o)
		require.NoError(t, err)
		require.Contains(t, found.Publications[0].Advice, "publishes no deletes")
		require.Empty(t, found.Publications[0].Differences)

		weak := o
		weak.URL = b.restricted(t, "REPLICATION")
		weak.Create = false
		_, err = postgres.Open(t.Context(), weak)
		require.ErrorIs(t, err, postgres.ErrSlotMissing, "a role that may not change it gets by")

		info := b.open(t, o).Info()
		require.True(t, info.Widened)
		require.Empty(t, info.Changed, "nothing was missed")
		info = b.open(t, o).Info()
		require.False(t, info.Widened)
		b.awaitSQL(t, `SELECT pubdelete AND pubinsert AND NOT pubupdate FROM pg_publication WHERE pubname = $1`, b.slot)
	})

	t.Run("one that should have no table", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(t, `CREATE PUBLICATION `+b.slot+` FOR TABLE outbox WITH (publish = 'insert')`)
		o := b.options()
		o.Table = ""
		require.Contains(t, b.open(t, o).Info().Changed, b.slot)
		require.Empty(t, b.open(t, o).Info().Changed)
	})
}

// restricted makes a role with some rights and gives the address for it.
func (b *testBundle) restricted(t *testing.T, options string) string {
	t.Helper()
	role := b.slot + "_r"
	b.exec(t, `CREATE ROLE `+role+` LOGIN `+options)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		conn, err := pgx.Connect(ctx, b.url)
		require.NoError(t, err)
		_, err = conn.Exec(ctx, `DROP OWNED BY `+role)
		require.NoError(t, err)
		_, err = conn.Exec(ctx, `DROP ROLE `+role)
		require.NoError(t, err)
		require.NoError(t, conn.Close(ctx))
	})
	u, err := url.Parse(b.url)
	require.NoError(t, err)
	u.User = url.UserPassword(role, "pa55word")
	return u.String()
}

func TestRightsAreExplained(t *testing.T) {
	t.Parallel()

	t.Run("may not replicate", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := b.options()
		o.URL = b.restricted(t, "")
		_, err := postgres.Open(t.Context(), o)
		require.ErrorIs(t, err, postgres.ErrSetup)
		require.ErrorContains(t, err, "REPLICATION")
		require.NotContains(t, err.Error(), "pa55word")
	})

	t.Run("may not create the publication", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := b.options()
		o.URL = b.restricted(t, "REPLICATION")
		_, err := postgres.Open(t.Context(), o)
		require.ErrorIs(t, err, postgres.ErrPublicationMissing)
		require.ErrorContains(t, err, `CREATE PUBLICATION "`+b.slot+`" FOR TABLE "public"."outbox" WITH (publish = 'insert', publish_via_partition_root = true);`)
	})

	t.Run("may not mend the publication, and what it says helps", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(t, `CREATE PUBLICATION `+b.slot+` FOR TABLE outbox`)
		b.exec(t, `CREATE PUBLICATION `+b.slot+`_endpoint FOR TABLE tailpost.endpoint WITH (publish = 'insert, update, delete')`)
		o := b.options()
		o.URL = b.restricted(t, "REPLICATION")
		_, err := postgres.Open(t.Context(), o)
		require.ErrorIs(t, err, postgres.ErrPublicationMismatch)
		require.ErrorContains(t, err, `it publishes "insert, update, delete, truncate", not "insert"`)
		_, remedy, ok := strings.Cut(err.Error(), "run, as the owner of the table: ")
		require.True(t, ok)
		remedy, _, ok = strings.Cut(remedy, " COMMIT;")
		require.True(t, ok)
		b.exec(t, remedy+" COMMIT;")

		// With everything in place such a role can stream: it needs no right on the tables.
		s := b.open(t, o)
		h := newRecorder()
		run(t, s, h)
		b.insert(t, 1)
		h.await(t, 3)
	})
}

func TestSetupIsExplained(t *testing.T) {
	t.Parallel()

	t.Run("no such table", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := b.options()
		o.Table = "public.outbux"
		_, err := postgres.Open(t.Context(), o)
		require.ErrorIs(t, err, postgres.ErrSetup)
		require.ErrorContains(t, err, "public.outbux does not exist")
	})

	t.Run("a table that others inherit from", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(t, "CREATE TABLE public.child () INHERITS (public.outbox)")
		for range 2 { // and nothing was changed by the first try
			_, err := postgres.Open(t.Context(), b.options())
			require.ErrorIs(t, err, postgres.ErrSetup)
			require.ErrorContains(t, err, "other tables inherit from table public.outbox")
		}
	})

	t.Run("options", func(t *testing.T) {
		t.Parallel()
		for _, o := range []postgres.Options{
			{URL: "postgres://h/d", Slot: "", Table: "public.outbox"},
			{URL: "postgres://h/d", Slot: "Slot", Table: "public.outbox"},
			{URL: "postgres://h/d", Slot: strings.Repeat("s", 60), Table: "public.outbox"},
			{URL: "postgres://h/d", Slot: "s", Table: "outbox"},
			{URL: "postgres://h/d", Slot: "s", Table: "public."},
			{URL: "postgres://h/d", Slot: "s", Table: "public.outbox", StatusInterval: -1},
		} {
			_, err := postgres.Open(t.Context(), o)
			require.Error(t, err)
		}
	})

	t.Run("address that is none, without showing it", func(t *testing.T) {
		t.Parallel()
		_, err := postgres.Open(t.Context(), postgres.Options{URL: "postgres://u:s3cret@h:port/d", Slot: "s", Table: "public.outbox"})
		require.ErrorIs(t, err, postgres.ErrSetup)
		require.NotContains(t, err.Error(), "s3cret")
	})

	t.Run("nobody there", func(t *testing.T) {
		t.Parallel()
		_, err := postgres.Open(t.Context(), postgres.Options{URL: "postgres://u:s3cret@127.0.0.1:1/d", Slot: "s", Table: "public.outbox"})
		require.ErrorIs(t, err, postgres.ErrConnection)
		require.NotContains(t, err.Error(), "s3cret")
	})

	t.Run("wal_level", func(t *testing.T) {
		t.Parallel()
		_, b := setupServer(t, map[string]string{"wal_level": "replica"})
		_, err := postgres.Open(t.Context(), b.options())
		require.ErrorIs(t, err, postgres.ErrSetup)
		require.ErrorContains(t, err, "ALTER SYSTEM SET wal_level = 'logical'")
	})

	t.Run("no slot free", func(t *testing.T) {
		t.Parallel()
		for _, slots := range []string{"0", "1"} {
			_, b := setupServer(t, map[string]string{"max_replication_slots": slots})
			if slots == "1" {
				b.exec(t, `SELECT pg_create_physical_replication_slot('other')`)
			}
			_, err := postgres.Open(t.Context(), b.options())
			require.ErrorIs(t, err, postgres.ErrSetup)
			require.ErrorContains(t, err, "raise max_replication_slots")
		}
	})

	t.Run("no walsender free", func(t *testing.T) {
		t.Parallel()
		_, b := setupServer(t, map[string]string{"max_wal_senders": "1"})
		b.open(t, b.options())
		_, err := postgres.Open(t.Context(), b.options())
		require.ErrorIs(t, err, postgres.ErrSetup)
		require.ErrorContains(t, err, "max_wal_senders")
	})
}

func TestSlotOfAnotherKind(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"physical":       `SELECT pg_create_physical_replication_slot($1)`,
		"other plugin":   `SELECT pg_create_logical_replication_slot($1, 'test_decoding')`,
		"two_phase":      `SELECT pg_create_logical_replication_slot($1, 'pgoutput', false, true)`,
		"other database": `SELECT pg_create_logical_replication_slot($1, 'pgoutput')`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			at := b
			if name == "other database" {
				at = setup(t)
			}
			at.exec(t, sql, b.slot)
			t.Cleanup(func() {
				// Cleaning up a database leaves physical slots alone.
				ctx := context.WithoutCancel(t.Context())
				conn, err := pgx.Connect(ctx, at.url)
				require.NoError(t, err)
				_, err = conn.Exec(ctx, `SELECT pg_drop_replication_slot($1)`, b.slot)
				require.NoError(t, err)
				require.NoError(t, conn.Close(ctx))
			})
			_, err := postgres.Open(t.Context(), b.options())
			require.ErrorIs(t, err, postgres.ErrSetup)
			require.ErrorContains(t, err, "pg_drop_replication_slot")
		})
	}
}

func TestSlotMissing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.options()
	o.Create = false
	_, err := postgres.Open(t.Context(), o)
	require.ErrorIs(t, err, postgres.ErrSlotMissing)

	s := b.open(t, b.options())
	b.exec(t, `SELECT pg_drop_replication_slot($1)`, b.slot)
	require.ErrorIs(t, s.Start(t.Context()), postgres.ErrSlotMissing)
}

func TestSlotActiveThenTakenOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := newRecorder()
	holder := b.open(t, b.options())
	first.onEnd = holder.Ack
	r := run(t, holder, first)
	b.insert(t, 1)
	first.await(t, 3)

	s := b.open(t, b.options())
	require.ErrorIs(t, s.Start(t.Context()), postgres.ErrSlotActive)
	require.ErrorIs(t, s.Start(t.Context()), postgres.ErrSlotActive)
	b.insert(t, 3)
	first.await(t, 6)
	r.stopped(t)
	moved := b.confirmed(t)
	require.Greater(t, moved, s.Info().ConfirmedFlush)
	// While it stood by, somebody did harm.
	b.exec(t, `ALTER PUBLICATION `+b.slot+` SET TABLE neighbour`)
	require.NoError(t, s.Start(t.Context()))
	require.Equal(t, moved, s.Info().ConfirmedFlush, "where the slot stood at Open is not where it stands now")
	require.Equal(t, []string{b.slot}, s.Info().Changed)
	second := newRecorder()
	run(t, s, second)
	b.insert(t, 2)
	require.Equal(t, []string{"begin", inserted(2), "commit"}, second.await(t, 3))
}

// Another relay may stream from the slot while this one mends the publication. It stands by, and
// lets go of nothing that is the other's.
func TestPublicationIsMendedBesideAnotherRelay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := run(t, b.open(t, b.options()), newRecorder())
	b.awaitSQL(t, `SELECT active FROM pg_replication_slots WHERE slot_name = $1`, b.slot)
	b.exec(t, `DROP PUBLICATION `+b.slot)
	s := b.open(t, b.options())
	require.Equal(t, []string{b.slot}, s.Info().Changed)
	require.Zero(t, s.Info().SkippedFrom)
	require.ErrorIs(t, s.Start(t.Context()), postgres.ErrSlotActive)
	r.stopped(t)
}

// Whoever opens a stream may begin it later. What is known of the slot then is where it stands by
// then, or what somebody else has acknowledged meanwhile would look like a slot that was moved.
func TestSlotThatMovedBetweenOpenAndStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.open(t, b.options())
	other := b.open(t, b.options())
	h := newRecorder()
	h.onEnd = other.Ack
	r := run(t, other, h)
	b.insert(t, 1)
	h.await(t, 3)
	const movedSQL = `SELECT confirmed_flush_lsn > $2::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $1`
	b.awaitSQL(t, movedSQL, b.slot, s.Info().ConfirmedFlush.String())
	r.stopped(t)
	b.awaitSQL(t, `SELECT NOT active FROM pg_replication_slots WHERE slot_name = $1`, b.slot)
	moved := b.confirmed(t)
	require.NoError(t, s.Start(t.Context()))
	require.Equal(t, moved, s.Info().ConfirmedFlush)
}

func TestSlotLost(t *testing.T) {
	t.Parallel()
	_, b := setupServer(t, map[string]string{
		"max_slot_wal_keep_size": "1MB", "wal_keep_size": "0", "min_wal_size": "32MB", "max_wal_size": "32MB",
	})
	s := b.open(t, b.options())
	for range 4 {
		b.exec(t, `INSERT INTO neighbour SELECT generate_series(1, 1000)`)
		b.exec(t, `SELECT pg_switch_wal()`)
	}
	b.exec(t, `CHECKPOINT`)
	b.awaitSQL(t, `SELECT wal_status = 'lost' FROM pg_replication_slots WHERE slot_name = $1`, b.slot)
	require.ErrorIs(t, s.Start(t.Context()), postgres.ErrSlotLost)
	_, err := postgres.Open(t.Context(), b.options())
	require.ErrorIs(t, err, postgres.ErrSlotLost)

	o := b.options()
	o.ReplaceLost = true
	s = b.open(t, o)
	require.True(t, s.Info().SlotCreated)
	h := newRecorder()
	run(t, s, h)
	b.insert(t, 1)
	require.Equal(t, []string{"begin", inserted(1), "commit"}, h.await(t, 3))
}

func TestReplaceMakesANewSlotUnlessSomebodyHoldsIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := newRecorder()
	r := run(t, b.open(t, b.options()), h)
	b.insert(t, 1)
	h.await(t, 3)
	o := b.options()
	o.Replace = true
	other := b.open(t, o)
	require.False(t, other.Info().SlotCreated)
	require.ErrorIs(t, other.Start(t.Context()), postgres.ErrSlotActive)

	r.stop()
	b.awaitSQL(t, `SELECT NOT active FROM pg_replication_slots WHERE slot_name = $1`, b.slot)
	s := b.open(t, o)
	require.True(t, s.Info().SlotCreated)
	h = newRecorder()
	run(t, s, h)
	b.insert(t, 2)
	require.Equal(t, []string{"begin", inserted(2), "commit"}, h.await(t, 3))
}

func TestPublicationDroppedWhileStreaming(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := newRecorder()
	s := b.open(t, b.options())
	r := run(t, s, h)
	b.insert(t, 1)
	h.await(t, 3)
	b.exec(t, `DROP PUBLICATION `+b.slot)
	b.insert(t, 2)
	if s.Info().ServerVersion >= 180000 {
		// Postgres 18 warns, leaves the rows out and goes on.
		b.open(t, b.options())
		b.insert(t, 3)
		h.until(t, func() bool { return len(only(h.lines, "I")) == 2 })
		require.Equal(t, []string{inserted(1), inserted(3)}, only(h.await(t, 0), "I"))
		return
	}
	require.ErrorIs(t, r.end(t), postgres.ErrUnreadable)

	// The one who opens next creates it and lets go of what nobody can decode, and says so.
	before := b.confirmed(t)
	s = b.open(t, b.options())
	require.Equal(t, []string{b.slot}, s.Info().Changed)
	require.Equal(t, before, s.Info().SkippedFrom)
	require.Greater(t, s.Info().ConfirmedFlush, before)
	h = newRecorder()
	r = run(t, s, h)
	b.insert(t, 3)
	require.Equal(t, []string{"begin", inserted(3), "commit"}, h.await(t, 3))
	r.stopped(t)

	// Where somebody else created it again, the stream cannot know before it gets there.
	b.exec(t, `DROP PUBLICATION `+b.slot)
	b.insert(t, 4)
	b.exec(t, `CREATE PUBLICATION `+b.slot+` FOR TABLE outbox WITH (publish = 'insert')`)
	require.ErrorIs(t, run(t, b.open(t, b.options()), newRecorder()).end(t), postgres.ErrUnreadable)
	// Or it has ended before anybody reads it.
	const free = `SELECT active_pid IS NULL FROM pg_replication_slots WHERE slot_name = $1`
	b.awaitSQL(t, free, b.slot)
	s = b.open(t, b.options())
	require.NoError(t, s.Start(t.Context()))
	b.awaitSQL(t, free, b.slot)
	require.ErrorIs(t, s.Ended(t.Context()), postgres.ErrUnreadable)
	o := b.options()
	o.SkipBacklog = true
	s = b.open(t, o)
	require.NotZero(t, s.Info().SkippedFrom)
	h = newRecorder()
	run(t, s, h)
	b.insert(t, 5)
	require.Equal(t, []string{"begin", inserted(5), "commit"}, h.await(t, 3))
}

func TestSessionSettings(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.options()
	o.ApplicationName = "tailpost test"
	run(t, b.open(t, o), newRecorder())
	b.awaitSQL(t, `SELECT count(*) = 1 FROM pg_stat_replication WHERE application_name = $1 AND state = 'streaming'
		AND pid = (SELECT active_pid FROM pg_replication_slots WHERE slot_name = $2)`, "tailpost test", b.slot)

	// The stream outlives the limits that its set-up ran under, and values come in fixed formats
	// whatever the database says.
	b.exec(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET datestyle = ''German''', current_database()); END $$`)
	b.exec(t, `CREATE DOMAIN code AS char(3); CREATE DOMAIN land AS code; CREATE TABLE stamped (at timestamptz, data bytea, f float8, c land)`)
	o = b.options()
	o.Slot, o.Table = b.slot[:len(b.slot)-2]+"_2", "public.stamped"
	h := newRecorder()
	run(t, b.open(t, o), h)
	b.exec(t, `INSERT INTO stamped VALUES ('2024-02-29 12:00:00.5+01', '\x00ff', 0.1::float8 + 0.2::float8, 'AT')`)
	require.Equal(t, "I public.stamped at=2024-02-29 11:00:00.5+00 data=\\x00ff f=0.30000000000000004 c of 1042=AT ", h.await(t, 3)[1])
}
