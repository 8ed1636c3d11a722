-- The values of headers are sealed too: people put credentials there. Rows written before get it at their next change, or
-- all at once by `tailpost secret reseal`; no SQL can, for the keys are not here.

COMMENT ON COLUMN tailpost.endpoint.policy IS 'Timeout, concurrency, retry schedule and the like, and the names of headers, whose values are among its secrets.';
COMMENT ON COLUMN tailpost.endpoint.secrets IS 'Sealed signing secrets and values of headers, see "secrets" in the configuration; NULL for endpoints of the configuration file, whose secrets never enter the database.';
COMMENT ON COLUMN tailpost.endpoint_version."row" IS 'The columns of tailpost.endpoint that decide what is sent to it, secrets and values of headers sealed; NULL: deleted.';
