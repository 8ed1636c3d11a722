-- Logins to the panel. They are rows so that every replica knows them, and so that one can be ended from here.

CREATE TABLE tailpost.session (
    hash        bytea       PRIMARY KEY,
    key_id      text        NOT NULL,
    fingerprint bytea       NOT NULL,
    created_at  timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL
);
COMMENT ON TABLE tailpost.session IS 'One login to the panel. Delete a row to end it.';
COMMENT ON COLUMN tailpost.session.hash IS 'SHA-256 of the cookie, 32 random bytes, which only the browser has.';
COMMENT ON COLUMN tailpost.session.key_id IS 'The API key that opened it (tailpost.api_key.id, or config: and the block label); it can do what the key can and ends with it.';
COMMENT ON COLUMN tailpost.session.fingerprint IS 'Tells whether the key still has the secret that opened it; nobody can log in with it.';
COMMENT ON COLUMN tailpost.session.created_at IS 'When it was opened; it ends 12 hours later.';
COMMENT ON COLUMN tailpost.session.seen_at IS 'When it was last used, to the minute; it ends after 2 hours without use.';
