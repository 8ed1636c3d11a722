package ledger_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// readInVain is how many attempts a search reads that looks for a type which does not occur.
func readInVain(t *testing.T, b *bundle) int {
	t.Helper()
	b.exec(t, "SET enable_seqscan = off")
	var text []byte
	require.NoError(t, b.conn.QueryRow(t.Context(), `
EXPLAIN (ANALYZE, FORMAT JSON)
SELECT FROM tailpost.attempt
WHERE event_type = 'none'`).Scan(&text))
	p := parsePlan(t, text)
	return p.removed()
}

// plan is a node of what EXPLAIN returns.
type plan struct {
	Node    string  `json:"Node Type"`
	Index   string  `json:"Index Name"`
	Rows    float64 `json:"Actual Rows"` // of one loop, on average
	Loops   float64 `json:"Actual Loops"`
	Removed int     `json:"Rows Removed by Index Recheck"`
	Filter  int     `json:"Rows Removed by Filter"`
	Plans   []plan  `json:"Plans"`
}

func parsePlan(t *testing.T, text []byte) plan {
	t.Helper()
	var plans []struct {
		Plan plan `json:"Plan"`
	}
	require.NoError(t, json.Unmarshal(text, &plans))
	return plans[0].Plan
}

// read is how many rows of tables the plan has read, those that it threw away included.
func (p *plan) read() (n int) {
	if p.Index != "" || p.Node == "Seq Scan" {
		n = int(p.Rows*p.Loops) + (p.Removed+p.Filter)*int(p.Loops)
	}
	for i := range p.Plans {
		n += p.Plans[i].read()
	}
	return n
}

func (p *plan) removed() int {
	n := p.Removed + p.Filter
	for i := range p.Plans {
		n += p.Plans[i].removed()
	}
	return n
}

func TestSummarizeAttempts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.ledger.EnsurePartitions(t.Context(), time.Now()))
	// More than three ranges of 32 pages.
	const rows, inRange = 5000, 1500
	write := func() {
		b.exec(t, `
INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, duration_ms, attempted_at, commit_lsn)
SELECT gen_random_uuid(), 'a', 'erp', 1, 'stream', 'https://example.com/' || repeat('x', 100), 'delivered', 1, now(), '0/10'
FROM generate_series(1, $1::int)`, rows)
	}
	write()
	require.Equal(t, rows, readInVain(t, b), "without a summary all is read")
	require.NoError(t, b.ledger.SummarizeAttempts(t.Context()))
	left := readInVain(t, b)
	require.Less(t, left, inRange)
	require.Positive(t, left, "the range that is not full has none")

	// Somebody who vacuums is neither waited for nor kept from it.
	write()
	tx, err := b.conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE tailpost.attempt IN SHARE UPDATE EXCLUSIVE MODE")
	require.NoError(t, err)
	require.ErrorContains(t, b.ledger.SummarizeAttempts(t.Context()), "lock timeout")
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, b.ledger.SummarizeAttempts(t.Context()))
	require.Less(t, readInVain(t, b), inRange)
}
