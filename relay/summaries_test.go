package relay_test

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// A search for what does not occur reads what has no summary, and that must not grow with what is
// recorded.
func TestAttemptsAreSummarisedAsTheyBecomeMany(t *testing.T) {
	t.Parallel()
	b := setupRows(t)
	b.options.Plain = true // the race detector makes minutes of so many
	relay := kit.StartDelivering(t, b.options)
	b.put(t, b.row(t, "ep_1", nil))
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	const events = 12_000
	b.db.Run(t, "INSERT INTO public.outbox (type, payload) SELECT 'order.created', '{}' FROM generate_series(1, $1::int)", events)
	b.db.AwaitCount(t, events, "SELECT count(*) FROM tailpost.attempt")
	removed := regexp.MustCompile(`"Rows Removed by (?:Index Recheck|Filter)": (\d+)`)
	kit.Eventually(t, kit.Patience, func() error {
		tx, err := b.db.Begin(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
		_, err = tx.Exec(t.Context(), "SET LOCAL enable_seqscan = off")
		require.NoError(t, err)
		var plan string
		require.NoError(t, tx.QueryRow(t.Context(), "EXPLAIN (ANALYZE, FORMAT JSON) SELECT FROM tailpost.attempt WHERE event_type = 'none'").Scan(&plan))
		read := 0
		for _, match := range removed.FindAllStringSubmatch(plan, -1) {
			n, err := strconv.Atoi(match[1])
			require.NoError(t, err)
			read += n
		}
		if read > events/2 {
			return fmt.Errorf("a search reads %d attempts in vain", read)
		}
		return nil
	})
	require.Zero(t, relay.Stop(t))
}
