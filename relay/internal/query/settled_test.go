package query_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// Where a slot's holder publishes to partitions, its row says how far it has published. What is
// settled is what all of them have settled: not what one has, nor what one of an earlier layout or
// of another slot says. One that never had a transaction has no time: the others' is shown, and
// what becomes of events stays open, as one may wait there.
func TestWhatIsSettledIsWhatAllPartitionsHaveSettled(t *testing.T) {
	t.Parallel()
	store, conn := migrated(t)
	exec := func(sql string, args ...any) {
		t.Helper()
		_, err := conn.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	exec(`INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, settled_at, updated_at, partitions, partition_of)
		SELECT slot, 1, 'o', '7', 1, 1, settled::pg_lsn, $1::timestamptz - ago * interval '1 minute', $1, partitions, of
		FROM (VALUES
			('s',    '0/90', 10,  2, NULL),
			('s#00', '0/20', 60,  2, 's'),
			('s#01', '0/95', 5,   2, 's'),
			('s#02', '0/1',  600, 0, 's'),
			('t#00', '0/2',  700, 2, 't')
		) AS v (slot, settled, ago, partitions, of)`, noon)
	exec(`INSERT INTO public.outbox (id, type, payload, created_at) VALUES ($1, 'a', '{}', $2), ($3, 'a', '{}', $4)`, ev(1), ago(55), ev(2), ago(65))
	for _, step := range []struct {
		change  string
		settled string
		at      *time.Time // that is shown
		all     *time.Time // by which it is told what becomes of events
		state   string     // of the event that was created 55 minutes ago
		of      string     // of the one that was 65 minutes ago
	}{
		{"SELECT 1", "0/20", new(ago(60)), new(ago(60)), query.EventNew, query.EventUnmatched},
		{"UPDATE tailpost.relay SET settled_lsn = '0/30', settled_at = settled_at + interval '9 minutes' WHERE slot = 's#00'", "0/30", new(ago(51)), new(ago(51)), query.EventUnmatched, query.EventUnmatched},
		{"UPDATE tailpost.relay SET settled_at = NULL WHERE slot = 's#00'", "0/30", new(ago(5)), nil, query.EventNew, query.EventNew},
		{"UPDATE tailpost.relay SET settled_at = NULL WHERE slot = 's#01'", "0/30", nil, nil, query.EventNew, query.EventNew},
		{"UPDATE tailpost.relay SET system_id = '8' WHERE slot = 's#00'", "0/0", nil, nil, query.EventNew, query.EventNew},
		{"UPDATE tailpost.relay SET partitions = 0", "0/90", new(ago(10)), new(ago(10)), query.EventUnmatched, query.EventUnmatched},
	} {
		exec(step.change)
		want, err := outbox.ParseLSN(step.settled)
		require.NoError(t, err)
		same := func(want, at *time.Time) {
			t.Helper()
			if want == nil {
				require.Nil(t, at, step.change)
				return
			}
			require.NotNil(t, at, step.change)
			require.Equal(t, *want, at.UTC(), step.change)
		}
		m, err := store.Measure(t.Context(), "s", nil)
		require.NoError(t, err)
		require.EqualValues(t, want, m.Settled, step.change)
		same(step.at, m.SettledAt)
		st, err := store.SlotState(t.Context(), "s")
		require.NoError(t, err)
		require.Equal(t, step.settled, st.Settled, step.change)
		same(step.at, st.SettledAt)
		c, err := store.Completeness(t.Context(), "s", 0, nil)
		require.NoError(t, err)
		same(step.at, c.Audit.SettledAt)
		explained, err := store.Explain(t.Context(), query.ExplainQuery{EventID: ev(1), Limit: 10})
		require.NoError(t, err)
		same(step.all, explained.SettledAt)
		page, err := store.Events(t.Context(), query.EventQuery{Limit: 10})
		require.NoError(t, err)
		require.NoError(t, store.EventStates(t.Context(), "", page.Events))
		states := make(map[string]string)
		for i := range page.Events {
			states[page.Events[i].ID] = page.Events[i].State
		}
		require.Equal(t, map[string]string{ev(1): step.state, ev(2): step.of}, states, step.change)
	}
}
