-- Endpoints with batches get several events in a request, each with an attempt of its own. Other attempts have NULL, which takes
-- no room. The id has the time of its request, by which the attempts are found: no index is for it.

ALTER TABLE tailpost.attempt ADD COLUMN request_id text;
COMMENT ON COLUMN tailpost.attempt.request_id IS 'The request that this attempt shares with those of other events (batch); its webhook-id. NULL: a request of its own.';
