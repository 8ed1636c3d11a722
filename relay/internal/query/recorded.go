package query

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// CanResend says whether Change.ResendRecorded would queue the event: nil, or why not.
func (s deliveries) CanResend(ctx context.Context, tenant, eventID, endpointID string) error {
	return s.read(ctx, "look for the event", func(ctx context.Context, tx pgx.Tx) error {
		_, err := recordedEvent(ctx, tx, s.mapping, recordedQuery{tenant: tenant, event: eventID, endpoint: endpointID})
		return err
	})
}

const resendRecordedSQL = `
INSERT INTO tailpost.delivery (
    event_id, endpoint_id, state, reason, attempts, next_attempt_at, event_type, tenant, key, payload, headers,
    event_created_at, commit_lsn, seq, trigger, created_at, updated_at, deliver_at, expires_at, extra
)
VALUES (
    @event, @endpoint, 'pending', 'resend', 0, @now, @type, NULLIF(@tenant, ''), NULLIF(@key, ''), @payload, @headers,
    @event_created, pg_current_wal_insert_lsn(), 0, 'resend', @now, @now, @deliver_at, @expires_at, @extra
)
ON CONFLICT (event_id, endpoint_id) DO NOTHING`

// ResendRecorded queues an event once more for an endpoint that has it already, or whose delivery
// was discarded, from its outbox row. Like an event of a replay it takes its place at the end of
// the endpoint's order. ErrNotFound: the endpoint has no trace of the event. ErrConflict: it waits
// for the endpoint as it is, or its payload is gone.
func (c deliveryChanges) ResendRecorded(ctx context.Context, tenant, eventID, endpointID string) error {
	ev, err := recordedEvent(ctx, c.tx, c.mapping, recordedQuery{tenant: tenant, event: eventID, endpoint: endpointID, lock: true})
	if err != nil {
		return err
	}
	headers, err := ledger.HeadersText(&ev)
	if err != nil {
		return err
	}
	tag, err := c.tx.Exec(ctx, resendRecordedSQL, pgx.NamedArgs{
		"event": ev.ID, "endpoint": endpointID, "type": ev.Type, "tenant": ev.Tenant, "key": ev.Key,
		"payload": []byte(ev.Payload), "headers": headers, "extra": []byte(ev.Extra), "event_created": ev.CreatedAt, "now": c.now,
		"deliver_at": timeOrNull(ev.DeliverAt), "expires_at": timeOrNull(ev.ExpiresAt),
	})
	switch {
	case err != nil:
		return fmt.Errorf("queue the event: %w", err)
	case tag.RowsAffected() == 0:
		return errWaits // somebody else was faster
	}
	return c.due(ctx, []string{endpointID})
}

var errWaits = fmt.Errorf("%w: the event waits for this endpoint already: with state pending it is attempted now", ErrConflict)

var errUnrouted = fmt.Errorf("%w: the event could not be read, so that it is dead for all endpoints: resend its delivery to %s, and it goes to those that want it", ErrConflict, everyone)

type recordedQuery struct {
	tenant, event, endpoint string
	lock                    bool // keep the endpoint from being deleted
}

const recordedEndpointSQL = `
SELECT COALESCE(tenant, '')
FROM tailpost.endpoint
WHERE id = @endpoint
  AND (@tenant::text = '' OR tenant = @tenant)`

// recordedSQL says what there is of an event and an endpoint: a delivery that waits, and the first
// sign of one that is over. Adding nothing to the endpoint has the attempts looked up by their
// event: through the index of endpoints, which has them by time, Postgres would look for the
// earliest among all of the endpoint's.
const recordedSQL = `
SELECT COALESCE((SELECT d.state FROM tailpost.delivery AS d WHERE d.event_id = @event AND d.endpoint_id = @endpoint), ''),
       LEAST(
           (SELECT min(a.attempted_at)
            FROM tailpost.attempt AS a
            WHERE a.event_id = @event
              AND a.endpoint_id || '' = @endpoint
              AND a.trigger <> 'test'),
           (SELECT x.at FROM tailpost.discarded AS x WHERE x.event_id = @event AND x.endpoint_id = @endpoint)
       ),
       EXISTS (SELECT FROM tailpost.delivery AS d WHERE d.event_id = @event AND d.endpoint_id = '*' AND (@tenant::text = '' OR d.tenant = @tenant))`

// recordedEvent reads an event whose delivery to an endpoint is over from its outbox row.
func recordedEvent(ctx context.Context, tx pgx.Tx, m outbox.Mapping, q recordedQuery) (outbox.Event, error) {
	args := pgx.NamedArgs{"tenant": q.tenant, "event": q.event, "endpoint": q.endpoint}
	sql := recordedEndpointSQL
	if q.lock {
		// Not more: the relay writes how the endpoint does, and must not wait for this.
		sql += "\nFOR KEY SHARE"
	}
	tenant, err := one(ctx, tx, sql, args, pgx.RowTo[string])
	if err != nil {
		return outbox.Event{}, err
	}
	var waits string
	var first *time.Time
	var unrouted bool
	if err := tx.QueryRow(ctx, recordedSQL, args).Scan(&waits, &first, &unrouted); err != nil {
		return outbox.Event{}, fmt.Errorf("look for attempts: %w", err)
	}
	switch {
	case waits == string(outbox.Pending):
		return outbox.Event{}, errWaits
	case first == nil && unrouted:
		return outbox.Event{}, errUnrouted
	case first == nil:
		return outbox.Event{}, ErrNotFound
	case m.Table == "":
		return outbox.Event{}, fmt.Errorf("%w: the payload of the event is gone: it was a logical message, which has no outbox row", ErrConflict)
	}
	ev, there, err := outboxRow(ctx, tx, m, q.event)
	if err != nil {
		return ev, unreadable(err)
	}
	switch {
	case !there:
		return ev, fmt.Errorf("%w: the payload of the event is gone: its outbox row was deleted, or it was a logical message, which has none", ErrConflict)
	case tenant != "" && ev.Tenant != tenant:
		return ev, ErrNotFound // the endpoint, or the row, has another tenant by now
	}
	if ev.CreatedAt.IsZero() {
		ev.CreatedAt = *first // where the table has no time, the nearest there is
	}
	return ev, nil
}

// unreadable says what a person can do about an outbox row that cannot be read.
func unreadable(err error) error {
	if odd, ok := errors.AsType[*outbox.DecodeError](err); ok {
		return fmt.Errorf("%w: the outbox row of the event cannot be sent: %w", ErrConflict, odd)
	}
	if pglink.Is(err, pglink.InsufficientPrivilege) {
		return fmt.Errorf("%w: the relay's role may not read the outbox table: see the grants of `tailpost migrate --print`", ErrConflict)
	}
	return err
}
