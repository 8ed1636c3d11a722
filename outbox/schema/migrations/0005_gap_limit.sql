-- What bounds the healing of gaps: it must hold over restarts, so it is counted here. And what a move to another cluster leaves
-- behind: positions that mean nothing there.

ALTER TABLE tailpost.relay
    ADD COLUMN heal_gaps       timestamptz[] NOT NULL DEFAULT '{}',
    ADD COLUMN gaps_cleared_at timestamptz,
    ADD COLUMN moved_at        timestamptz;
COMMENT ON COLUMN tailpost.relay.heal_gaps IS 'When gaps were found that the audit that is due is to heal; empty once it is done.';
COMMENT ON COLUMN tailpost.relay.gaps_cleared_at IS 'When a person last ran `tailpost heal`: gaps until then do not count against the limit of gaps within an hour; NULL: never.';
COMMENT ON COLUMN tailpost.relay.moved_at IS 'When the slot was first taken on another cluster than before; positions of earlier attempts mean nothing here. NULL: never.';
COMMENT ON COLUMN tailpost.delivery.seq IS 'Position of the event within its transaction, from 0; below 0 for what waited when the database moved to another cluster.';
