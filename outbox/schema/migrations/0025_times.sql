-- Times of events: not before, and not from then on. They are the application's, where outbox.columns maps them; a delivery on
-- the happy path has no row here.

ALTER TABLE tailpost.delivery ADD COLUMN IF NOT EXISTS deliver_at timestamptz;
ALTER TABLE tailpost.delivery ADD COLUMN IF NOT EXISTS expires_at timestamptz;
COMMENT ON COLUMN tailpost.delivery.deliver_at IS 'The event is not to be delivered before; NULL: at once.';
COMMENT ON COLUMN tailpost.delivery.expires_at IS 'The event is not to be delivered from then on; NULL: it never expires.';

CREATE OR REPLACE VIEW tailpost.undelivered AS
SELECT d.event_id,
       d.event_type,
       d.tenant,
       d.key,
       d.endpoint_id,
       e.name AS endpoint_name,
       d.state,
       d.reason,
       d.attempts,
       d.next_attempt_at,
       d.last_status,
       d.last_error,
       d.event_created_at,
       clock_timestamp() - d.event_created_at AS age,
       d.deliver_at,
       d.expires_at
FROM tailpost.delivery AS d
LEFT JOIN tailpost.endpoint AS e ON e.id = d.endpoint_id;
COMMENT ON COLUMN tailpost.undelivered.deliver_at IS 'The event is not to be delivered before; NULL: at once.';
COMMENT ON COLUMN tailpost.undelivered.expires_at IS 'The event is not to be delivered from then on; NULL: it never expires.';
