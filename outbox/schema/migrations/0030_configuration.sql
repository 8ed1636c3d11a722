-- What a relay's configuration says beside its endpoints, as far as it can be compared with another one: tailpost plan does. It has
-- a table of its own, for the row of tailpost.relay is written anew with every batch.

CREATE TABLE tailpost.configuration (
    slot         text        PRIMARY KEY,
    epoch        bigint      NOT NULL,
    fingerprints jsonb       NOT NULL,
    updated_at   timestamptz NOT NULL
);
COMMENT ON TABLE tailpost.configuration IS 'The configuration of the relay that holds a slot, for tailpost plan. Deliveries do not depend on it.';
COMMENT ON COLUMN tailpost.configuration.slot IS 'Name of the replication slot.';
COMMENT ON COLUMN tailpost.configuration.epoch IS 'The hold in which it was written; tailpost.relay has another one: the relay there has not written its own.';
COMMENT ON COLUMN tailpost.configuration.fingerprints IS '{"form", "versions", "blocks"}: short hashes of what version blocks and others say, by their names, without secrets.';
COMMENT ON COLUMN tailpost.configuration.updated_at IS 'When it was written: at the start of the hold, or at a reload.';
