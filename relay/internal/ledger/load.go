package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

// load lends the connection to f, again and again while the database is out of reach or busy.
func (l *Ledger) load(ctx context.Context, what string, f func(context.Context, *pgx.Conn) error) error {
	if err := l.loading.acquire(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer l.loading.release()
	var delay backoff
	for {
		had := l.loading.conn != nil
		err := l.lend(ctx, f)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return interrupted(ctx, what)
		}
		switch {
		case l.loading.conn == nil:
			if had {
				l.lose(err)
				continue
			}
		case judge(err) != transient:
			return fmt.Errorf("%s: %w", what, describe(err))
		}
		l.options.Logger.Warn().Err(describe(err)).Msg("waiting for the database")
		if delay.wait(ctx) != nil {
			return interrupted(ctx, what)
		}
	}
}

// lend runs f with a connection that works as far as anybody knows. After an error that made it useless there is none.
func (l *Ledger) lend(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	ld := l.loading
	if ld.conn == nil {
		conn, err := connect(ctx, l.config)
		if err != nil {
			return err
		}
		ld.conn = conn
	}
	err := f(ctx, ld.conn)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && judge(err) == lost {
		// Its error is why it is given up.
		_ = ld.conn.Close(ctx)
	}
	if ld.conn.IsClosed() {
		ld.conn = nil
	}
	return err
}

const recordedSQL = `
SELECT event_id, endpoint_id
FROM tailpost.attempt
WHERE commit_lsn >= @from::text::pg_lsn
  AND outcome IN ('delivered', 'dead')
  AND attempted_at >= COALESCE((SELECT r.moved_at - interval '1 hour' FROM tailpost.relay AS r WHERE r.slot = @slot), '-infinity')
UNION ALL
SELECT event_id, endpoint_id
FROM tailpost.delivery
WHERE commit_lsn >= @from::text::pg_lsn`

// Recorded gives the deliveries of events that committed at or after from and are settled: they have a final attempt, or a
// row in the queue. A relay that starts streaming at from skips them once. Attempts of long before the database moved to this
// cluster are left out: their positions may all be higher than from, and they are many.
func (l *Ledger) Recorded(ctx context.Context, slot string, from outbox.LSN) (map[outbox.Pair]struct{}, error) {
	var pairs map[outbox.Pair]struct{}
	err := l.load(ctx, "load what is recorded", func(ctx context.Context, conn *pgx.Conn) error {
		pairs = make(map[outbox.Pair]struct{})
		endpoints := make(map[string]string) // one copy of each id instead of one a row
		rows, err := conn.Query(ctx, recordedSQL, pgx.NamedArgs{"slot": slot, "from": from.String()})
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			raw := rows.RawValues()
			endpoint, ok := endpoints[string(raw[1])]
			if !ok {
				endpoint = string(raw[1])
				endpoints[endpoint] = endpoint
			}
			pairs[outbox.Pair{EventID: string(raw[0]), EndpointID: endpoint}] = struct{}{}
		}
		return rows.Err()
	})
	return pairs, err
}

// Check says whether this binary can work with the schema and with the outbox table, and what it had better have.
func (l *Ledger) Check(ctx context.Context, m outbox.Mapping) (warnings []string, err error) {
	err = l.load(ctx, "check the database", func(ctx context.Context, conn *pgx.Conn) (err error) {
		if err := schema.Check(ctx, conn); err != nil {
			return err
		}
		if m == (outbox.Mapping{}) {
			return nil
		}
		warnings, err = schema.CheckTable(ctx, conn, m)
		return err
	})
	return warnings, err
}
