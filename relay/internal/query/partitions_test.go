package query_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/query"
)

// Each partition says how far it is, against what the slot's holder has published: neither one of
// an earlier layout, nor of another slot or cluster, is among them.
func TestEachPartitionSaysHowFarItIs(t *testing.T) {
	t.Parallel()
	store, conn := migrated(t)
	exec := func(sql string, args ...any) {
		t.Helper()
		_, err := conn.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	exec(`INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, settled_at, updated_at, partitions, partition_of)
		SELECT slot, 1, owner, system, 1, 1, settled::pg_lsn, CASE WHEN ago > 0 THEN $1::timestamptz - ago * interval '1 minute' END, $1, partitions, of
		FROM (VALUES
			('s',     'r', '7', '0/90', 10,  101, NULL),
			('s#00',  'a', '7', '0/20', 60,  101, 's'),
			('s#20',  '',  '7', '0/90', 0,   101, 's'),
			('s#100', 'b', '7', '0/95', 5,   101, 's'),
			('s#04',  'b', '8', '0/20', 5,   101, 's'),
			('s#05',  'b', '7', '0/20', 5,   6,   's'),
			('s#06',  'b', '7', '0/1',  600, 0,   's'),
			('t#00',  'b', '7', '0/2',  700, 101, 't')
		) AS v (slot, owner, system, settled, ago, partitions, of)`, noon)
	first := ago(60)
	last := ago(5)
	want := []query.Partition{
		{Number: 0, Owner: "a", Epoch: 1, Settled: "0/20", SettledAt: &first, Behind: 0x70, UpdatedAt: noon.UTC()},
		{Number: 20, Owner: "", Epoch: 1, Settled: "0/90", UpdatedAt: noon.UTC()},
		{Number: 100, Owner: "b", Epoch: 1, Settled: "0/95", SettledAt: &last, UpdatedAt: noon.UTC()},
	}
	is := func(publishesTo int, want []query.Partition) {
		t.Helper()
		st, err := store.RelayState(t.Context(), "s")
		require.NoError(t, err)
		require.Equal(t, publishesTo, st.PublishesTo)
		m, err := store.Measure(t.Context(), "s", nil)
		require.NoError(t, err)
		for _, got := range [][]query.Partition{st.Partitions, m.Partitions} {
			require.Len(t, got, len(want))
			for i := range got {
				if at := got[i].SettledAt; at != nil {
					got[i].SettledAt = new(at.UTC())
				}
				got[i].UpdatedAt = got[i].UpdatedAt.UTC()
				require.Equal(t, want[i], got[i])
			}
		}
	}
	is(101, want)
	exec("UPDATE tailpost.relay SET partitions = 0")
	is(0, nil) // the holder delivers itself
}

// A holder that delivers itself although its configuration has a fan-out does so as NATS takes
// nothing, and anybody who reads the database can say so.
func TestAHolderThatDeliversAloneIsToldFromOneWithoutAFanout(t *testing.T) {
	t.Parallel()
	store, conn := migrated(t)
	exec := func(sql string, args ...any) {
		t.Helper()
		_, err := conn.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	exec(`INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, updated_at, partitions)
		VALUES ('s', 2, 'r', '7', 1, 1, '0/90', $1, 0)`, noon)
	for _, step := range []struct {
		change string
		alone  bool
	}{
		{"SELECT 1", false},
		{`INSERT INTO tailpost.configuration (slot, epoch, fingerprints, updated_at) VALUES ('s', 2, '{"blocks": {"fanout": ""}}', now())`, false},
		{`UPDATE tailpost.configuration SET fingerprints = '{"blocks": {"fanout": "ab12"}}'`, true},
		{"UPDATE tailpost.relay SET partitions = 4", false},
		{"UPDATE tailpost.relay SET partitions = 0, epoch = 3", false}, // another holder, which has noted nothing yet
		{`UPDATE tailpost.configuration SET epoch = 3, fingerprints = '{}'`, false},
	} {
		exec(step.change)
		st, err := store.RelayState(t.Context(), "s")
		require.NoError(t, err, step.change)
		require.Equal(t, step.alone, st.Alone, step.change)
	}
}
