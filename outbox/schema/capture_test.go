package schema_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

const captured = `
CREATE TABLE orders (id bigint PRIMARY KEY, account text, total numeric(30, 10), status text);
CREATE TABLE public.outbox (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), type text NOT NULL, key text, tenant text,
	payload jsonb, headers jsonb, created_at timestamptz NOT NULL DEFAULT clock_timestamp());
`

func execute(t *testing.T, conn *pgx.Conn, statements string) {
	t.Helper()
	_, err := conn.PgConn().Exec(t.Context(), statements).ReadAll()
	require.NoError(t, err, statements)
}

// capture runs the SQL of the options.
func capture(t *testing.T, conn *pgx.Conn, o schema.CaptureOptions) {
	t.Helper()
	if o.Mapping.IsZero() {
		o.Mapping = outbox.DefaultMapping()
	}
	var script strings.Builder
	require.NoError(t, schema.PrintCapture(&script, o))
	execute(t, conn, script.String())
}

// written returns what is in the outbox, a line for each row, and empties it.
func written(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		WITH taken AS (DELETE FROM public.outbox RETURNING *)
		SELECT concat_ws(' ', type, key, tenant, payload) FROM taken ORDER BY created_at`)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return lines
}

func TestCapture_everyChangeIsAnEventInItsTransaction(t *testing.T) {
	t.Parallel()
	conn := pgtest.NewDB(t).Conn(t)
	execute(t, conn, captured)
	capture(t, conn, schema.CaptureOptions{Table: "orders", Key: "id", Tenant: "account", Columns: []string{"id", "total"}})

	execute(t, conn, "INSERT INTO orders VALUES (1, 'acme', 12345678901234567890.0123456789, 'new')")
	execute(t, conn, "UPDATE orders SET status = 'paid'")
	execute(t, conn, "DELETE FROM orders")
	execute(t, conn, "BEGIN; INSERT INTO orders VALUES (2, 'acme', 0, 'new'); ROLLBACK")
	row := `1 acme {"id": 1, "total": 12345678901234567890.0123456789}`
	require.Equal(t, []string{"orders.insert " + row, "orders.update " + row, "orders.delete " + row}, written(t, conn))
}

func TestCapture_againReplacesWhatItMade(t *testing.T) {
	t.Parallel()
	conn := pgtest.NewDB(t).Conn(t)
	execute(t, conn, captured)
	capture(t, conn, schema.CaptureOptions{Table: "orders"})
	capture(t, conn, schema.CaptureOptions{
		Table: "public.orders", On: []schema.Operation{schema.Update}, Type: "order.status_changed", Columns: []string{"status"},
		When: "OLD.status IS DISTINCT FROM NEW.status",
	})

	execute(t, conn, "INSERT INTO orders VALUES (1, 'acme', 1, 'new')")
	execute(t, conn, "UPDATE orders SET total = 2")
	execute(t, conn, "UPDATE orders SET status = 'paid'")
	execute(t, conn, "DELETE FROM orders")
	require.Equal(t, []string{`order.status_changed {"status": "paid"}`}, written(t, conn))
}

// TestCapture_tablesOfOneNameKeepTheirOwn: a function for each, though all are in the schema of the
// outbox.
func TestCapture_tablesOfOneNameKeepTheirOwn(t *testing.T) {
	t.Parallel()
	conn := pgtest.NewDB(t).Conn(t)
	execute(t, conn, captured)
	long := strings.Repeat("o", 60)
	tables := []string{"shop.orders", "crm.orders", "orders", "public.shop.orders", "public." + long + "1", "public." + long + "2", "orders.orders"}
	execute(t, conn, "CREATE SCHEMA shop; CREATE SCHEMA crm; CREATE SCHEMA orders")
	for i, table := range tables {
		column := string(rune('a' + i))
		if table != "orders" {
			namespace, name, _ := strings.Cut(table, ".")
			execute(t, conn, "CREATE TABLE "+pgx.Identifier{namespace, name}.Sanitize()+" ("+column+" int)")
		} else {
			execute(t, conn, "ALTER TABLE public.orders ADD COLUMN "+column+" int, ALTER COLUMN id SET DEFAULT 1")
		}
		capture(t, conn, schema.CaptureOptions{Table: table, Key: column, Columns: []string{column}, Type: "of." + column})
	}
	for i, table := range tables {
		column := string(rune('a' + i))
		namespace, name, found := strings.Cut(table, ".")
		if !found {
			namespace, name = "public", table
		}
		execute(t, conn, "INSERT INTO "+pgx.Identifier{namespace, name}.Sanitize()+" ("+column+") VALUES (7)")
		require.Equal(t, []string{"of." + column + ` 7 {"` + column + `": 7}`}, written(t, conn), table)
	}
}

func TestCapture_writesTheTypesOfTheOutbox(t *testing.T) {
	t.Parallel()
	for name, types := range map[string]struct{ key, kind, payload string }{
		"a number": {key: "bigint", kind: "varchar(40)", payload: "json"},
		"a uuid":   {key: "uuid", kind: "kind", payload: "text"},
		"a domain": {key: "key", kind: "given", payload: "body"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := pgtest.NewDB(t).Conn(t)
			execute(t, conn, `CREATE TYPE kind AS ENUM ('orders.insert'); CREATE DOMAIN key AS numeric NOT NULL;
				CREATE DOMAIN given AS text NOT NULL CHECK (VALUE <> ''); CREATE DOMAIN body AS jsonb NOT NULL;
				CREATE TABLE orders (id text, total numeric);
				CREATE TABLE outbox (id uuid DEFAULT gen_random_uuid() PRIMARY KEY, type `+types.kind+` NOT NULL, key `+types.key+` NOT NULL,
					tenant text, payload `+types.payload+` NOT NULL, created_at timestamptz NOT NULL DEFAULT now())`)
			capture(t, conn, schema.CaptureOptions{Table: "orders", Key: "id", Columns: []string{"id"}})
			id := "12"
			if types.key == "uuid" {
				id = "de15f7c0-a92c-4425-bd40-4f228b230d53"
			}
			execute(t, conn, "INSERT INTO orders VALUES ('"+id+"', 1)")
			require.Equal(t, []string{"orders.insert " + id + ` {"id": "` + id + `"}`}, written(t, conn))
		})
	}
}

// TestCapture_failsWhereItsTriggersWould: what would keep the application from writing keeps the
// script from changing anything.
func TestCapture_failsWhereItsTriggersWould(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ change, problem string }{
		"an id without a default": {change: `ALTER COLUMN id DROP DEFAULT`, problem: "needs a value in id,"},
		"columns of its own":      {change: `ADD COLUMN "of What" text NOT NULL, ADD COLUMN n int NOT NULL, ADD COLUMN m int NOT NULL DEFAULT 1`, problem: `needs a value in "of What", n,`},
		"a key that must be":      {change: `ALTER COLUMN key SET NOT NULL`, problem: "needs a value in key,"},
		"a domain that must be":   {change: `ALTER COLUMN tenant TYPE given`, problem: "needs a value in tenant,"},
		"triggers that cannot": {
			change: `ALTER COLUMN id DROP DEFAULT;
				CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
				CREATE TRIGGER of_all BEFORE INSERT ON public.outbox FOR EACH STATEMENT EXECUTE FUNCTION nothing();
				CREATE TRIGGER too_late AFTER INSERT ON public.outbox FOR EACH ROW EXECUTE FUNCTION nothing();
				CREATE TRIGGER of_another BEFORE UPDATE ON public.outbox FOR EACH ROW EXECUTE FUNCTION nothing()`,
			problem: "needs a value in id,",
		},
		"bytes": {change: `ALTER COLUMN payload TYPE bytea USING NULL`, problem: "is of type bytea"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := pgtest.NewDB(t).Conn(t)
			execute(t, conn, captured+"CREATE DOMAIN given AS text NOT NULL; ALTER TABLE public.outbox "+c.change)
			var script strings.Builder
			require.NoError(t, schema.PrintCapture(&script, schema.CaptureOptions{Mapping: outbox.DefaultMapping(), Table: "orders"}))
			_, err := conn.PgConn().Exec(t.Context(), script.String()).ReadAll()
			require.ErrorContains(t, err, c.problem)
			execute(t, conn, "ROLLBACK; INSERT INTO orders VALUES (1)")
		})
	}
}

// TestCapture_aTriggerMayFillWhatHasNoDefault, so a column without one is nothing to complain of
// there.
func TestCapture_aTriggerMayFillWhatHasNoDefault(t *testing.T) {
	t.Parallel()
	conn := pgtest.NewDB(t).Conn(t)
	execute(t, conn, captured+`ALTER TABLE public.outbox ALTER COLUMN id DROP DEFAULT;
		CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := gen_random_uuid(); RETURN NEW; END $$;
		CREATE TRIGGER fill BEFORE INSERT ON public.outbox FOR EACH ROW EXECUTE FUNCTION fill()`)
	capture(t, conn, schema.CaptureOptions{Table: "orders", Columns: []string{"id"}})
	execute(t, conn, "INSERT INTO orders VALUES (1)")
	require.Equal(t, []string{`orders.insert {"id": 1}`}, written(t, conn))
}

func TestCapture_severalByTheirNames(t *testing.T) {
	t.Parallel()
	conn := pgtest.NewDB(t).Conn(t)
	execute(t, conn, captured)
	created := schema.CaptureOptions{Table: "orders", Name: "created", On: []schema.Operation{schema.Insert}, Type: "order.new", Columns: []string{"id"}}
	paid := schema.CaptureOptions{
		Table: "orders", Name: "paid", On: []schema.Operation{schema.Update}, When: "NEW.status = 'paid'", Type: "order.paid", Columns: []string{"status"},
	}
	capture(t, conn, schema.CaptureOptions{Table: "orders", On: []schema.Operation{schema.Delete}, Columns: []string{"total"}})
	capture(t, conn, created)
	capture(t, conn, paid)
	created.Type = "order.created"
	capture(t, conn, created)

	execute(t, conn, "INSERT INTO orders VALUES (1, 'acme', 1, 'new')")
	execute(t, conn, "UPDATE orders SET status = 'paid'")
	execute(t, conn, "DELETE FROM orders")
	require.Equal(t, []string{
		`order.created {"id": 1}`, `order.paid {"status": "paid"}`, `orders.delete {"total": 1.0000000000}`,
	}, written(t, conn))
}

func TestCapture_saysHowToTakeItAwayAgain(t *testing.T) {
	t.Parallel()
	conn := pgtest.NewDB(t).Conn(t)
	execute(t, conn, captured)
	var script strings.Builder
	require.NoError(t, schema.PrintCapture(&script, schema.CaptureOptions{Mapping: outbox.DefaultMapping(), Table: "orders"}))
	execute(t, conn, script.String())
	_, drop, found := strings.Cut(script.String(), "none any more: ")
	require.True(t, found)
	drop, _, _ = strings.Cut(drop, "\n")
	execute(t, conn, drop+"INSERT INTO orders VALUES (1)")
	require.Empty(t, written(t, conn))
}

func TestCapture_takesNamesAsTheyAre(t *testing.T) {
	t.Parallel()
	conn := pgtest.NewDB(t).Conn(t)
	name := "Or'der\"s " + strings.Repeat("ü", 25)
	quoted := pgx.Identifier{"My Schema", name}.Sanitize()
	execute(t, conn, `CREATE SCHEMA "My Schema"; CREATE TABLE `+quoted+` ("it's" int);
		CREATE TABLE "My Schema"."happened, here" (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "what ""it"" is" text, body text)`)
	capture(t, conn, schema.CaptureOptions{
		Table: "My Schema." + name, Columns: []string{"it's"},
		Mapping: outbox.Mapping{Table: "My Schema.happened, here", ID: "n", Type: `what "it" is`, Payload: "body"},
	})
	execute(t, conn, "INSERT INTO "+quoted+" VALUES (7)")

	var what, body string
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT "what ""it"" is", body FROM "My Schema"."happened, here"`).Scan(&what, &body))
	require.Equal(t, name+".insert", what)
	require.JSONEq(t, `{"it's": 7}`, body)
}

// TestCapture_itsNamesStayWhatTheyAre: those of an earlier release are found by them, and replaced;
// under other names each change would be an event twice.
func TestCapture_itsNamesStayWhatTheyAre(t *testing.T) {
	t.Parallel()
	fits := strings.Repeat("o", 39)
	for table, want := range map[string]struct{ function, trigger string }{
		"orders":      {"orders", "orders"},
		"shop.orders": {"shop.orders", "orders"},
		fits:          {fits, fits},
		fits + "o":    {fits[:30] + "_b78a85d8", fits},
	} {
		var script strings.Builder
		require.NoError(t, schema.PrintCapture(&script, schema.CaptureOptions{Table: table, Mapping: outbox.DefaultMapping()}))
		require.Contains(t, script.String(), `FUNCTION "public"."tailpost_capture_`+want.function+`"()`)
		require.Contains(t, script.String(), `TRIGGER "tailpost_capture_`+want.trigger+`_insert"`)
	}
}

// TestCapture_writersNeedNoRightsOnTheOutbox: and what they have in their search_path is not run
// with the rights of the function's owner.
func TestCapture_writersNeedNoRightsOnTheOutbox(t *testing.T) {
	t.Parallel()
	conn := pgtest.NewDB(t).Conn(t)
	execute(t, conn, captured)
	capture(t, conn, schema.CaptureOptions{Table: "orders", Key: "id"})
	role := pgx.Identifier{"writer_" + conn.Config().Database}.Sanitize()
	execute(t, conn, `CREATE ROLE `+role+`; GRANT INSERT ON orders TO `+role+`; CREATE SCHEMA evil AUTHORIZATION `+role)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_, err := conn.PgConn().Exec(ctx, "RESET ROLE; DROP OWNED BY "+role+"; DROP ROLE "+role).ReadAll()
		require.NoError(t, err)
	})
	execute(t, conn, `SET ROLE `+role+`;
		CREATE FUNCTION evil.hijack(jsonb, text) RETURNS text LANGUAGE sql AS $$ SELECT current_user::text $$;
		CREATE OPERATOR evil.->> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = evil.hijack);
		SET search_path = evil, pg_catalog, public;
		INSERT INTO public.orders VALUES (1, 'acme', 1, 'new');
		RESET ROLE; RESET search_path`)
	require.Equal(t, []string{`orders.insert 1 {"id": 1, "total": 1.0000000000, "status": "new", "account": "acme"}`}, written(t, conn))
}

func TestCapture_aColumnThatIsNotThereFailsTheScript(t *testing.T) {
	t.Parallel()
	conn := pgtest.NewDB(t).Conn(t)
	execute(t, conn, captured)
	var script strings.Builder
	require.NoError(t, schema.PrintCapture(&script, schema.CaptureOptions{
		Mapping: outbox.DefaultMapping(), Table: "orders", Columns: []string{"stauts"},
	}))
	_, err := conn.PgConn().Exec(t.Context(), script.String()).ReadAll()
	require.ErrorContains(t, err, `"stauts" does not exist`)
}

// A renamed column must not fail what the application does, and what its events lack from then on
// is said: once in a transaction.
func TestCapture_saysThatAColumnIsGone(t *testing.T) {
	t.Parallel()
	config, err := pgx.ParseConfig(pgtest.NewDB(t).URL)
	require.NoError(t, err)
	var said []string
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.Severity == "WARNING" {
			said = append(said, n.Message+" "+n.Hint)
		}
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	execute(t, conn, captured)
	capture(t, conn, schema.CaptureOptions{Table: "orders", Key: "id", Tenant: "account", Columns: []string{"total"}})
	execute(t, conn, "INSERT INTO orders VALUES (1, NULL, 1, 'new')")
	require.Empty(t, said)
	execute(t, conn, "ALTER TABLE orders RENAME COLUMN account TO customer; UPDATE orders SET customer = 'acme'; INSERT INTO orders VALUES (2, 'acme', 1, 'new')")
	require.Equal(t, []string{"events of public.orders lack what stood in a column that was renamed or dropped Write the triggers anew with tailpost capture."}, said)
	execute(t, conn, "DELETE FROM orders")
	require.Len(t, said, 2)
	require.Len(t, written(t, conn), 5)
}

func TestCapture_saysWhichOptionIsWrong(t *testing.T) {
	t.Parallel()
	for problem, o := range map[string]schema.CaptureOptions{
		"its rows are events already": {Table: "outbox"},
		"write it as schema.name":     {Table: "orders."},
		`table ".orders": write it`:   {Table: ".orders"},
		`no column is named for "id"`: {Table: "orders", Mapping: outbox.Mapping{Table: "a.b"}},
		"holds a NUL character":       {Table: "orders", When: "a = '\x00'"},
		"a column has an empty name":  {Table: "orders", Columns: []string{""}},
		`operation "truncate"`:        {Table: "orders", On: []schema.Operation{"truncate"}},
		"named twice":                 {Table: "orders", On: []schema.Operation{schema.Insert, schema.Insert}},
		"no column for a tenant":      {Table: "orders", Tenant: "account", Mapping: outbox.Mapping{Table: "a.b", ID: "id", Type: "type", Payload: "p"}},
		"ends the function's text":    {Table: "orders", Columns: []string{"$tailpost_capture$; DROP TABLE x"}},
	} {
		t.Run(problem, func(t *testing.T) {
			t.Parallel()
			if o.Mapping.IsZero() {
				o.Mapping = outbox.DefaultMapping()
			}
			var script strings.Builder
			require.ErrorContains(t, schema.PrintCapture(&script, o), problem)
			require.Empty(t, script.String())
		})
	}
}
