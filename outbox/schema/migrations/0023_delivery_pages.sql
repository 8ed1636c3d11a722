-- Pages of what is not delivered, in their order: the newest commits first. The index that this one replaces had the commits
-- alone, and of a large one all deliveries were sorted for a page of fifty. A delivery on the happy path has no row here.

CREATE INDEX IF NOT EXISTS delivery_page_idx ON tailpost.delivery (commit_lsn, seq);
DROP INDEX IF EXISTS tailpost.delivery_commit_lsn_idx;

-- Among very many endpoints, those in trouble: the overview asks for them every few seconds.
CREATE INDEX IF NOT EXISTS endpoint_trouble_idx ON tailpost.endpoint (created_at, id) WHERE status <> 'active' OR failing_since IS NOT NULL;
