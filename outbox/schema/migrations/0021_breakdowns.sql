-- Attempts by the class of their answer, and by type. Recording an attempt writes no row more for it: an endpoint's row of the
-- hour has the classes, and a type's row is one for many attempts. Rows without an endpoint are over all of them, so that
-- nobody adds up thousands.

ALTER TABLE tailpost.endpoint_stats ADD COLUMN classes bigint[];
COMMENT ON COLUMN tailpost.endpoint_stats.classes IS 'Requests by what came back: no answer, then 1xx, 2xx, 3xx, 4xx, 5xx and above; NULL: not known, from before this was counted.';

CREATE TABLE tailpost.type_stats (
    endpoint_id text        NOT NULL,
    hour        timestamptz NOT NULL,
    event_type  text        NOT NULL,
    attempts    bigint      NOT NULL,
    delivered   bigint      NOT NULL,
    failed      bigint      NOT NULL,
    dead        bigint      NOT NULL,
    classes     bigint[],
    PRIMARY KEY (endpoint_id, hour, event_type)
) WITH (fillfactor = 50);
CREATE INDEX type_stats_hour_idx ON tailpost.type_stats (hour);
COMMENT ON TABLE tailpost.type_stats IS 'Counters of a type of events within a UTC hour, kept in the transaction that records its attempts.';
COMMENT ON COLUMN tailpost.type_stats.endpoint_id IS 'The endpoint; empty: all of them.';
COMMENT ON COLUMN tailpost.type_stats.hour IS 'Start of the hour.';
COMMENT ON COLUMN tailpost.type_stats.event_type IS 'The type, its first 200 bytes.';
COMMENT ON COLUMN tailpost.type_stats.attempts IS 'Requests made.';
COMMENT ON COLUMN tailpost.type_stats.delivered IS 'Requests that delivered.';
COMMENT ON COLUMN tailpost.type_stats.failed IS 'Requests that did not.';
COMMENT ON COLUMN tailpost.type_stats.dead IS 'Deliveries given up.';
COMMENT ON COLUMN tailpost.type_stats.classes IS 'As tailpost.endpoint_stats.classes, in rows over all endpoints; otherwise NULL.';
