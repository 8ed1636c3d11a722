-- Whoever holds a slot may publish what it routes to partitions, which other relays deliver (fanout). A partition has a row as the
-- slot has, so that its owner takes it, records and is deposed by the same rules.

ALTER TABLE tailpost.relay
    ADD COLUMN partitions   integer NOT NULL DEFAULT 0,
    ADD COLUMN partition_of text,
    ADD COLUMN routing      text,
    ADD COLUMN routing_number bigint NOT NULL DEFAULT 0;
COMMENT ON TABLE tailpost.relay IS 'One replication slot, or one partition of its fan-out: who holds it and how far everything is settled.';
COMMENT ON COLUMN tailpost.relay.slot IS 'Name of the replication slot; of a partition: the slot''s, # and the number of the partition.';
COMMENT ON COLUMN tailpost.relay.partitions IS 'To how many partitions the slot''s holder publishes; 0: it delivers itself. Of a partition: the same number as long as it is one of them; 0: nothing is published to it.';
COMMENT ON COLUMN tailpost.relay.routing IS 'A hash of which endpoint of the configuration gets which event, as the slot''s holder has it; NULL: no holder has published. A process with another one sends for no partition.';
COMMENT ON COLUMN tailpost.relay.routing_number IS 'How often that has changed.';
COMMENT ON COLUMN tailpost.relay.partition_of IS 'The slot whose partition this is; NULL: it is a slot.';
