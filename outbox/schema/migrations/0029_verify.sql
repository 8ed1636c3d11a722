-- What an endpoint has shown before it gets its first event, where it is asked to.

ALTER TABLE tailpost.endpoint ADD COLUMN IF NOT EXISTS verified text;
ALTER TABLE tailpost.endpoint ADD COLUMN IF NOT EXISTS verified_at timestamptz;
ALTER TABLE tailpost.endpoint ADD COLUMN IF NOT EXISTS verify_error text;
COMMENT ON COLUMN tailpost.endpoint.verified IS 'Hash of the verification and the URL that passed it last; NULL: none has.';
COMMENT ON COLUMN tailpost.endpoint.verified_at IS 'When that was.';
COMMENT ON COLUMN tailpost.endpoint.verify_error IS 'Why the last verification failed; NULL: it passed, or there was none.';
