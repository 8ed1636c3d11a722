-- The catalogue may describe what older versions of the events looked like.

ALTER TABLE tailpost.event_type ADD COLUMN versions json;
COMMENT ON COLUMN tailpost.event_type.versions IS 'By the name of an older version: {"schema", "example"} of the payload as that version has it. NULL: none. The columns schema and example are those of the newest version.';
