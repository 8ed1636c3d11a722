-- What an ordered endpoint asks about its queue is found by an index, however long the queue is; and what keeps routed_since
-- works where the database replays changes of another one (session_replication_role = replica).

CREATE INDEX IF NOT EXISTS delivery_dead_key_idx ON tailpost.delivery (endpoint_id, key, commit_lsn, seq) WHERE state = 'dead' AND key IS NOT NULL;
CREATE INDEX IF NOT EXISTS delivery_unkeyed_idx ON tailpost.delivery (endpoint_id) WHERE state = 'pending' AND next_attempt_at IS NULL AND key IS NULL;

ALTER TABLE tailpost.endpoint ENABLE ALWAYS TRIGGER note_routing;
