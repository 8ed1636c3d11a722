-- What bounds the healing of gaps: it must hold over restarts, so it is counted here.

ALTER TABLE tailpost.relay
    ADD COLUMN heal_gaps       timestamptz[] NOT NULL DEFAULT '{}',
    ADD COLUMN gaps_cleared_at timestamptz;
COMMENT ON COLUMN tailpost.relay.heal_gaps IS 'When gaps were found that the audit that is due is to heal; empty once it is done.';
COMMENT ON COLUMN tailpost.relay.gaps_cleared_at IS 'When a person last ran `tailpost heal`: gaps until then do not count against the limit of gaps within an hour; NULL: never.';
