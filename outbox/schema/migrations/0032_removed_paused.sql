-- An endpoint that a person paused, and that leaves the configuration by mistake, comes back paused.

ALTER TABLE tailpost.endpoint ADD COLUMN IF NOT EXISTS removed_paused boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN tailpost.endpoint.removed_paused IS 'It was paused when the configuration last lost it, and is so again when it returns.';
