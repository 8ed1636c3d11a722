package query

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// A page of what is not delivered reads what it shows, however much one transaction left
// undelivered; half of the deliveries here are of one.
func TestDeliveries_readLittleMoreThanTheyShow(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, sql := range []string{`
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, event_created_at, commit_lsn, seq, created_at, updated_at)
SELECT 'event-' || i, 'ep_' || i % 40, CASE WHEN i % 2 = 0 THEN 'dead' ELSE 'pending' END, 'failed', 1, 'type', now(),
       CASE WHEN i <= 10000 THEN '0/1'::pg_lsn + i / 10 ELSE '0/FFFF' END, i, now(), now()
FROM generate_series(1, 20000) AS i`, `VACUUM ANALYZE tailpost.delivery`} {
		_, err := s.pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	const readSQL = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_all_tables WHERE relname = 'delivery'"
	for name, filter := range map[string]ledger.DeliveryFilter{"all": {}, "dead": {State: "dead"}, "pending": {State: "pending"}} {
		for _, after := range []DeliveryPosition{{}, {CommitLSN: 501, Seq: 5_000, EventID: "event-5000", EndpointID: "ep_0"}} {
			err := s.read(t.Context(), "read a page", func(ctx context.Context, tx pgx.Tx) error {
				page, err := readDeliveries(ctx, tx, DeliveryQuery{DeliveryFilter: filter, After: after, Limit: 50})
				require.Len(t, page, 50, name)
				var read int
				require.NoError(t, tx.QueryRow(ctx, readSQL).Scan(&read))
				require.LessOrEqual(t, read, 1000, "%s: deliveries read", name)
				return err
			})
			require.NoError(t, err)
		}
	}
}
