-- Links to the customer portal. A link is worth nothing without its row, so that it can be revoked; the row alone opens
-- nothing, since the link is signed with a sealing key of the configuration, which is not here.

CREATE TABLE tailpost.portal_link (
    id           text        PRIMARY KEY,
    tenant       text        NOT NULL CHECK (tenant <> ''),
    capabilities text[]      NOT NULL,
    refresh_url  text,
    created_by   text        NOT NULL,
    fingerprint  bytea       NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    last_used_at timestamptz
);
CREATE INDEX portal_link_created_idx ON tailpost.portal_link (created_at, id);
CREATE INDEX portal_link_expires_idx ON tailpost.portal_link (expires_at);
COMMENT ON TABLE tailpost.portal_link IS 'One link to the customer portal. Delete a row to end the link and the sessions that it opened.';
COMMENT ON COLUMN tailpost.portal_link.id IS 'Identity; the actor of changes made through it is portal: and this.';
COMMENT ON COLUMN tailpost.portal_link.tenant IS 'Whose endpoints, log and catalogue it shows; nothing else exists for its visitors.';
COMMENT ON COLUMN tailpost.portal_link.capabilities IS 'What visitors may do: view, resend, manage_endpoints, manage_secrets.';
COMMENT ON COLUMN tailpost.portal_link.refresh_url IS 'Where a visitor is sent once it is over; NULL: where the configuration says.';
COMMENT ON COLUMN tailpost.portal_link.created_by IS 'Id of the key that made it; the link can do no more than the key, and ends with it.';
COMMENT ON COLUMN tailpost.portal_link.fingerprint IS 'Tells whether that key still has the secret that it had; nobody can log in with it.';
COMMENT ON COLUMN tailpost.portal_link.created_at IS 'When it was made.';
COMMENT ON COLUMN tailpost.portal_link.expires_at IS 'When it ends, with the sessions that it opened.';
COMMENT ON COLUMN tailpost.portal_link.last_used_at IS 'When somebody used it last, to the minute; NULL: nobody did.';
