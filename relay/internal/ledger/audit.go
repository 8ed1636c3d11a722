package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

// NewSweep returns a sweep over rows of the outbox table.
func (k *Healing) NewSweep(ctx context.Context, m outbox.Mapping, scope scan.Scope) (*scan.Sweep, error) {
	return scan.New(ctx, k.link, m, scope)
}

// Zone returns the time zone of times in the outbox table that name none.
func (k *Healing) Zone(ctx context.Context, m outbox.Mapping) (*time.Location, error) {
	s, err := scan.New(ctx, k.link, m, scan.Scope{})
	if err != nil {
		return nil, err
	}
	return s.Zone(), nil
}

// parkFoundSQL is parkSQL for what an audit found: what was parked before the gap is an earlier
// event.
const parkFoundSQL = `
INSERT INTO tailpost.delivery (
    event_id, endpoint_id, state, reason, attempts, next_attempt_at, event_type, tenant, key, payload, headers,
    event_created_at, commit_lsn, seq, last_error, created_at, updated_at, search, deliver_at, expires_at, extra
)
SELECT CASE WHEN was.event_id IS NULL THEN p.event_id ELSE p.event_id || '~' || @lsn::text || '.' || @seq::bigint END,
       @endpoint,
       CASE WHEN was.event_id IS NULL THEN @state ELSE 'dead' END,
       CASE WHEN was.event_id IS NULL THEN @reason ELSE 'id_reused' END,
       0,
       CASE WHEN was.event_id IS NULL THEN @next::timestamptz END,
       @type, NULLIF(@tenant, ''), NULLIF(@key, ''), @payload, @headers, @event_created, @lsn::text::pg_lsn, @seq::bigint,
       CASE WHEN was.event_id IS NULL THEN NULLIF(@error, '') ELSE ` + reusedError + ` END,
       @now, @now, @search::text[], @deliver_at, @expires_at, @extra
FROM (SELECT @event::text AS event_id) AS p
LEFT JOIN tailpost.delivery AS was
    ON was.event_id = p.event_id
   AND was.endpoint_id = @endpoint
   AND was.commit_lsn < @lsn::text::pg_lsn
ON CONFLICT (event_id, endpoint_id) DO NOTHING`

// Queue writes deliveries that an audit found. One that is there already is left alone. It returns
// how many were new.
func (k *Healing) Queue(ctx context.Context, hold Hold, ds []outbox.Delivery, now time.Time) (queued int64, err error) {
	err = k.link.WhileHeld(ctx, hold, "queue what an audit found", func(ctx context.Context, tx pgx.Tx) error {
		queued = 0
		var batch pgx.Batch
		for i := range ds {
			args, err := foundArgs(tx.Conn(), &ds[i], now)
			if err != nil {
				return err
			}
			batch.Queue(parkFoundSQL, args)
		}
		results := tx.SendBatch(ctx, &batch)
		for range ds {
			tag, err := results.Exec()
			if err != nil {
				_ = results.Close() // the first error says it
				return err
			}
			queued += tag.RowsAffected()
		}
		return results.Close()
	})
	return queued, err
}

// foundArgs are the arguments of parkFoundSQL.
func foundArgs(conn *pgx.Conn, d *outbox.Delivery, now time.Time) (pgx.NamedArgs, error) {
	e := &d.Event
	headers, err := HeadersText(e)
	if err != nil {
		return nil, err
	}
	return pgx.NamedArgs{
		"event": e.ID, "endpoint": d.EndpointID, "state": string(d.State), "reason": string(d.Reason), "next": nullTime(d.NextAttemptAt),
		"type": e.Type, "tenant": e.Tenant, "key": e.Key, "payload": []byte(e.Payload), "headers": headers, "extra": []byte(e.Extra),
		"event_created": e.CreatedAt, "deliver_at": nullTime(e.DeliverAt), "expires_at": nullTime(e.ExpiresAt), "lsn": e.CommitLSN.String(), "seq": e.Seq, "error": d.LastError, "now": now,
		"search": foundTerms(conn, d.Search),
	}, nil
}

// foundTerms returns terms as the database can store them; nil: there are none.
func foundTerms(conn *pgx.Conn, terms []string) (found []string) {
	w := pgwireOf(conn.PgConn())
	for _, term := range terms {
		found = append(found, w.storable(w.known(term)))
	}
	return found
}

// HeadersText returns tailpost.delivery.headers of an event; nil: it has none. It is ASCII: a row
// or a message may spell, by an escape, a character that the database's encoding does not know.
func HeadersText(e *outbox.Event) (*string, error) {
	if len(e.Headers) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(e.Headers)
	if err != nil {
		return nil, fmt.Errorf("encode the headers of event %s: %w", e.ID, err)
	}
	headers := string(asciiJSON(text))
	return &headers, nil
}
