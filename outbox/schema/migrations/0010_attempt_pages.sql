-- Pages of attempts that ask for something rare. Delivered attempts, which are nearly all, still enter two B-trees and two
-- summaries of page ranges: the new summary replaces that of the times alone and costs what that did.

-- What failed, by what pages ask for, in their order; those without an answer have no class.
CREATE INDEX attempt_outcome_idx ON tailpost.attempt (outcome, attempted_at) WHERE outcome <> 'delivered';
CREATE INDEX attempt_endpoint_outcome_idx ON tailpost.attempt (endpoint_id, outcome, attempted_at) WHERE outcome <> 'delivered';
CREATE INDEX attempt_status_class_idx ON tailpost.attempt ((status_code / 100), attempted_at)
    WHERE outcome <> 'delivered' AND status_code IS NOT NULL;

-- One filter each for the types and the tenants of a range of pages: a search for what is not there reads the filters and
-- nothing else. At one false answer in a thousand, some ten ranges of ten million attempts are read in vain.
CREATE INDEX attempt_search_idx ON tailpost.attempt USING brin (
    attempted_at,
    event_type text_bloom_ops (n_distinct_per_range = 100, false_positive_rate = 0.001),
    tenant text_bloom_ops (n_distinct_per_range = 250, false_positive_rate = 0.001)
) WITH (pages_per_range = 32);

-- The relay has summaries made, below: of a busy table autovacuum is asked for more than it takes note of, and says so in the
-- server's log each time.
CREATE INDEX attempt_position_idx ON tailpost.attempt USING brin (commit_lsn) WITH (pages_per_range = 16);

-- The last range is left without a summary, which every further attempt would change. The lock is given up before
-- deadlock_timeout, after which an autovacuum that has it would be cancelled; that one makes summaries too.
CREATE FUNCTION tailpost.summarize_attempts(days integer)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
AS $function$
DECLARE
    part regclass;
    idx  regclass;
    last bigint;
BEGIN
    FOR i IN 0 .. days - 1 LOOP
        part := to_regclass('tailpost.attempt_' || to_char(now() - make_interval(days => i), 'YYYYMMDD'));
        FOR idx IN
            SELECT i.indexrelid
            FROM pg_index AS i
            JOIN pg_class AS c ON c.oid = i.indexrelid
            JOIN pg_am AS m ON m.oid = c.relam
            WHERE i.indrelid = part
              AND m.amname = 'brin'
        LOOP
            PERFORM brin_summarize_new_values(idx);
            last := pg_relation_size(part) / current_setting('block_size')::bigint - 1;
            PERFORM brin_desummarize_range(idx, greatest(last, 0));
        END LOOP;
    END LOOP;
END
$function$;
REVOKE ALL ON FUNCTION tailpost.summarize_attempts(integer) FROM PUBLIC;
COMMENT ON FUNCTION tailpost.summarize_attempts(integer) IS
    'Summarises, for searches, the attempts of so many UTC days up to today that have no summary yet.';

-- An index that is made of nothing has a summary of the first range all the same, which every attempt of the morning would
-- change. Without one, that range is summarised like the others: once it is full.
CREATE OR REPLACE FUNCTION tailpost.ensure_attempt_partitions(from_day date, days integer)
RETURNS integer
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
SET client_min_messages = 'warning'
AS $function$
DECLARE
    made integer := 0;
    day  date;
    name text;
    idx  regclass;
BEGIN
    IF from_day IS NULL OR days IS NULL OR days < 1 OR days > 366 THEN
        RAISE EXCEPTION 'ensure_attempt_partitions: want a first day and 1 to 366 days'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR i IN 0 .. days - 1 LOOP
        day := from_day + i;
        name := 'attempt_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('tailpost.' || name) IS NOT NULL;

        -- Of several relays at once, one makes the partition and the others find it made. It is the lock that attaching
        -- takes anyway; taking it also brings the catalogue cache behind to_regclass up to date.
        LOCK TABLE tailpost.attempt IN SHARE UPDATE EXCLUSIVE MODE;
        CONTINUE WHEN to_regclass('tailpost.' || name) IS NOT NULL;

        EXECUTE format('CREATE TABLE tailpost.%I (LIKE tailpost.attempt INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS)', name);
        EXECUTE format('COMMENT ON TABLE tailpost.%I IS %L', name, 'Partition of tailpost.attempt for ' || day || ' (UTC).');
        EXECUTE format('ALTER TABLE tailpost.attempt ATTACH PARTITION tailpost.%I FOR VALUES FROM (%L) TO (%L)',
                       name, day || ' 00:00:00+00', (day + 1) || ' 00:00:00+00');

        FOR idx IN
            SELECT i.indexrelid
            FROM pg_index AS i
            JOIN pg_class AS c ON c.oid = i.indexrelid
            JOIN pg_am AS m ON m.oid = c.relam
            WHERE i.indrelid = to_regclass('tailpost.' || name)
              AND m.amname = 'brin'
        LOOP
            PERFORM brin_desummarize_range(idx, 0);
        END LOOP;
        made := made + 1;
    END LOOP;
    RETURN made;
END
$function$;

DO $do$
DECLARE
    idx regclass;
BEGIN
    FOR idx IN
        SELECT i.indexrelid
        FROM pg_catalog.pg_inherits AS h
        JOIN pg_catalog.pg_index AS i ON i.indrelid = h.inhrelid
        JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
        JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
        WHERE h.inhparent = 'tailpost.attempt'::regclass
          AND m.amname = 'brin'
          AND pg_catalog.pg_relation_size(h.inhrelid) = 0
    LOOP
        PERFORM pg_catalog.brin_desummarize_range(idx, 0);
    END LOOP;
END
$do$;

-- Last, for it locks readers out until the end of the transaction.
DROP INDEX tailpost.attempt_failed_idx, tailpost.attempt_endpoint_failed_idx, tailpost.attempt_attempted_at_idx, tailpost.attempt_commit_lsn_idx;
