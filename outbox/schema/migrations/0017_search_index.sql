-- In a step of its own, after the columns are there: on large partitions it is then built beside those who write. New entries
-- collect in a short list, which a search reads first, and go into the tree together.

CREATE INDEX attempt_terms_idx ON tailpost.attempt USING gin (search) WITH (gin_pending_list_limit = 256) WHERE search IS NOT NULL;
CREATE INDEX delivery_terms_idx ON tailpost.delivery USING gin (search) WITH (gin_pending_list_limit = 256)
    WHERE search IS NOT NULL AND attempts = 0;
