-- Headers of requests and answers, where the configuration's attempts block asks for them; otherwise NULL, which takes no room.

ALTER TABLE tailpost.attempt ADD COLUMN request_headers json, ADD COLUMN response_headers json;
COMMENT ON COLUMN tailpost.attempt.request_headers IS 'Headers of the request as it was sent, by their names in lower case; secrets and signatures are [redacted]. NULL: not kept.';
COMMENT ON COLUMN tailpost.attempt.response_headers IS 'Headers of the answer, as far as they fit 4 KiB. NULL: not kept, or no answer.';
