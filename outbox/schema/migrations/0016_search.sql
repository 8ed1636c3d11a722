-- What an event is found by, as the configuration's outbox.search names it. Where it names nothing the columns are NULL, which
-- takes no room in a row and no entry in the next step's indexes.

ALTER TABLE tailpost.attempt ADD COLUMN search text[];
ALTER TABLE tailpost.delivery ADD COLUMN search text[];
COMMENT ON COLUMN tailpost.attempt.search IS 'What the event is found by, as name=value (outbox.search of the configuration); NULL: nothing.';
COMMENT ON COLUMN tailpost.delivery.search IS 'What the event is found by while it has no attempt (see tailpost.attempt.search).';
