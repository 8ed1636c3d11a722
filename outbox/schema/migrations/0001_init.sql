-- Tailpost's own tables: the ledger of attempts, the queue of unfinished deliveries, the endpoints, their counters
-- and the relay's position. To be run once, inside one transaction, by `tailpost migrate` or by any migration tool.

CREATE SCHEMA IF NOT EXISTS tailpost;
COMMENT ON SCHEMA tailpost IS 'Tailpost: signed webhooks from an outbox table. https://github.com/tailpost/tailpost';

CREATE TABLE tailpost.migration (
    version    integer     PRIMARY KEY,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE tailpost.migration IS 'One migration of this schema that was applied. Tailpost refuses a version that it does not know.';
COMMENT ON COLUMN tailpost.migration.version IS 'Number of the migration, from 1.';
COMMENT ON COLUMN tailpost.migration.name IS 'What it is about.';
COMMENT ON COLUMN tailpost.migration.applied_at IS 'When it was applied.';

CREATE TABLE tailpost.attempt (
    event_id           text             NOT NULL,
    event_type         text             NOT NULL,
    tenant             text,
    endpoint_id        text             NOT NULL,
    number             integer          NOT NULL,
    trigger            text             NOT NULL,
    url                text             NOT NULL,
    outcome            text             NOT NULL,
    status_code        integer,
    error              text,
    duration_ms        double precision NOT NULL,
    response_body      text,
    response_truncated boolean          NOT NULL DEFAULT false,
    attempted_at       timestamptz      NOT NULL,
    commit_lsn         pg_lsn           NOT NULL
) PARTITION BY RANGE (attempted_at);
CREATE INDEX attempt_event_idx ON tailpost.attempt USING hash (event_id);
CREATE INDEX attempt_endpoint_idx ON tailpost.attempt (endpoint_id, attempted_at);
CREATE INDEX attempt_commit_lsn_idx ON tailpost.attempt USING brin (commit_lsn) WITH (pages_per_range = 16, autosummarize = on);
COMMENT ON TABLE tailpost.attempt IS 'One HTTP request made by the relay. Append-only, partitioned by UTC day.';
COMMENT ON COLUMN tailpost.attempt.event_id IS 'Primary key of the outbox row as text, or the id of the logical message; sent as webhook-id.';
COMMENT ON COLUMN tailpost.attempt.event_type IS 'Type of the event, for example order.created.';
COMMENT ON COLUMN tailpost.attempt.tenant IS 'Tenant of the event; NULL where events have none.';
COMMENT ON COLUMN tailpost.attempt.endpoint_id IS 'Endpoint the request was made to (tailpost.endpoint.id).';
COMMENT ON COLUMN tailpost.attempt.number IS 'Number of this attempt within its delivery, from 1.';
COMMENT ON COLUMN tailpost.attempt.trigger IS 'Why it was made: stream, retry, resend, replay or test.';
COMMENT ON COLUMN tailpost.attempt.url IS 'URL the request was made to, without user information.';
COMMENT ON COLUMN tailpost.attempt.outcome IS 'delivered (2xx), retry (will be tried again) or dead (given up).';
COMMENT ON COLUMN tailpost.attempt.status_code IS 'HTTP status of the answer; NULL where none arrived.';
COMMENT ON COLUMN tailpost.attempt.error IS 'Why no usable answer arrived; NULL where one did.';
COMMENT ON COLUMN tailpost.attempt.duration_ms IS 'Milliseconds from the dial or reuse of the connection to the end of the answer.';
COMMENT ON COLUMN tailpost.attempt.response_body IS 'First 16 KiB of the answer as valid UTF-8.';
COMMENT ON COLUMN tailpost.attempt.response_truncated IS 'Whether the answer was longer than what is kept.';
COMMENT ON COLUMN tailpost.attempt.attempted_at IS 'When the request began.';
COMMENT ON COLUMN tailpost.attempt.commit_lsn IS 'LSN of the commit record of the event''s transaction.';

-- A relay needs partitions ahead of time but no right to make tables: the function makes them as its owner. Attaching
-- a finished table, unlike CREATE TABLE ... PARTITION OF, does not lock out the readers and writers of the parent.
CREATE FUNCTION tailpost.ensure_attempt_partitions(from_day date, days integer)
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
        made := made + 1;
    END LOOP;
    RETURN made;
END
$function$;
REVOKE ALL ON FUNCTION tailpost.ensure_attempt_partitions(date, integer) FROM PUBLIC;
COMMENT ON FUNCTION tailpost.ensure_attempt_partitions(date, integer) IS
    'Makes the partitions of tailpost.attempt for that many UTC days from the first one, where missing; returns how many it made.';

CREATE TABLE tailpost.delivery (
    event_id         text        NOT NULL,
    endpoint_id      text        NOT NULL,
    state            text        NOT NULL CHECK (state IN ('pending', 'dead')),
    reason           text        NOT NULL,
    attempts         integer     NOT NULL,
    next_attempt_at  timestamptz,
    event_type       text        NOT NULL,
    tenant           text,
    key              text,
    payload          bytea,
    headers          text,
    event_created_at timestamptz NOT NULL,
    commit_lsn       pg_lsn      NOT NULL,
    seq              bigint      NOT NULL,
    last_status      integer,
    last_error       text,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    PRIMARY KEY (event_id, endpoint_id)
);
CREATE INDEX delivery_due_idx ON tailpost.delivery (endpoint_id, next_attempt_at, commit_lsn, seq) WHERE state = 'pending';
CREATE INDEX delivery_key_idx ON tailpost.delivery (endpoint_id, key, commit_lsn, seq) WHERE state = 'pending' AND key IS NOT NULL;
CREATE INDEX delivery_order_idx ON tailpost.delivery (endpoint_id, commit_lsn, seq) WHERE state = 'pending';
CREATE INDEX delivery_commit_lsn_idx ON tailpost.delivery (commit_lsn);
COMMENT ON TABLE tailpost.delivery IS 'One unfinished delivery: an event that an endpoint should have and has not. Gone once delivered.';
COMMENT ON COLUMN tailpost.delivery.event_id IS 'The event (see tailpost.attempt.event_id).';
COMMENT ON COLUMN tailpost.delivery.endpoint_id IS 'The endpoint that should get it.';
COMMENT ON COLUMN tailpost.delivery.state IS 'pending: will be attempted; dead: given up, waits for a person.';
COMMENT ON COLUMN tailpost.delivery.reason IS 'Why it is not delivered yet.';
COMMENT ON COLUMN tailpost.delivery.attempts IS 'Requests made so far.';
COMMENT ON COLUMN tailpost.delivery.next_attempt_at IS 'When it is due; NULL while dead or waiting behind an earlier delivery of its key.';
COMMENT ON COLUMN tailpost.delivery.event_type IS 'Type of the event.';
COMMENT ON COLUMN tailpost.delivery.tenant IS 'Tenant of the event.';
COMMENT ON COLUMN tailpost.delivery.key IS 'Ordering key of the event.';
COMMENT ON COLUMN tailpost.delivery.payload IS 'Exact bytes of the event''s payload; NULL where the outbox row had none.';
COMMENT ON COLUMN tailpost.delivery.headers IS 'Headers of the event as a JSON object, as the outbox row had them.';
COMMENT ON COLUMN tailpost.delivery.event_created_at IS 'When the event was created.';
COMMENT ON COLUMN tailpost.delivery.commit_lsn IS 'LSN of the commit record of the event''s transaction.';
COMMENT ON COLUMN tailpost.delivery.seq IS 'Position of the event within its transaction, from 0.';
COMMENT ON COLUMN tailpost.delivery.last_status IS 'HTTP status of the last attempt.';
COMMENT ON COLUMN tailpost.delivery.last_error IS 'Error of the last attempt.';
COMMENT ON COLUMN tailpost.delivery.created_at IS 'When it was parked.';
COMMENT ON COLUMN tailpost.delivery.updated_at IS 'When it last changed.';

CREATE TABLE tailpost.endpoint (
    id              text        PRIMARY KEY,
    tenant          text,
    name            text        NOT NULL,
    url             text        NOT NULL,
    description     text        NOT NULL DEFAULT '',
    subscriptions   jsonb       NOT NULL,
    policy          jsonb       NOT NULL,
    status          text        NOT NULL CHECK (status IN ('active', 'paused', 'disabled')),
    disabled_reason text,
    failing_since   timestamptz,
    source          text        NOT NULL CHECK (source IN ('config', 'api')),
    secrets         bytea,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
COMMENT ON TABLE tailpost.endpoint IS 'One endpoint: a URL with its policy and subscriptions. Those of the configuration file are mirrored here.';
COMMENT ON COLUMN tailpost.endpoint.id IS 'Identity; the block label for endpoints of the configuration file.';
COMMENT ON COLUMN tailpost.endpoint.tenant IS 'Only this tenant''s events are delivered; NULL: every tenant''s.';
COMMENT ON COLUMN tailpost.endpoint.name IS 'Name for people.';
COMMENT ON COLUMN tailpost.endpoint.url IS 'Where requests are made to, without user information.';
COMMENT ON COLUMN tailpost.endpoint.description IS 'Free text.';
COMMENT ON COLUMN tailpost.endpoint.subscriptions IS 'Which events it wants: [{"events": [...], "where": "...", "body": "..."}].';
COMMENT ON COLUMN tailpost.endpoint.policy IS 'Timeout, concurrency, retry schedule and the like, without secrets.';
COMMENT ON COLUMN tailpost.endpoint.status IS 'active, paused (queues) or disabled (a person must act).';
COMMENT ON COLUMN tailpost.endpoint.disabled_reason IS 'Why it is disabled.';
COMMENT ON COLUMN tailpost.endpoint.failing_since IS 'First failure after the last success; NULL while healthy.';
COMMENT ON COLUMN tailpost.endpoint.source IS 'config (the HCL file) or api.';
COMMENT ON COLUMN tailpost.endpoint.secrets IS 'Sealed signing secrets; NULL for endpoints of the configuration file, whose secrets never enter the database.';
COMMENT ON COLUMN tailpost.endpoint.created_at IS 'When it was first seen.';
COMMENT ON COLUMN tailpost.endpoint.updated_at IS 'When it last changed.';

CREATE TABLE tailpost.endpoint_stats (
    endpoint_id     text             NOT NULL,
    hour            timestamptz      NOT NULL,
    attempts        bigint           NOT NULL,
    delivered       bigint           NOT NULL,
    failed          bigint           NOT NULL,
    dead            bigint           NOT NULL,
    duration_ms_sum double precision NOT NULL,
    buckets         bigint[]         NOT NULL,
    PRIMARY KEY (endpoint_id, hour)
) WITH (fillfactor = 50);
COMMENT ON TABLE tailpost.endpoint_stats IS 'Counters of an endpoint within a UTC hour, kept in the transaction that records its attempts.';
COMMENT ON COLUMN tailpost.endpoint_stats.endpoint_id IS 'The endpoint.';
COMMENT ON COLUMN tailpost.endpoint_stats.hour IS 'Start of the hour.';
COMMENT ON COLUMN tailpost.endpoint_stats.attempts IS 'Requests made.';
COMMENT ON COLUMN tailpost.endpoint_stats.delivered IS 'Requests that delivered.';
COMMENT ON COLUMN tailpost.endpoint_stats.failed IS 'Requests that did not.';
COMMENT ON COLUMN tailpost.endpoint_stats.dead IS 'Deliveries given up.';
COMMENT ON COLUMN tailpost.endpoint_stats.duration_ms_sum IS 'Sum of the requests'' durations.';
COMMENT ON COLUMN tailpost.endpoint_stats.buckets IS 'Requests by duration, not cumulative: up to 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000 ms, then longer.';

CREATE TABLE tailpost.relay (
    slot        text        PRIMARY KEY,
    epoch       bigint      NOT NULL,
    owner       text        NOT NULL,
    system_id   text        NOT NULL,
    timeline    integer     NOT NULL,
    batch       bigint      NOT NULL,
    settled_lsn pg_lsn      NOT NULL,
    settled_at  timestamptz,
    updated_at  timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE tailpost.relay IS 'One replication slot: who holds it and how far everything is settled.';
COMMENT ON COLUMN tailpost.relay.slot IS 'Name of the replication slot.';
COMMENT ON COLUMN tailpost.relay.epoch IS 'Fencing number, one higher at each taking of the slot; a relay of a lower epoch records nothing.';
COMMENT ON COLUMN tailpost.relay.owner IS 'Host name and process id of the holder.';
COMMENT ON COLUMN tailpost.relay.system_id IS 'System identifier of the cluster the slot was taken on.';
COMMENT ON COLUMN tailpost.relay.timeline IS 'Timeline of the cluster the slot was taken on.';
COMMENT ON COLUMN tailpost.relay.batch IS 'Recording transactions of this epoch so far; tells a relay that lost its connection whether its last commit took effect.';
COMMENT ON COLUMN tailpost.relay.settled_lsn IS 'The frontier: every event whose transaction ended at or before it is settled.';
COMMENT ON COLUMN tailpost.relay.settled_at IS 'Commit time of the last settled transaction.';
COMMENT ON COLUMN tailpost.relay.updated_at IS 'When the row last changed.';

CREATE VIEW tailpost.undelivered AS
SELECT d.event_id,
       d.event_type,
       d.tenant,
       d.key,
       d.endpoint_id,
       e.name AS endpoint_name,
       d.state,
       d.reason,
       d.attempts,
       d.next_attempt_at,
       d.last_status,
       d.last_error,
       d.event_created_at,
       clock_timestamp() - d.event_created_at AS age
FROM tailpost.delivery AS d
LEFT JOIN tailpost.endpoint AS e ON e.id = d.endpoint_id;
COMMENT ON VIEW tailpost.undelivered IS 'Every delivery not yet made, with the reason and its age.';
COMMENT ON COLUMN tailpost.undelivered.event_id IS 'The event (see tailpost.attempt.event_id).';
COMMENT ON COLUMN tailpost.undelivered.event_type IS 'Type of the event.';
COMMENT ON COLUMN tailpost.undelivered.tenant IS 'Tenant of the event.';
COMMENT ON COLUMN tailpost.undelivered.key IS 'Ordering key of the event.';
COMMENT ON COLUMN tailpost.undelivered.endpoint_id IS 'The endpoint that should get it.';
COMMENT ON COLUMN tailpost.undelivered.endpoint_name IS 'Name of the endpoint; NULL once the endpoint is gone.';
COMMENT ON COLUMN tailpost.undelivered.state IS 'pending: will be attempted; dead: given up, waits for a person.';
COMMENT ON COLUMN tailpost.undelivered.reason IS 'Why it is not delivered yet.';
COMMENT ON COLUMN tailpost.undelivered.attempts IS 'Requests made so far.';
COMMENT ON COLUMN tailpost.undelivered.next_attempt_at IS 'When it is due; NULL while dead or waiting behind an earlier delivery of its key.';
COMMENT ON COLUMN tailpost.undelivered.last_status IS 'HTTP status of the last attempt.';
COMMENT ON COLUMN tailpost.undelivered.last_error IS 'Error of the last attempt.';
COMMENT ON COLUMN tailpost.undelivered.event_created_at IS 'When the event was created.';
COMMENT ON COLUMN tailpost.undelivered.age IS 'How long ago the event was created.';
