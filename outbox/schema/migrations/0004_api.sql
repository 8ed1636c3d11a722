-- What the management API keeps: the catalogue of event types, its keys, who changed what, and the answers it gave to
-- requests that may be repeated.

CREATE TABLE tailpost.event_type (
    name        text        PRIMARY KEY,
    description text        NOT NULL DEFAULT '',
    schema      json,
    example     json,
    deprecated  boolean     NOT NULL DEFAULT false,
    version     bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
COMMENT ON TABLE tailpost.event_type IS 'One entry of the catalogue of events, for people who subscribe. Events need none to be delivered.';
COMMENT ON COLUMN tailpost.event_type.name IS 'Type of the events, for example order.created.';
COMMENT ON COLUMN tailpost.event_type.description IS 'What happened when such an event is sent.';
COMMENT ON COLUMN tailpost.event_type.schema IS 'JSON Schema of the payload.';
COMMENT ON COLUMN tailpost.event_type.example IS 'An example of the payload; test events carry it.';
COMMENT ON COLUMN tailpost.event_type.deprecated IS 'Whether nobody should subscribe to it any more.';
COMMENT ON COLUMN tailpost.event_type.version IS 'Raised by every change; the ETag of the API.';
COMMENT ON COLUMN tailpost.event_type.created_at IS 'When it was first described.';
COMMENT ON COLUMN tailpost.event_type.updated_at IS 'When it last changed.';

CREATE TABLE tailpost.api_key (
    id           text        PRIMARY KEY,
    name         text        NOT NULL,
    source       text        NOT NULL CHECK (source IN ('config', 'api')),
    hash         bytea       UNIQUE,
    prefix       text,
    scopes       text[]      NOT NULL,
    tenant       text,
    created_by   text        NOT NULL,
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz,
    CHECK ((source = 'api') = (hash IS NOT NULL))
);
COMMENT ON TABLE tailpost.api_key IS 'One key to the management API. A key of the configuration file has a row once it was used.';
COMMENT ON COLUMN tailpost.api_key.id IS 'Identity; config: and the block label for keys of the configuration file.';
COMMENT ON COLUMN tailpost.api_key.name IS 'Name for people.';
COMMENT ON COLUMN tailpost.api_key.source IS 'config (the HCL file) or api.';
COMMENT ON COLUMN tailpost.api_key.hash IS 'SHA-256 of the secret, 32 random bytes; NULL for keys of the configuration file, which never enter the database.';
COMMENT ON COLUMN tailpost.api_key.prefix IS 'First characters of the secret, to tell keys apart.';
COMMENT ON COLUMN tailpost.api_key.scopes IS 'What the key may do.';
COMMENT ON COLUMN tailpost.api_key.tenant IS 'Nothing of other tenants exists for this key; NULL: all tenants.';
COMMENT ON COLUMN tailpost.api_key.created_by IS 'Id of the key that made it.';
COMMENT ON COLUMN tailpost.api_key.created_at IS 'When it was made.';
COMMENT ON COLUMN tailpost.api_key.last_used_at IS 'When it was last used, to the minute; NULL: never.';

CREATE TABLE tailpost.audit (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL,
    actor      text        NOT NULL,
    address    text        NOT NULL,
    tenant     text,
    action     text        NOT NULL,
    object     text        NOT NULL,
    before     jsonb,
    after      jsonb
);
CREATE INDEX audit_object_idx ON tailpost.audit (object, id);
COMMENT ON TABLE tailpost.audit IS 'One change made through the management API. Append-only.';
COMMENT ON COLUMN tailpost.audit.id IS 'Order of the changes.';
COMMENT ON COLUMN tailpost.audit.at IS 'When.';
COMMENT ON COLUMN tailpost.audit.actor IS 'Who: id of the key, or local where no key was needed.';
COMMENT ON COLUMN tailpost.audit.address IS 'From where.';
COMMENT ON COLUMN tailpost.audit.tenant IS 'Tenant of what changed; NULL: of none.';
COMMENT ON COLUMN tailpost.audit.action IS 'What was done, for example endpoint.create.';
COMMENT ON COLUMN tailpost.audit.object IS 'What it was done to, for example an endpoint''s id.';
COMMENT ON COLUMN tailpost.audit.before IS 'As it was, without secrets; NULL: it is new.';
COMMENT ON COLUMN tailpost.audit.after IS 'As it is, without secrets; NULL: it is gone.';

CREATE TABLE tailpost.idempotency (
    key        bytea       PRIMARY KEY,
    request    bytea       NOT NULL,
    answer     bytea       NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX idempotency_created_idx ON tailpost.idempotency (created_at);
COMMENT ON TABLE tailpost.idempotency IS 'One answer of the management API to a request with an Idempotency-Key, kept for 24 hours.';
COMMENT ON COLUMN tailpost.idempotency.key IS 'SHA-256 of the Idempotency-Key, the call and who made it.';
COMMENT ON COLUMN tailpost.idempotency.request IS 'SHA-256 of the request, to refuse another request under the same key.';
COMMENT ON COLUMN tailpost.idempotency.answer IS 'The answer, encrypted with a key made of the Idempotency-Key and the caller''s secret, neither of which is here.';
COMMENT ON COLUMN tailpost.idempotency.created_at IS 'When it was given.';

-- For the pages of the API. None of them costs the path of a delivered event an entry: the first two leave delivered
-- attempts out, the third is a summary of page ranges.
CREATE INDEX attempt_failed_idx ON tailpost.attempt (attempted_at) WHERE outcome <> 'delivered';
CREATE INDEX attempt_endpoint_failed_idx ON tailpost.attempt (endpoint_id, attempted_at) WHERE outcome <> 'delivered';
CREATE INDEX attempt_attempted_at_idx ON tailpost.attempt USING brin (attempted_at) WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX delivery_dead_endpoint_idx ON tailpost.delivery (endpoint_id, commit_lsn, seq, event_id) WHERE state = 'dead';
CREATE INDEX endpoint_tenant_idx ON tailpost.endpoint (tenant, created_at, id);
CREATE INDEX endpoint_created_idx ON tailpost.endpoint (created_at, id);
