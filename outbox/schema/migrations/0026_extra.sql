-- What an event has beside what every event has: the columns that outbox.columns.extra names.

ALTER TABLE tailpost.delivery ADD COLUMN IF NOT EXISTS extra bytea;
COMMENT ON COLUMN tailpost.delivery.extra IS 'Values of the columns of outbox.columns.extra, a JSON object; NULL where there are none.';
