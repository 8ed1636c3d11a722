-- What has no key is found by when it is due, however many keys of the same endpoint wait. The index that this one replaces had
-- only what waits behind something.

CREATE INDEX IF NOT EXISTS delivery_unkeyed_due_idx ON tailpost.delivery (endpoint_id, next_attempt_at, commit_lsn, seq) WHERE state = 'pending' AND key IS NULL;
DROP INDEX IF EXISTS tailpost.delivery_unkeyed_idx;
