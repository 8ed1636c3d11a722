-- Time series over all endpoints read the hours of a range; the primary key has them by endpoint. One entry for an endpoint and
-- hour, none for an attempt.

CREATE INDEX endpoint_stats_hour_idx ON tailpost.endpoint_stats (hour);
