package pgtest

import "github.com/jackc/pgx/v5"

// hostileSQL gives schema public what a neighbour who may create things there could give it: a
// function and an operator of every name and every arguments that Postgres has itself, each of
// which fails when it is run, and found first by whoever does not say where to look.
const hostileSQL = `
DO $do$
DECLARE
    f record;
BEGIN
    CREATE FUNCTION public.tailpost_evil(bigint) RETURNS bigint LANGUAGE plpgsql AS $f$ BEGIN RAISE 'hijacked: count'; END $f$;
    CREATE AGGREGATE public.count(*) (sfunc = public.tailpost_evil, stype = bigint, initcond = '0');
    FOR f IN
        SELECT p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid) AS args, pg_catalog.format_type(p.prorettype, NULL) AS result
        FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
          AND p.prokind = 'f'
          AND p.prorettype NOT IN (SELECT t.oid FROM pg_catalog.pg_type AS t WHERE t.typtype = 'p')
          AND NOT EXISTS (
              SELECT
              FROM pg_catalog.pg_type AS t
              WHERE t.oid = ANY (p.proargtypes)
                AND t.typtype = 'p'
          )
          AND p.proargmodes IS NULL
    LOOP
        BEGIN
            EXECUTE pg_catalog.format(
                'CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', f.proname, f.args, f.result,
                pg_catalog.format('BEGIN RAISE %L; END', 'hijacked: ' || f.proname)
            );
        EXCEPTION WHEN OTHERS THEN
            NULL; -- its arguments have defaults that stand for themselves only there
        END;
    END LOOP;
    FOR f IN
        SELECT o.oprname, pg_catalog.format_type(NULLIF(o.oprleft, 0), NULL) AS l, pg_catalog.format_type(o.oprright, NULL) AS r,
               pg_catalog.format_type(o.oprresult, NULL) AS result, p.proname
        FROM pg_catalog.pg_operator AS o
        JOIN pg_catalog.pg_proc AS p ON p.oid = o.oprcode
        WHERE o.oprnamespace = 'pg_catalog'::regnamespace
          AND o.oprleft <> 0
    LOOP
        BEGIN
            EXECUTE pg_catalog.format(
                'CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.%I)', f.oprname, f.l, f.r, f.proname
            );
        EXCEPTION WHEN OTHERS THEN
            NULL; -- there is no such function in public
        END;
    END LOOP;
END
$do$`

// Hostile makes schema public of the database one that hijacks every statement which does not say
// where its functions and operators are, and has new sessions look there first. It needs a
// connection that was made before.
func (d *DB) Hostile(t TB, conn *pgx.Conn) {
	t.Helper()
	for _, sql := range []string{"SET search_path = pg_catalog", hostileSQL, "ALTER DATABASE " + d.Name + " SET search_path = public, pg_catalog"} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("make the database hostile: %v", err)
		}
	}
}
