-- What a replay cannot bring any more: events that were attempted within its range and whose outbox rows are gone. And the
-- order of one to an endpoint that has an order.

ALTER TABLE tailpost.replay
    ADD COLUMN missing_found  bigint NOT NULL DEFAULT 0,
    ADD COLUMN missing_cursor text,
    ADD COLUMN missing_error  text,
    ADD COLUMN missing_again  boolean NOT NULL DEFAULT false,
    ADD COLUMN unreadable     bigint  NOT NULL DEFAULT 0,
    ADD COLUMN in_order       boolean NOT NULL DEFAULT false,
    ADD COLUMN cursor_at      timestamptz;
COMMENT ON COLUMN tailpost.replay.unreadable IS 'Rows of the range that are no events, so that they are not replayed.';
COMMENT ON COLUMN tailpost.replay.in_order IS 'Whether it goes through the outbox table in the order of created_at, for the order of its endpoint; else in that of the primary key.';
COMMENT ON COLUMN tailpost.replay.cursor_at IS 'With in_order: created_at of the last outbox row that was looked at, -infinity where it had none.';
COMMENT ON COLUMN tailpost.replay.total IS 'Events of the range and its types; NULL before they are counted, or where counting took too long.';
COMMENT ON COLUMN tailpost.replay.done IS 'Events of the range and its types that were looked at.';
COMMENT ON COLUMN tailpost.replay.missing IS 'Events of its types that were attempted within the range and whose outbox row was gone when it began, or before it came to them; NULL: not known, or not yet.';
COMMENT ON COLUMN tailpost.replay.missing_found IS 'How many of them the search has found so far.';
COMMENT ON COLUMN tailpost.replay.missing_cursor IS 'The last attempt that the search has looked at, as JSON; NULL: none yet.';
COMMENT ON COLUMN tailpost.replay.missing_error IS 'Why the search was given up; NULL: it was not.';
COMMENT ON COLUMN tailpost.replay.missing_again IS 'It looked at fewer events than it had counted, so that it searches once more for those that went meanwhile.';
CREATE INDEX replay_over_idx ON tailpost.replay (updated_at) WHERE state IN ('done', 'cancelled', 'failed');

CREATE TABLE tailpost.replay_missing (
    replay_id    text        NOT NULL REFERENCES tailpost.replay (id) ON DELETE CASCADE,
    event_id     text        NOT NULL,
    event_type   text        NOT NULL,
    tenant       text,
    attempted_at timestamptz NOT NULL,
    outcome      text        NOT NULL,
    PRIMARY KEY (replay_id, event_id)
);
CREATE INDEX replay_missing_page_idx ON tailpost.replay_missing (replay_id, attempted_at, event_id);
COMMENT ON TABLE tailpost.replay_missing IS 'One event that a replay cannot deliver once more, because its outbox row was gone. The first 10000 of a replay are kept, as long as the replay is.';
COMMENT ON COLUMN tailpost.replay_missing.replay_id IS 'The replay.';
COMMENT ON COLUMN tailpost.replay_missing.event_id IS 'The event (see tailpost.attempt.event_id).';
COMMENT ON COLUMN tailpost.replay_missing.event_type IS 'Type of the event.';
COMMENT ON COLUMN tailpost.replay_missing.tenant IS 'Tenant of the event.';
COMMENT ON COLUMN tailpost.replay_missing.attempted_at IS 'When it was first attempted at the replay''s endpoint within the replay''s range.';
COMMENT ON COLUMN tailpost.replay_missing.outcome IS 'Outcome of the last attempt at that endpoint when it was found missing.';
