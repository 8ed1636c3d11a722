-- The audit of an interval reads what is new by its time, and a piece of the rest each time: how far that is. A row whose time is
-- older than it is, or that has none, is found by it.

ALTER TABLE tailpost.relay
    ADD COLUMN round_block      bigint NOT NULL DEFAULT 0,
    ADD COLUMN round_began      xid8,
    ADD COLUMN round_began_at   timestamptz,
    ADD COLUMN round_settled    xid8,
    ADD COLUMN round_settled_at timestamptz;
COMMENT ON COLUMN tailpost.relay.round_block IS 'The audits of an interval share a round through all blocks of the outbox table; this is the next one.';
COMMENT ON COLUMN tailpost.relay.round_began IS 'The oldest transaction that was under way when this round began; NULL: none has begun.';
COMMENT ON COLUMN tailpost.relay.round_began_at IS 'When that was, by the server''s clock.';
COMMENT ON COLUMN tailpost.relay.round_settled IS 'Rows of the outbox table that older transactions wrote were judged by a round, or are older than the slot; NULL: horizon says it.';
COMMENT ON COLUMN tailpost.relay.round_settled_at IS 'When round_settled was the oldest transaction under way, by the server''s clock.';
