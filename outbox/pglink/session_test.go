package pglink_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/outbox/pglink"
)

// role makes a role of its own for the test and returns the database's address for it.
func role(t *testing.T, db *pgtest.DB, conn *pgx.Conn, attributes string) (name, address string) {
	t.Helper()
	name = db.Name + "_role"
	_, err := conn.Exec(t.Context(), "CREATE ROLE "+name+" LOGIN PASSWORD 'secret' "+attributes)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_, err := conn.Exec(ctx, "DROP OWNED BY "+name+"; DROP ROLE "+name)
		require.NoError(t, err)
	})
	u, err := url.Parse(db.URL)
	require.NoError(t, err)
	u.User = url.UserPassword(name, "secret")
	return name, u.String()
}

func connect(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := pglink.Connect(t.Context(), address, pglink.Session{Name: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) })
	return conn
}

func show(t *testing.T, conn *pgx.Conn, name string) (value string) {
	t.Helper()
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT pg_catalog.current_setting($1)", name).Scan(&value))
	return value
}

// A role or a database may have any settings; ours hold from the first statement on, and whatever
// somebody resets.
func TestConfigure_holdsWhateverTheRoleHas(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDB(t)
	admin := db.Conn(t)
	name, address := role(t, db, admin, "")
	for setting, value := range map[string]string{
		"search_path": "public", "statement_timeout": "1", "default_transaction_read_only": "on", "synchronous_commit": "off",
		"timezone": "America/Los_Angeles", "datestyle": "German", "bytea_output": "escape", "default_transaction_isolation": "serializable",
		"row_security": "on", "idle_session_timeout": "10s", "quote_all_identifiers": "on",
	} {
		_, err := admin.Exec(t.Context(), fmt.Sprintf("ALTER ROLE %s SET %s = '%s'", name, setting, value))
		require.NoError(t, err)
	}
	_, err := admin.Exec(t.Context(), "CREATE TABLE public.t (id int); GRANT ALL ON public.t TO "+name)
	require.NoError(t, err)
	conn := connect(t, address)
	_, err = conn.Exec(t.Context(), "RESET ALL")
	require.NoError(t, err)
	for setting, want := range map[string]string{
		"search_path": "pg_catalog, pg_temp", "statement_timeout": "30s", "default_transaction_read_only": "off", "timezone": "UTC",
		"datestyle": "ISO, MDY", "bytea_output": "hex", "default_transaction_isolation": "read committed", "row_security": "off",
		"idle_session_timeout": "0", "application_name": "test", "quote_all_identifiers": "off",
	} {
		require.Equal(t, want, show(t, conn, setting), setting)
	}
	conn = connect(t, address)
	require.Equal(t, "UTF8", show(t, conn, "client_encoding"))
	require.Equal(t, "on", show(t, conn, "synchronous_commit"), "what is recorded survives a crash of the server")
	_, err = conn.Exec(t.Context(), "INSERT INTO public.t VALUES (1)")
	require.NoError(t, err, "a role that is read-only by default")
	_, err = admin.Exec(t.Context(), "ALTER ROLE "+name+" SET synchronous_commit = 'remote_apply'")
	require.NoError(t, err)
	require.Equal(t, "remote_apply", show(t, connect(t, address), "synchronous_commit"), "more than that is the operator's choice")
}

// From Postgres 17 on a role may have a limit to how long a transaction takes. None of our
// connections has it: a transaction that is streamed takes as long as it does.
func TestConfigure_knowsNoLimitOfTransactions(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDB(t)
	admin := db.Conn(t)
	var version int
	require.NoError(t, admin.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&version))
	if version < 170000 {
		t.Skip("Postgres 17 has transaction_timeout")
	}
	name, address := role(t, db, admin, "REPLICATION")
	_, err := admin.Exec(t.Context(), "ALTER ROLE "+name+" SET transaction_timeout = '1s'")
	require.NoError(t, err)
	require.Equal(t, "0", show(t, connect(t, address), "transaction_timeout"))
	cfg, err := pglink.Configure(address, pglink.Session{Name: "stream"})
	require.NoError(t, err)
	cfg.RuntimeParams["replication"] = "database"
	conn, err := pgconn.ConnectConfig(t.Context(), &cfg.Config)
	require.NoError(t, err)
	results, err := conn.Exec(t.Context(), "SHOW transaction_timeout").ReadAll()
	require.NoError(t, err)
	require.Equal(t, "0", string(results[0].Rows[0][0]))
	require.NoError(t, conn.Close(t.Context()))
}

// A server that does not answer is given up: after so long as the URL says, or ten seconds.
func TestConfigure_waitsSoLongForAConnection(t *testing.T) {
	t.Parallel()
	for parameter, want := range map[string]time.Duration{"": 10 * time.Second, "?connect_timeout=3": 3 * time.Second} {
		cfg, err := pglink.Configure("postgres://db.example/shop"+parameter, pglink.Session{Name: " relay\n"})
		require.NoError(t, err)
		require.Equal(t, want, cfg.ConnectTimeout, parameter)
		require.Equal(t, "relay", cfg.RuntimeParams["application_name"])
	}
}

// A policy that hides rows would have an audit heal nothing and say that all is well.
func TestConfigure_hiddenRowsAreAnError(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDB(t)
	admin := db.Conn(t)
	name, address := role(t, db, admin, "")
	_, err := admin.Exec(t.Context(), `
		CREATE TABLE public.outbox (id int);
		INSERT INTO public.outbox VALUES (1);
		ALTER TABLE public.outbox ENABLE ROW LEVEL SECURITY;
		ALTER TABLE public.outbox FORCE ROW LEVEL SECURITY;
		ALTER TABLE public.outbox OWNER TO `+name)
	require.NoError(t, err)
	conn := connect(t, address)
	var n int
	err = conn.QueryRow(t.Context(), "SELECT count(*) FROM public.outbox").Scan(&n)
	require.True(t, pglink.Is(err, pglink.InsufficientPrivilege), "%v", err)
	require.ErrorContains(t, pglink.Describe(err), "BYPASSRLS")
	_, err = admin.Exec(t.Context(), "ALTER ROLE "+name+" BYPASSRLS")
	require.NoError(t, err)
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM public.outbox").Scan(&n))
	require.Equal(t, 1, n)
}

// Whoever may create things in public defines what our statements would find there; the look at the
// settings is one of them.
func TestConfigure_findsNothingInPublic(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDB(t)
	admin := db.Conn(t)
	_, err := admin.Exec(t.Context(), `
		CREATE FUNCTION public.current_setting(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$;
		CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$;
		ALTER DATABASE `+db.Name+` SET search_path = public, pg_catalog`)
	require.NoError(t, err)
	conn := connect(t, db.URL)
	var text string
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT lower('A')").Scan(&text))
	require.Equal(t, "a", text)
}

// A database without an encoding stores any bytes: one that is not UTF-8 must not end what reads
// it.
func TestConfigure_readsEveryByteOfADatabaseWithoutEncoding(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDB(t)
	admin := db.Conn(t)
	name := db.Name + "_ascii"
	_, err := admin.Exec(t.Context(), "CREATE DATABASE "+name+" ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec(context.WithoutCancel(t.Context()), "DROP DATABASE "+name+" WITH (FORCE)")
		require.NoError(t, err)
	})
	conn := connect(t, strings.Replace(db.URL, db.Name, name, 1))
	_, err = conn.Exec(t.Context(), "CREATE TABLE public.t (a text)")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "INSERT INTO public.t VALUES ($1), ('é')", "a\xffb")
	require.NoError(t, err)
	rows, err := conn.Query(t.Context(), "SELECT a FROM public.t ORDER BY a")
	require.NoError(t, err)
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{"a\xffb", "é"}, texts)
}

func TestConfigure_servesReplicationConnections(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDB(t)
	cfg, err := pglink.Configure(db.URL, pglink.Session{Name: "stream", Settings: map[string]string{"statement_timeout": "0"}})
	require.NoError(t, err)
	cfg.RuntimeParams["replication"] = "database"
	conn, err := pgconn.ConnectConfig(t.Context(), &cfg.Config)
	require.NoError(t, err)
	results, err := conn.Exec(t.Context(), "SELECT current_setting('search_path'), current_setting('statement_timeout')").ReadAll()
	require.NoError(t, err)
	require.Equal(t, "pg_catalog, pg_temp 0", string(results[0].Rows[0][0])+" "+string(results[0].Rows[0][1]))
	require.NoError(t, conn.Close(t.Context()))
}

// What a session of a pooler is changed to would be found by the application that gets it next.
func TestConfigure_refusesAPoolerAndChangesNothing(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"session", "transaction", "statement"} {
		for name, ignored := range map[string]string{
			"that refuses settings": "extra_float_digits",
			"that swallows settings": "search_path, row_security, default_transaction_read_only, default_transaction_isolation, " +
				"statement_timeout, lock_timeout, idle_in_transaction_session_timeout, idle_session_timeout, intervalstyle, bytea_output, " +
				"extra_float_digits, jit, quote_all_identifiers",
		} {
			t.Run(mode+" mode "+name, func(t *testing.T) {
				t.Parallel()
				db := pgtest.NewDB(t)
				pooler := pgtest.StartPgBouncer(t, db, mode, ignored)
				_, err := pglink.Connect(t.Context(), pooler, pglink.Session{Name: "test"})
				require.Error(t, err)
				described := pglink.Describe(err)
				require.ErrorContains(t, described, "connection pooler")
				require.ErrorContains(t, described, "the server's own address")
				require.NotContains(t, described.Error(), "\n")
				require.Equal(t, pglink.Refused, pglink.Judge(err))
				require.False(t, pglink.Passes(err))

				app, err := pgx.Connect(t.Context(), pooler+"&default_query_exec_mode=simple_protocol")
				require.NoError(t, err)
				defer app.Close(t.Context())
				for setting, want := range map[string]string{"search_path": `"$user", public`, "statement_timeout": "0", "row_security": "on"} {
					var value string
					require.NoError(t, app.QueryRow(t.Context(), "SELECT current_setting('"+setting+"')").Scan(&value))
					require.Equal(t, want, value, "the application's session")
				}
			})
		}
	}
}

func TestDescribe_tellsNothingOfTheConnectionString(t *testing.T) {
	t.Parallel()
	_, err := pglink.Connect(t.Context(), "postgres://app:hunter2@127.0.0.1:1/shop", pglink.Session{Name: "test"})
	require.Error(t, err)
	text := pglink.Describe(err).Error()
	for _, secret := range []string{"hunter2", "app", "shop", "\n"} {
		require.NotContains(t, text, secret)
	}
	require.True(t, strings.HasPrefix(text, "connect to Postgres: "), text)
	require.True(t, pglink.Passes(err))
}

func TestServersDecodeAtALevel(t *testing.T) {
	t.Parallel()
	require.True(t, pglink.Decodes(140000, "logical"))
	require.False(t, pglink.Decodes(180006, "replica"))
	require.True(t, pglink.Decodes(190000, "replica"))
	require.False(t, pglink.Decodes(190000, "minimal"))
}
