-- Endpoints made through the API: their sealed secrets, their versions by place in the stream, and replays.

ALTER TABLE tailpost.endpoint
    ADD COLUMN secret_prefix text,
    ADD COLUMN origin text,
    ADD COLUMN version bigint NOT NULL DEFAULT 1;
COMMENT ON COLUMN tailpost.endpoint.secrets IS 'Sealed signing secrets, see "secrets" in the configuration; NULL for endpoints of the configuration file, whose secrets never enter the database.';
COMMENT ON COLUMN tailpost.endpoint.secret_prefix IS 'First 12 characters of the current signing secret; NULL for endpoints of the configuration file.';
COMMENT ON COLUMN tailpost.endpoint.origin IS 'Where the configuration declares it, as file:line; NULL for endpoints made through the API.';
COMMENT ON COLUMN tailpost.endpoint.version IS 'One higher at each change made by a person; the ETag of the API.';

-- A long filter or body is stored out of line, and an update that leaves it alone would stream without it.
ALTER TABLE tailpost.endpoint REPLICA IDENTITY FULL;

ALTER TABLE tailpost.delivery
    ADD COLUMN trigger text CHECK (trigger IN ('resend', 'replay'));
COMMENT ON COLUMN tailpost.delivery.trigger IS 'Trigger of its next attempts where a person asked for them: resend or replay; NULL: stream or retry.';

CREATE TABLE tailpost.endpoint_version (
    endpoint_id text   NOT NULL,
    commit_lsn  pg_lsn NOT NULL,
    seq         bigint NOT NULL,
    "row"       jsonb,
    PRIMARY KEY (endpoint_id, commit_lsn, seq)
);
COMMENT ON TABLE tailpost.endpoint_version IS 'What an endpoint made through the API was at a place in the write-ahead log. A relay that starts routes by the newest versions before its frontier, and the stream brings the later ones.';
COMMENT ON COLUMN tailpost.endpoint_version.endpoint_id IS 'The endpoint.';
COMMENT ON COLUMN tailpost.endpoint_version.commit_lsn IS 'LSN of the commit record of the change.';
COMMENT ON COLUMN tailpost.endpoint_version.seq IS 'Place of the change within its transaction.';
COMMENT ON COLUMN tailpost.endpoint_version."row" IS 'The columns of tailpost.endpoint that decide what is sent to it, secrets sealed; NULL: deleted.';

CREATE TABLE tailpost.replay (
    id          text        PRIMARY KEY,
    endpoint_id text        NOT NULL,
    types       text[]      NOT NULL,
    since       timestamptz,
    until       timestamptz NOT NULL,
    state       text        NOT NULL CHECK (state IN ('pending', 'running', 'done', 'cancelled', 'failed')),
    total       bigint,
    done        bigint      NOT NULL DEFAULT 0,
    queued      bigint      NOT NULL DEFAULT 0,
    missing     bigint,
    cursor      text,
    place       pg_lsn,
    error       text,
    created_by  text,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE INDEX replay_open_idx ON tailpost.replay (created_at) WHERE state IN ('pending', 'running');
CREATE INDEX replay_endpoint_idx ON tailpost.replay (endpoint_id, created_at);
COMMENT ON TABLE tailpost.replay IS 'One request to deliver the events of a range of time to an endpoint once more, from the rows that the outbox table still has.';
COMMENT ON COLUMN tailpost.replay.id IS 'Identity.';
COMMENT ON COLUMN tailpost.replay.endpoint_id IS 'The endpoint.';
COMMENT ON COLUMN tailpost.replay.types IS 'Event types or patterns, as in subscriptions; empty: all.';
COMMENT ON COLUMN tailpost.replay.since IS 'Only events created at or after it; NULL: from the first one on.';
COMMENT ON COLUMN tailpost.replay.until IS 'Only events created before it.';
COMMENT ON COLUMN tailpost.replay.state IS 'pending, running, done, cancelled (by a person) or failed (see error).';
COMMENT ON COLUMN tailpost.replay.total IS 'Events of the range; NULL before they are counted.';
COMMENT ON COLUMN tailpost.replay.done IS 'Events of the range that were looked at.';
COMMENT ON COLUMN tailpost.replay.queued IS 'Deliveries that were queued; less than done where the endpoint does not want an event or waits for it already.';
COMMENT ON COLUMN tailpost.replay.missing IS 'Events that were attempted within the range and whose outbox row is gone; NULL: not known.';
COMMENT ON COLUMN tailpost.replay.cursor IS 'Primary key, as text, of the last outbox row that was looked at.';
COMMENT ON COLUMN tailpost.replay.place IS 'Place of its deliveries in the order of commits: where the write-ahead log was when it began.';
COMMENT ON COLUMN tailpost.replay.error IS 'Why it failed.';
COMMENT ON COLUMN tailpost.replay.created_by IS 'Who asked for it.';
COMMENT ON COLUMN tailpost.replay.created_at IS 'When it was asked for.';
COMMENT ON COLUMN tailpost.replay.updated_at IS 'When it last changed.';
