-- Events whose ids grow with time (UUIDv7, sequences) are entered at the end of a B-tree, where the pages are at hand. A hash
-- index scatters them: once it is larger than the buffers, every attempt reads and writes a page of its own.

DROP INDEX tailpost.attempt_event_idx;
CREATE INDEX attempt_event_idx ON tailpost.attempt (event_id);
