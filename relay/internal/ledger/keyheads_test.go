package ledger_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// However many rows a key has: its first one stands for it, dead or pending.
func TestHeads_areTheFirstOfEachKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const keys, each = 300, 3
	manyWait(t, b, keys, each)
	b.exec(t, "UPDATE tailpost.delivery SET state = 'dead', next_attempt_at = $1 WHERE event_id LIKE '%7/3' OR event_id LIKE '%8/1'", noon)
	b.exec(t, "UPDATE tailpost.delivery SET state = 'dead' WHERE key = 'k300'")
	for _, dead := range []bool{false, true} {
		heads, err := b.ledger.KeyHeads(t.Context(), "erp", dead, keys)
		require.NoError(t, err)
		known := make(map[string]bool)
		for _, h := range heads {
			known[h.Key] = true
			first := h.Key[1:] + "/3"
			if !dead && strings.HasSuffix(h.Key, "7") {
				first = h.Key[1:] + "/2"
			}
			require.Equal(t, ledger.KeyHead{Key: h.Key, EventID: first}, h, "what is dead is not due at any time")
		}
		require.Len(t, known, len(heads))
		require.Equal(t, dead, known["k300"], "a key that is dead altogether has a head only where the dead hold others")
		require.Len(t, heads, map[bool]int{true: keys, false: keys - 1}[dead])
	}
}

// TestHeads_areNotReadOfTooManyKeys: they would all be kept in memory. What is read is bounded,
// too.
func TestHeads_areNotReadOfTooManyKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const keys, most = 3000, 50
	manyWait(t, b, most, 20)
	b.exec(t, "UPDATE tailpost.delivery SET state = 'dead' WHERE key = 'k50'")
	for _, dead := range []bool{false, true} {
		heads, err := b.ledger.KeyHeads(t.Context(), "erp", dead, most)
		require.NoError(t, err)
		require.Len(t, heads, map[bool]int{true: most, false: most - 1}[dead])
	}
	_, err := b.ledger.KeyHeads(t.Context(), "erp", true, most-1)
	require.ErrorIs(t, err, ledger.ErrManyKeys, "one of them is dead")
	b.exec(t, "INSERT INTO tailpost.delivery SELECT (jsonb_populate_record(d, jsonb_build_object('event_id', i, 'key', 'x' || i))).* "+
		"FROM tailpost.delivery AS d, generate_series(1, $1::int) AS i WHERE d.event_id = '1/1'", keys)
	_, err = b.ledger.KeyHeads(t.Context(), "erp", false, most)
	require.ErrorIs(t, err, ledger.ErrManyKeys)
	p := explainPlan(t, b, ledger.HeadsSQL, pgx.NamedArgs{"endpoint": "erp", "state": "pending", "limit": most + 1})
	require.LessOrEqual(t, p.read(), most+2, "%+v", p)
}

// A queue in one order may be very long, too: only its first row is read.
func TestFirst_readsOneRow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	manyWait(t, b, 1, 1000)
	heads, err := b.ledger.First(t.Context(), "erp", false)
	require.NoError(t, err)
	require.Equal(t, []ledger.KeyHead{{EventID: "1/1000"}}, heads)
	p := explainPlan(t, b, ledger.FirstSQL, pgx.NamedArgs{"endpoint": "erp", "dead": true})
	require.Equal(t, 1, p.read(), "%+v", p)
}
