-- Gaps and their healing, what it needs to know of the past, and the aging of what is recorded.

CREATE TABLE tailpost.gap (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slot        text        NOT NULL,
    why         text        NOT NULL,
    from_lsn    pg_lsn      NOT NULL,
    to_lsn      pg_lsn      NOT NULL,
    since       timestamptz,
    events      bigint      NOT NULL,
    deliveries  bigint      NOT NULL,
    note        text        NOT NULL DEFAULT '',
    detected_at timestamptz NOT NULL,
    at          timestamptz NOT NULL
);
CREATE INDEX gap_at_idx ON tailpost.gap (slot, at);
COMMENT ON TABLE tailpost.gap IS 'One gap in the stream that was healed: the audit looked for events that the stream did not bring, and queued them.';
COMMENT ON COLUMN tailpost.gap.id IS 'Identity.';
COMMENT ON COLUMN tailpost.gap.slot IS 'Name of the replication slot.';
COMMENT ON COLUMN tailpost.gap.why IS 'What happened: the slot was missing or lost, the publication or the table was changed, the server is another one, or an audit found events.';
COMMENT ON COLUMN tailpost.gap.from_lsn IS 'Everything before it was settled before the gap.';
COMMENT ON COLUMN tailpost.gap.to_lsn IS 'Everything from here on is in the stream again.';
COMMENT ON COLUMN tailpost.gap.since IS 'Events created at or after it were looked at; NULL: all.';
COMMENT ON COLUMN tailpost.gap.events IS 'Events found that the stream had not brought.';
COMMENT ON COLUMN tailpost.gap.deliveries IS 'Deliveries queued for them (tailpost.delivery, reason audit).';
COMMENT ON COLUMN tailpost.gap.note IS 'What could not be healed; empty: nothing.';
COMMENT ON COLUMN tailpost.gap.detected_at IS 'When it was detected.';
COMMENT ON COLUMN tailpost.gap.at IS 'When it was healed.';

ALTER TABLE tailpost.relay
    ADD COLUMN started_at  timestamptz,
    ADD COLUMN publication text NOT NULL DEFAULT '',
    ADD COLUMN audited_at  timestamptz,
    ADD COLUMN heal        text,
    ADD COLUMN heal_since  timestamptz,
    ADD COLUMN heal_from   pg_lsn,
    ADD COLUMN heal_at     timestamptz;
UPDATE tailpost.relay SET started_at = updated_at;
COMMENT ON COLUMN tailpost.relay.started_at IS 'When a relay took the slot for the first time; older rows of the outbox table are no business of the audit''s, but for outbox.start.';
COMMENT ON COLUMN tailpost.relay.publication IS 'Identity of the publication and the outbox table; another one means that events may have passed the stream by.';
COMMENT ON COLUMN tailpost.relay.audited_at IS 'Events created before it were found settled by an audit.';
COMMENT ON COLUMN tailpost.relay.heal IS 'Why an audit is due that must not be forgotten; NULL: none is.';
COMMENT ON COLUMN tailpost.relay.heal_since IS 'It looks at events created at or after it; NULL: at all.';
COMMENT ON COLUMN tailpost.relay.heal_from IS 'The frontier before the gap.';
COMMENT ON COLUMN tailpost.relay.heal_at IS 'When it became due.';

-- The audit must not deliver an event to an endpoint that did not want it when it was committed, so it has to know since
-- when an endpoint wants what it wants, whoever changes it.
ALTER TABLE tailpost.endpoint ADD COLUMN routed_since timestamptz;
UPDATE tailpost.endpoint SET routed_since = updated_at;
ALTER TABLE tailpost.endpoint ALTER COLUMN routed_since SET NOT NULL;
COMMENT ON COLUMN tailpost.endpoint.routed_since IS 'Since when it wants the events that it wants now; kept by a trigger.';

CREATE FUNCTION tailpost.note_routing()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.routed_since := NEW.created_at;
    ELSIF NEW.subscriptions IS DISTINCT FROM OLD.subscriptions
       OR NEW.tenant IS DISTINCT FROM OLD.tenant
       OR (OLD.status = 'disabled' AND OLD.disabled_reason = 'removed from the configuration' AND NEW.status <> 'disabled') THEN
        NEW.routed_since := NEW.updated_at;
    ELSE
        NEW.routed_since := OLD.routed_since;
    END IF;
    RETURN NEW;
END
$function$;
REVOKE ALL ON FUNCTION tailpost.note_routing() FROM PUBLIC;
COMMENT ON FUNCTION tailpost.note_routing() IS 'Keeps tailpost.endpoint.routed_since.';
CREATE TRIGGER note_routing
BEFORE INSERT OR UPDATE ON tailpost.endpoint
FOR EACH ROW EXECUTE FUNCTION tailpost.note_routing();

CREATE TABLE tailpost.discarded (
    event_id    text        NOT NULL,
    endpoint_id text        NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (event_id, endpoint_id)
);
CREATE INDEX discarded_at_idx ON tailpost.discarded (at);
COMMENT ON TABLE tailpost.discarded IS 'One delivery that a person discarded before it was ever attempted, so that no audit finds it missing.';
COMMENT ON COLUMN tailpost.discarded.event_id IS 'The event (see tailpost.attempt.event_id).';
COMMENT ON COLUMN tailpost.discarded.endpoint_id IS 'The endpoint that was to get it.';
COMMENT ON COLUMN tailpost.discarded.at IS 'When it was discarded.';

CREATE INDEX delivery_dead_idx ON tailpost.delivery (updated_at) WHERE state = 'dead';
COMMENT ON TABLE tailpost.endpoint_stats IS 'Counters of an endpoint within a UTC hour, kept in the transaction that records its attempts. Old hours are summed up in the one of 1970-01-01.';

-- Drops one partition whose day is long over. A lock that does not come at once is not waited for: readers and writers
-- would queue behind it.
CREATE FUNCTION tailpost.drop_attempt_partition(before_day date)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '300ms'
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
SET client_min_messages = 'warning'
AS $function$
DECLARE
    name text;
BEGIN
    IF before_day IS NULL OR before_day >= (now() AT TIME ZONE 'UTC')::date THEN
        RAISE EXCEPTION 'drop_attempt_partition: want a day before today'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT c.relname
    INTO name
    FROM pg_inherits AS i
    JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'tailpost.attempt'::regclass
      AND c.relname ~ '^attempt_[0-9]{8}$'
      AND c.relname < 'attempt_' || to_char(before_day, 'YYYYMMDD')
    ORDER BY c.relname
    LIMIT 1;
    IF name IS NOT NULL THEN
        EXECUTE format('DROP TABLE tailpost.%I', name);
    END IF;
    RETURN name;
END
$function$;
REVOKE ALL ON FUNCTION tailpost.drop_attempt_partition(date) FROM PUBLIC;
COMMENT ON FUNCTION tailpost.drop_attempt_partition(date) IS
    'Drops the oldest partition of tailpost.attempt if its UTC day is before the given one; returns its name, NULL if there is none.';
