-- Answers that are no 2xx, by class, whatever they mean: an endpoint may take a 409 for a success. The index that this one
-- replaces had only those of failures.

CREATE INDEX IF NOT EXISTS attempt_answer_class_idx ON tailpost.attempt ((status_code / 100), attempted_at) WHERE status_code / 100 <> 2;
DROP INDEX IF EXISTS tailpost.attempt_status_class_idx;
