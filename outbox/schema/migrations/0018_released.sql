-- How far the server may have been told that write-ahead log may go, where there were no events in it: that is not recorded each
-- time, and after a crash the slot stands ahead of what is.

ALTER TABLE tailpost.relay
    ADD COLUMN released_lsn pg_lsn;
COMMENT ON COLUMN tailpost.relay.released_lsn IS 'The slot may stand up to here without having missed anything: WAL without events is let go of ahead of settled_lsn. NULL: not known.';
