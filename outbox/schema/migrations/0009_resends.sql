-- The resend of many deliveries, carried out by the relay in pages: one statement over all of them would hold their rows for
-- as long as it takes.

CREATE TABLE tailpost.resend (
    id          text        PRIMARY KEY,
    tenant      text,
    selection   jsonb       NOT NULL,
    endpoint_id text        GENERATED ALWAYS AS (selection ->> 'endpoint_id') STORED,
    state       text        NOT NULL CHECK (state IN ('pending', 'running', 'done', 'cancelled', 'failed')),
    total       bigint,
    queued      bigint      NOT NULL DEFAULT 0,
    as_of       timestamptz,
    cursor      text,
    error       text,
    created_by  text,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE INDEX resend_open_idx ON tailpost.resend (created_at, id) WHERE state IN ('pending', 'running');
CREATE INDEX resend_over_idx ON tailpost.resend (updated_at) WHERE state IN ('done', 'cancelled', 'failed');
COMMENT ON TABLE tailpost.resend IS 'One request to attempt many deliveries now. What it chooses is made due in pages, each one a transaction.';
COMMENT ON COLUMN tailpost.resend.id IS 'Identity.';
COMMENT ON COLUMN tailpost.resend.tenant IS 'Tenant that the key of whoever asked is bound to: only deliveries to its endpoints; NULL: to all.';
COMMENT ON COLUMN tailpost.resend.selection IS 'Which deliveries: {"endpoint_id", "event_id", "event_types", "event_tenant", "state", "reason", "since", "until"}; what is missing does not choose.';
COMMENT ON COLUMN tailpost.resend.endpoint_id IS 'The endpoint of the selection; NULL: it names none.';
COMMENT ON COLUMN tailpost.resend.state IS 'pending, running, done, cancelled (by a person) or failed (see error).';
COMMENT ON COLUMN tailpost.resend.total IS 'Deliveries that the selection chose when it was asked for; NULL where counting took too long.';
COMMENT ON COLUMN tailpost.resend.queued IS 'Deliveries that were made due; less than total where one was delivered, discarded or attempted meanwhile.';
COMMENT ON COLUMN tailpost.resend.as_of IS 'When it began: deliveries that have changed since are left alone, so that one that fails again is not resent again.';
COMMENT ON COLUMN tailpost.resend.cursor IS 'The last delivery that was looked at, as JSON; NULL: none yet.';
COMMENT ON COLUMN tailpost.resend.error IS 'Why it failed.';
COMMENT ON COLUMN tailpost.resend.created_by IS 'Who asked for it.';
COMMENT ON COLUMN tailpost.resend.created_at IS 'When it was asked for.';
COMMENT ON COLUMN tailpost.resend.updated_at IS 'When it last changed.';
