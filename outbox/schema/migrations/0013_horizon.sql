-- How far the outbox table is known to be settled, by what a row is and not by what its clock says: a row that was written by a
-- transaction that had ended at the horizon was settled when the audit that noted it ended.

ALTER TABLE tailpost.relay
    ADD COLUMN horizon    xid8,
    ADD COLUMN horizon_at timestamptz;
COMMENT ON COLUMN tailpost.relay.horizon IS 'Rows of the outbox table that older transactions wrote are settled, or older than the slot; NULL: not known yet.';
COMMENT ON COLUMN tailpost.relay.horizon_at IS 'When horizon was the oldest transaction under way, by the server''s clock.';
