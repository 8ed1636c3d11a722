package ledger_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// Whatever Postgres refuses somebody may mend. A hold that ended instead would be followed by one
// that sends everything again, at every try.
func TestRecord_waitsUntilSomebodyMendsWhatPostgresRefuses(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]struct{ breaks, mends string }{
		"a right that was revoked": {
			`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no' USING ERRCODE = '42501'; END $$;
			CREATE TRIGGER refuse BEFORE INSERT ON tailpost.delivery FOR EACH ROW EXECUTE FUNCTION refuse()`,
			`DROP TRIGGER refuse ON tailpost.delivery`,
		},
		"a value that is refused": {
			`ALTER TABLE tailpost.delivery ADD CONSTRAINT refuse CHECK (event_id = '')`, `ALTER TABLE tailpost.delivery DROP CONSTRAINT refuse`,
		},
		"a day that cannot be made": {
			`DO $$ BEGIN EXECUTE (SELECT string_agg('DROP TABLE ' || inhrelid::regclass, ';') FROM pg_inherits WHERE inhparent = 'tailpost.attempt'::regclass); END $$;
			ALTER FUNCTION tailpost.ensure_attempt_partitions(date, integer) RENAME TO elsewhere`,
			`ALTER FUNCTION tailpost.elsewhere(date, integer) RENAME TO ensure_attempt_partitions`,
		},
		"a table that is gone": {
			`ALTER TABLE tailpost.endpoint_stats RENAME TO elsewhere`, `ALTER TABLE tailpost.elsewhere RENAME TO endpoint_stats`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			hold := take(t, b.ledger)
			require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Settled: 1}))
			_, err := b.conn.Exec(t.Context(), broken.breaks)
			require.NoError(t, err)
			require.Zero(t, b.ledger.Unrecorded())
			done := make(chan error, 1)
			go func() { done <- b.ledger.Record(t.Context(), hold, oneOf("e1", 2)) }()
			eventually(t, func() bool { return !b.ledger.Unrecorded().IsZero() })
			select {
			case err := <-done:
				require.NoError(t, err, "it gave up")
			default:
			}
			require.Zero(t, b.count(t, `SELECT count(*) FROM tailpost.attempt`), "all or nothing")
			_, err = b.conn.Exec(t.Context(), broken.mends)
			require.NoError(t, err)
			eventually(t, func() bool { return len(done) == 1 })
			require.NoError(t, <-done)
			require.Zero(t, b.ledger.Unrecorded())
			require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.attempt`))
			require.Equal(t, 2, b.count(t, `SELECT batch FROM tailpost.relay WHERE settled_lsn = '0/2'`))
		})
	}
}

// A relay that is told to stop meanwhile does.
func TestRecord_ofWhatIsRefusedEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	bad := pending("e1", "erp", "", 1, noon)
	bad.State = "lost"
	ctx, stop := context.WithCancelCause(t.Context())
	reason := errors.New("the grace is over")
	done := make(chan error, 1)
	go func() {
		done <- b.ledger.Record(ctx, hold, &ledger.Batch{
			Attempts: []outbox.Attempt{attempt("e1", "erp", outbox.Delivered, 1)}, Park: []outbox.Delivery{bad}, Settled: 4,
		})
	}()
	eventually(t, func() bool { return !b.ledger.Unrecorded().IsZero() })
	stop(reason)
	require.ErrorIs(t, <-done, reason)
	require.Zero(t, b.count(t, `SELECT count(*) FROM tailpost.attempt`), "all or nothing")
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Settled: 4}), "the hold is as good as before")
	require.Equal(t, 1, b.count(t, `SELECT batch FROM tailpost.relay WHERE settled_lsn = '0/4'`))
}
